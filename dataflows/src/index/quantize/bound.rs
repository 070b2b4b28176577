//! The error bound: a fast score is no further than this from the canonical one.
//!
//! Let u = 2^-24, the unit roundoff of f32, and g(m) = m u / (1 - m u). When products a_i b_i are added up in any order
//! such that each goes through at most m roundings (its own included), the result is the sum of a_i b_i (1 + t_i)
//! with |t_i| <= g(m) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1), so it is off by at most
//! g(m) sum |a_i b_i| <= g(m) |a| |b| (Cauchy-Schwarz). The bound holds as long as nothing underflows; a product that does
//! is off by at most 2^-150 more, and sums do not underflow.
//!
//! - The canonical sum rounds a product, adds it to its lane (d / 16 additions, one more for the rest) and adds the lanes
//!   up (4 additions): m <= d / 16 + 6.
//! - The fast sum, fused or not: m <= d + 1. Nothing is said of its order: whatever tree adds up d products, no product goes
//!   through more than d - 1 additions (and sums that begin at 0 add it without rounding). So this is the bound of
//!   anything that multiplies and adds f32 as IEEE 754 has it, however it blocks and splits.
//!
//! So the two differ by at most (g(d + 1) + g(d / 16 + 6)) |a| |b| + 2 d 2^-150 (1 + g), as long as nothing overflows: vectors are no longer than
//! [`LONGEST`], else they are no nodes. Values that half precision does not hold are stored as infinite ones, further off than any bound; then every
//! pair is proposed.
//!
//! Rows stored in fewer bits are other vectors: b' for b. Then a b' is off by another |a| |b - b'|, where |b - b'| is not
//! estimated but measured when b is stored; it is 0 when b's values have an exact half-precision form. Where a is stored, too, it is
//! a' b', off by |a - a'| |b'| more.
//!
//! # Projections
//!
//! Let the rows of B (m x d) be nearly orthonormal: B B' = 1 + E, |E| <= e (the Frobenius norm, so the spectral one too). Of a
//! vector a we keep p, computed as B a; each value is off by at most g(d / 16 + 6) |B_i| |a|, so |p - B a| <= c with
//! c = sqrt(m) g(d / 16 + 6) sqrt(1 + e) |a|. What is left is a~ = a - B' p. For b likewise q and b~, with the same c for the longest vector:
//!
//!   a b = (B' p)(B' q) + (B' p) b~ + a~ (B' q) + a~ b~
//!
//! - (B' p)(B' q) = p q + p E q <= p q + e |p| |q|
//! - (B' p) b~ = p (B b - q - E q) <= |p| (c + e |q|); the third term likewise
//! - a~ b~ <= |a~| |b~|
//! - |a~|^2 = |a|^2 - 2 (B a) p + |p|^2 + p E p <= |a|^2 - |p|^2 + 2 c |p| + e |p|^2
//!
//! So with r >= |a~| and s >= |b~| as one more value of p and q, a b <= p q + r s + 3 e P^2 + 2 c P where P is the longest |p|, at most
//! sqrt(1 + e) |a| + c. The fast score of (p, r) and (q, s) adds its roundings and what storing them loses; the canonical score of a
//! and b its own.
//!
//! # Re-rank
//!
//! Let p = (p1, p2), p1 being the scores with the first m of M directions, r1 what is left of |a| after them and r after all; q and s
//! likewise. The product gave f, which is p1 q1 + r1 s1 but for its roundings and what storing the rows loses. Then
//!
//!   a b <= p1 q1 + p2 q2 + r s + 3 e P^2 + 2 c P <= f - r1 s1 + p2 q2 + r s + ...
//!
//! and with p2' and q2' stored for p2 and q2, p2 q2 <= p2' q2' + |p2| |q2 - q2'| + |p2 - p2'| |q2'|. The sum p2' q2' is of whole
//! numbers, and all that is added up after it is in f64.

use super::basis::Basis;
use crate::index::kernels::Encoding;
use crate::index::kernels::norm::SLACK;

/// The longest vector whose scores cannot overflow, whatever is made of them here.
pub const LONGEST: f32 = 1e15;

/// The unit roundoff of f32.
const U: f64 = 1.0 / (1 << 24) as f64;

/// Says what a kernel may make of a sum of products.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    /// How many roundings an addition counts for.
    roundings: usize,
    /// How far a product may be off beside its roundings (v).
    vanishing: f64,
}

impl Arithmetic {
    /// Returns what fast scores of rows kept so are within the bound of.
    pub fn of(encoding: Encoding) -> Self {
        match encoding {
            Encoding::F32 => Self::IEEE,
            Encoding::Words | Encoding::Bytes => Self::STEPS,
        }
    }

    /// Multiplies and adds f32 as IEEE 754 has it, fused or not, in any order.
    pub const IEEE: Self = Arithmetic { roundings: 1, vanishing: 0.0 };
    /// Sums whole numbers exactly. The sum, the product of both vectors' scales and what comes of the two are rounded: three times, which
    /// two roundings for each of d + 1 >= 2 additions cover. A product of scales that is no normal value is off by 2^-150, and the sum counts
    /// less than 2^31 of it: by less than v = 2^-119.
    pub const STEPS: Self = Arithmetic { roundings: 2, vanishing: f32::MIN_POSITIVE as f64 * 128.0 };

    /// Returns how far the fast score of two vectors of `d` values, neither longer than `norm`, can be from their product.
    fn off(&self, d: usize, norm: f64) -> f64 {
        gamma(self.roundings * (d + 1)) * norm * norm + 4.0 * d as f64 * self.vanishing * (1.0 + norm)
    }
}

