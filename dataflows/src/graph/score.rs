//! The canonical score: the one number that orders neighbours, the same on every machine.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Sums are kept in this many lanes and added up in a fixed order, so that the result does not depend on the
/// processor's vector width.
const LANES: usize = 16;

/// A canonical score (cosine of unit vectors). Its order puts the nearer (larger) first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Score(pub f32);

impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Score {}

impl std::hash::Hash for Score {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// The canonical score of two vectors of one length: their dot product, summed in a fixed order. Symmetric to the bit.
///
/// ```
/// use kinetograph_dataflows::graph::score::score;
/// assert_eq!(score(&[0.6, 0.8], &[1.0, 0.0]).0, 0.6);
/// ```
pub fn score(a: &[f32], b: &[f32]) -> Score {
    debug_assert_eq!(a.len(), b.len(), "vectors of one space have one length");
    let mut lanes = [0.0f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_blocks.remainder(), b_blocks.remainder());
    for (x, y) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    for (lane, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[lane] += x * y;
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    Score(lanes[0] + 0.0) // -0.0 and 0.0 order apart under total_cmp; the sum makes them one
}
