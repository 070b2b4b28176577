//! Lengths and distances of vectors, rounded up.

/// Makes up for the roundings of sums, which are computed in f64: fewer than 2^16 of 2^-53 each.
pub(crate) const SLACK: f64 = 1.0 + 1e-10;

/// The length of `vector`, rounded up.
pub fn norm(vector: &[f32]) -> f64 {
    length(vector.iter().map(|x| f64::from(*x)))
}

/// Returns how far apart two vectors are, rounded up.
pub fn distance(a: &[f32], b: impl Iterator<Item: Into<f64>>) -> f64 {
    length(a.iter().zip(b).map(|(x, y)| f64::from(*x) - y.into()))
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt() * SLACK
}