/// Returns how far the fast score of two vectors of `d` values can be from their canonical score, neither of them longer than
/// `norm` nor stored further than `stored_off` from what it is. Infinite when `norm` is.
pub fn error(by: &Arithmetic, d: usize, norm: f64, stored_off: f64) -> f32 {
    let stored = norm + stored_off;
    let fast = by.off(d, stored) + (norm + stored) * stored_off;
    rounded_up(fast + canonical(d, norm) + underflow(d))
}

/// Says what the error of fast scores depends on, each the largest of some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ErrorInputs {
    /// The length of a vector.
    pub(super) norm: f64,
    /// The length of its projection.
    pub(super) longest: f64,
    /// Says how far what is stored is from what it stands for.
    pub(super) off: f64,
}

/// Inputs are rounded up to this, so that the error of fast scores seldom grows.
const STEP: f64 = 1.0 / 65536.0;

impl ErrorInputs {
    /// The larger of each, rounded up.
    pub(super) fn and(self, other: Self) -> Self {
        let larger = |a: f64, b: f64| if b > a { (b / STEP).ceil() * STEP } else { a };
        ErrorInputs {
            norm: larger(self.norm, other.norm),
            longest: larger(self.longest, other.longest),
            off: larger(self.off, other.off),
        }
    }
}

/// The bound for projections on the first directions of a basis.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProjectionBound {
    /// d, m.
    values: (usize, usize),
    /// e.
    defect: f64,
}

impl ProjectionBound {
    pub(super) fn of(basis: &Basis, directions: usize) -> Self {
        ProjectionBound { values: (basis.d(), directions), defect: basis.defect() }
    }

    /// c, for vectors no longer than `norm`.
    fn off(&self, norm: f64) -> f64 {
        let (d, m) = self.values;
        let each = gamma(d / 16 + 6) * (1.0 + self.defect).sqrt() * norm + underflow(d);
        (m as f64).sqrt() * each
    }

    /// r: how long what `along` leaves of `vector` can be.
    pub(super) fn left(&self, vector: &[f32], along: &[f32]) -> f32 {
        let squares = |values: &[f32]| values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
        let (whole, held) = (squares(vector), squares(along));
        let length = held.sqrt();
        let left = whole - held + 2.0 * self.off(whole.sqrt() * SLACK) * length + self.defect * held;
        // Both sums are rounded, by less than this.
        let left = left + (whole + held) * 1e-10;
        rounded_up(left.max(0.0).sqrt())
    }

    /// Returns how far the fast score of two projections can be below the canonical score of their vectors.
    pub(super) fn error(&self, by: &Arithmetic, inputs: &ErrorInputs) -> f32 {
        rounded_up(self.apart(inputs.norm) + self.fast(by, inputs.longest, inputs.off))
    }

    /// Returns how far the score of two projections, computed without an error, can be below the canonical score of their vectors.
    fn apart(&self, norm: f64) -> f64 {
        let (d, _) = self.values;
        let off = self.off(norm);
        let along = (1.0 + self.defect).sqrt() * norm + off;
        let projected = 3.0 * self.defect * along * along + 2.0 * off * along;
        projected + canonical(d, norm) + underflow(d)
    }

    /// Returns how far the fast score of two projections can be from their score.
    fn fast(&self, by: &Arithmetic, longest: f64, stored_off: f64) -> f64 {
        let (_, m) = self.values;
        let stored = longest + stored_off;
        by.off(m + 1, stored) + (longest + stored) * stored_off + underflow(m + 1)
    }

    /// Returns how far what the re-rank makes of the fast score of two projections can be below the canonical score of their vectors; `further` is on
    /// the directions of both.
    pub(super) fn rerank_error(
        &self,
        further: &ProjectionBound,
        by: &Arithmetic,
        inputs: &ErrorInputs,
    ) -> f64 {
        let ErrorInputs { norm, longest, off: stored_off } = *inputs;
        // Fewer than 16 sums and products in f64 of what is no longer than this.
        let rounded = 4.0 * (norm + longest + stored_off).powi(2) * 16.0 * f64::EPSILON;
        let bound = (further.apart(norm) + self.fast(by, longest, stored_off) + rounded) * SLACK;
        if bound.is_nan() { f64::INFINITY } else { bound }
    }
}

/// Returns how far the canonical score of two vectors of `d` values, neither longer than `norm`, can be from their product.
fn canonical(d: usize, norm: f64) -> f64 {
    gamma(d / 16 + 6) * norm * norm
}

/// g(m); infinite where there is no such bound.
fn gamma(roundings: usize) -> f64 {
    let roundings = roundings as f64 * U;
    if roundings < 1.0 { roundings / (1.0 - roundings) } else { f64::INFINITY }
}

/// Returns what products that underflow are off by, over both sums of `d`.
fn underflow(d: usize) -> f64 {
    4.0 * d as f64 * f64::from(f32::from_bits(1))
}

/// The next f32, with room for the roundings of the bound itself. A bound that is undefined, as it is where a length is infinite, is infinite.
pub(super) fn rounded_up(bound: f64) -> f32 {
    let bound = if bound.is_nan() { f64::INFINITY } else { bound * SLACK };
    let rounded = bound as f32;
    if f64::from(rounded) < bound { rounded.next_up() } else { rounded }
}

/// A canonical score at or above `score` has a fast one that is not below this.
pub fn lowered(score: f32, error: f32) -> f32 {
    // The difference is rounded, by less than the step to the next value. An infinite one is reached by nothing.
    if score == f32::INFINITY { score } else { (score - error).next_down() }
}

/// Returns what a canonical score is at least, if the fast one is `fast` and neither further above it than `error` nor beyond what an f32 holds.
pub fn at_least(fast: f32, error: f32) -> f32 {
    if fast.is_finite() && error.is_finite() { lowered(fast, error) } else { f32::NEG_INFINITY }
}
