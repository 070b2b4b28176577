//! Directions along which the vectors of a stream differ most: an orthonormal basis of some of their space.

use nalgebra::{DMatrix, SymmetricEigen};

use crate::index::kernels::score::scores;

/// Rounds of orthogonal iteration: enough for the first directions to hold nearly what the best ones would.
const ROUNDS: usize = 2;
/// Directions that many vectors meet one after the other.
const DIRECTIONS_AT_ONCE: usize = 8;
/// A direction shorter than this beside those before it is none of its own.
const LEAST: f32 = 1e-3;

/// Directions (each d values), the one that holds most of the vectors first. They are orthonormal but for rounding, which is
/// measured: bounds count on [`defect`](Basis::defect), not on the arithmetic.
#[derive(Clone, Debug)]
pub struct Basis {
    d: usize,
    /// Row-major.
    directions: Vec<f32>,
    defect: f64,
}

impl Basis {
    /// At most `count` directions for vectors like those in `sample` (d values each); `None` when there are none.
    /// Orthogonal iteration (Golub and Van Loan, Matrix Computations, 4th ed., section 8.2.4) on the sample's second moments.
    pub fn learn(sample: &[&[f32]], count: usize) -> Option<Self> {
        let d = sample.first()?.len();
        let step = sample.len().div_ceil(count.max(1));
        let start: Vec<&[f32]> = sample.iter().copied().step_by(step.max(1)).collect();
        let mut directions = orthonormal(d, start.into_iter());
        for _ in 0..ROUNDS {
            let (mut next, mut along) = (vec![0.0; directions.len()], vec![0.0; directions.len() / d.max(1)]);
            for vector in sample {
                scores(vector, &directions, &mut along);
                for (next, along) in next.chunks_exact_mut(d).zip(&along) {
                    next.iter_mut().zip(*vector).for_each(|(sum, value)| *sum += along * value);
                }
            }
            directions = orthonormal(d, next.chunks_exact(d));
        }
        directions = turned(&directions, d, sample);
        let defect = defect(&directions, d);
        (!directions.is_empty() && defect.is_finite()).then_some(Basis { d, directions, defect })
    }

    /// Values of a vector.
    pub fn d(&self) -> usize {
        self.d
    }

    /// Returns how many directions there are.
    pub fn len(&self) -> usize {
        self.directions.len() / self.d
    }

    /// Never: there is at least one direction.
    pub fn is_empty(&self) -> bool {
        self.directions.is_empty()
    }

    /// An upper bound of the Frobenius norm of B B' - 1, B being the directions.
    pub fn defect(&self) -> f64 {
        self.defect
    }

    /// The canonical scores of each of `vectors` with the first directions, as many as there is room for in its `along`.
    pub fn project(&self, vectors: &[&[f32]], along: &mut [Vec<f32>]) {
        let most = along.iter().map(Vec::len).max().unwrap_or(0);
        // Some directions stay in the first cache while all vectors meet them.
        for from in (0..most).step_by(DIRECTIONS_AT_ONCE) {
            for (vector, along) in vectors.iter().zip(&mut *along) {
                let to = along.len().min(from + DIRECTIONS_AT_ONCE);
                let directions = &self.directions[from.min(to) * self.d..to * self.d];
                scores(vector, directions, &mut along[from.min(to)..to]);
            }
        }
    }
}

/// The same space by other directions: the axes of what the sample holds in it, longest first (Rayleigh and Ritz).
fn turned(directions: &[f32], d: usize, sample: &[&[f32]]) -> Vec<f32> {
    let count = directions.len() / d.max(1);
    if count == 0 {
        return Vec::new();
    }
    let (mut moments, mut along) = (DMatrix::<f32>::zeros(count, count), vec![0.0; count]);
    for vector in sample {
        scores(vector, directions, &mut along);
        for (at, column) in along.iter().zip(moments.as_mut_slice().chunks_exact_mut(count)) {
            column.iter_mut().zip(&along).for_each(|(sum, other)| *sum += at * other);
        }
    }
    let axes = SymmetricEigen::new(moments);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| axes.eigenvalues[*b].total_cmp(&axes.eigenvalues[*a]));
    let turned: Vec<Vec<f32>> = order
        .iter()
        .map(|axis| {
            let mut sum = vec![0.0; d];
            for (along, direction) in axes.eigenvectors.column(*axis).iter().zip(directions.chunks_exact(d)) {
                sum.iter_mut().zip(direction).for_each(|(sum, value)| *sum += along * value);
            }
            sum
        })
        .collect();
    orthonormal(d, turned.iter().map(Vec::as_slice))
}

/// `vectors` made orthonormal one after the other (Gram and Schmidt, each twice), row-major; what is left out adds next to
/// nothing to those before it.
fn orthonormal<'a>(d: usize, vectors: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut directions: Vec<f32> = Vec::new();
    let mut along = Vec::new();
    for vector in vectors {
        let mut rest = vector.to_vec();
        let mut own = scale(&mut rest);
        for _ in 0..2 {
            along.resize(directions.len() / d, 0.0);
            scores(&rest, &directions, &mut along);
            for (direction, along) in directions.chunks_exact(d).zip(&along) {
                rest.iter_mut().zip(direction).for_each(|(rest, value)| *rest -= along * value);
            }
            own *= scale(&mut rest);
        }
        if own > LEAST || (directions.is_empty() && own > 0.0) {
            directions.extend_from_slice(&rest);
        }
    }
    directions
}

/// Makes `vector` a unit long, and returns 1 for one that had a length, else 0; the second time round, what was left of it.
fn scale(vector: &mut [f32]) -> f32 {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if length > 0.0 && length.is_finite() {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    length as f32
}

fn defect(directions: &[f32], d: usize) -> f64 {
    let rows: Vec<&[f32]> = directions.chunks_exact(d).collect();
    let mut sum = 0.0;
    for (at, a) in rows.iter().enumerate() {
        for (other, b) in rows[..=at].iter().enumerate() {
            let dot = a.iter().zip(*b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
            let off = dot - if at == other { 1.0 } else { 0.0 };
            sum += off * off * if at == other { 1.0 } else { 2.0 };
        }
    }
    // Sums of products of f32 in f64 are off by at most d 2^-53 each, for up to d directions.
    sum.sqrt() + rows.len() as f64 * d as f64 * f64::EPSILON
}
