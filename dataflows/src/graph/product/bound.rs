//! How far a fast score can be from the canonical one.
//!
//! Let u = 2^-24, the unit roundoff of f32, and g(m) = m u / (1 - m u). When products a_i b_i are added up in any order
//! such that each goes through at most m roundings (its own included), the result is the sum of a_i b_i (1 + t_i)
//! with |t_i| <= g(m) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1), so it is off by at most
//! g(m) sum |a_i b_i| <= g(m) |a| |b| (Cauchy-Schwarz). The bound holds as long as nothing underflows; a product that does
//! is off by at most 2^-150 more, and sums do not underflow.
//!
//! - The canonical sum rounds a product, adds it to its lane (d / 16 additions, one more for the rest) and adds the lanes
//!   up (4 additions): m <= d / 16 + 6.
//! - The fast sum adds the products one after the other, fused or not: m <= d + 1.
//!
//! Since g(m) + g(m') <= g(m + m'), the two differ by at most g(d + d / 16 + 7) |a| |b| + 2 d 2^-150 (1 + g).
//!
//! Rows stored in fewer bits are other vectors: b' for b. Then a b' is off by another |a| |b - b'|, where |b - b'| is not
//! estimated but measured when b is stored; it is 0 when b's values have an exact half-precision form.

/// The unit roundoff of f32.
const U: f64 = 1.0 / (1 << 24) as f64;
/// Makes up for the roundings of norms and bounds, which are computed in f64: fewer than 2^16 of 2^-53 each.
const SLACK: f64 = 1.0 + 1e-10;

/// How far the fast score of two vectors of `d` values can be from their canonical score, neither of them longer than
/// `norm` and the stored one off by at most `stored_off`. Infinite when `norm` is.
pub fn error(d: usize, norm: f64, stored_off: f64) -> f32 {
    let roundings = (d + d / 16 + 7) as f64;
    let g = roundings * U / (1.0 - roundings * U);
    let underflow = 2.0 * d as f64 * f64::from(f32::from_bits(1)) * (1.0 + g);
    let error = (g * norm * (norm + stored_off) + norm * stored_off + underflow) * SLACK;
    let rounded = error as f32;
    if f64::from(rounded) < error { rounded.next_up() } else { rounded }
}

/// A canonical score at or above `floor` has a fast one that is not below this.
pub fn lowered(floor: f32, error: f32) -> f32 {
    // The difference is rounded, by less than the step to the next value. An infinite floor lets nothing in.
    if floor == f32::INFINITY { floor } else { (floor - error).next_down() }
}

/// The length of `vector`, rounded up.
pub fn norm(vector: &[f32]) -> f64 {
    length(vector.iter().map(|x| f64::from(*x)))
}

/// How far apart two vectors are, rounded up.
pub fn distance(a: &[f32], b: impl Iterator<Item = f32>) -> f64 {
    length(a.iter().zip(b).map(|(x, y)| f64::from(*x) - f64::from(y)))
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt() * SLACK
}
