//! A node's vector, in single or half precision.

use std::borrow::Cow;
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt as _;
use serde::{Deserialize, Serialize};

use super::score::{Score, near, score, scores_of};

/// Says how the values of vectors are kept: in memory, in the store, and on the way between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 4 bytes a value.
    #[default]
    F32,
    /// 2 bytes a value, of which 11 bits count: a vector is rounded to it when it is made, and its rounded values are what
    /// every score is computed from.
    F16,
}

/// d values, shared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Vector {
    /// In single precision.
    F32(Arc<[f32]>),
    /// In half precision.
    F16(Arc<[f16]>),
}

impl Vector {
    /// `values` in this precision: rounded to the nearest that there is.
    pub fn new(values: &[f32], precision: Precision) -> Self {
        match precision {
            Precision::F32 => Vector::F32(values.into()),
            Precision::F16 => Vector::F16(values.iter().copied().map(f16::from_f32).collect()),
        }
    }

    /// Returns how they are kept.
    pub fn precision(&self) -> Precision {
        match self {
            Vector::F32(_) => Precision::F32,
            Vector::F16(_) => Precision::F16,
        }
    }

    /// Returns whether `other` has these values. Quick where it shares them.
    pub(crate) fn is(&self, other: &Vector) -> bool {
        let shared = match (self, other) {
            (Vector::F32(a), Vector::F32(b)) => Arc::ptr_eq(a, b),
            (Vector::F16(a), Vector::F16(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        shared || self == other
    }

    /// Returns how many values there are (d).
    pub fn len(&self) -> usize {
        match self {
            Vector::F32(values) => values.len(),
            Vector::F16(values) => values.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values. Nothing is lost: every half is a single.
    pub fn values(&self) -> Cow<'_, [f32]> {
        match self {
            Vector::F32(values) => Cow::Borrowed(values),
            Vector::F16(values) => Cow::Owned(values.to_f32_vec()),
        }
    }

    /// Asks for the first values to be brought near; processors see by themselves that the others follow.
    pub(crate) fn near(&self) {
        const FIRST: usize = 128;
        match self {
            Vector::F32(values) => near(&values[..values.len().min(FIRST)]),
            Vector::F16(values) => near(&values[..values.len().min(2 * FIRST)]),
        }
    }

    /// The values one after the other, little-endian, as the store keeps them.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Vector::F32(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Vector::F16(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// Returns what [`Vector::to_bytes`] wrote; `None` when the bytes are not whole values.
    pub fn from_bytes(bytes: &[u8], precision: Precision) -> Option<Self> {
        match precision {
            Precision::F32 => {
                let (values, rest) = bytes.as_chunks();
                rest.is_empty().then(|| Vector::F32(values.iter().map(|b| f32::from_le_bytes(*b)).collect()))
            }
            Precision::F16 => {
                let (values, rest) = bytes.as_chunks();
                rest.is_empty().then(|| Vector::F16(values.iter().map(|b| f16::from_le_bytes(*b)).collect()))
            }
        }
    }

    /// The canonical score with another vector of as many values.
    pub fn score(&self, other: &Vector) -> Score {
        let mut out = [0.0];
        Vector::scores(&self.values(), &[other], &mut out);
        Score(out[0])
    }

    /// The canonical scores of `a` (d values) with each of `rows` (n of d values each), into `out` (n).
    pub fn scores(a: &[f32], rows: &[&Vector], out: &mut [f32]) {
        // Four at a time take little longer than one.
        for (rows, out) in rows.chunks(4).zip(out.chunks_mut(4)) {
            match rows {
                [Vector::F32(r0), Vector::F32(r1), Vector::F32(r2), Vector::F32(r3)] => {
                    scores_of::<f32>(a, &[r0, r1, r2, r3], out);
                }
                [Vector::F16(r0), Vector::F16(r1), Vector::F16(r2), Vector::F16(r3)] => {
                    scores_of::<f16>(a, &[r0, r1, r2, r3], out);
                }
                _ => rows.iter().zip(out).for_each(|(row, out)| {
                    *out = match row {
                        Vector::F32(row) => score(a, row).0,
                        Vector::F16(row) => score(a, row).0,
                    }
                }),
            }
        }
    }
}

impl From<Arc<[f32]>> for Vector {
    fn from(values: Arc<[f32]>) -> Self {
        Vector::F32(values)
    }
}

impl From<Vec<f32>> for Vector {
    fn from(values: Vec<f32>) -> Self {
        Vector::F32(values.into())
    }
}

impl<const D: usize> From<[f32; D]> for Vector {
    fn from(values: [f32; D]) -> Self {
        Vector::F32(values.into())
    }
}

impl FromIterator<f32> for Vector {
    fn from_iter<I: IntoIterator<Item = f32>>(values: I) -> Self {
        Vector::F32(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn halves_score_as_the_singles_that_they_are() {
        let mut rng = Pcg64::seed_from_u64(7);
        for d in [0, 1, 16, 37, 256, 688] {
            let mut some = || -> Vec<f32> { (0..d).map(|_| rng.random::<f32>() - 0.5).collect() };
            let a = some();
            let rows: Vec<_> = (0..7).map(|_| Vector::new(&some(), Precision::F16)).collect();
            let singles: Vec<_> = rows.iter().map(|row| Vector::new(&row.values(), Precision::F32)).collect();
            let (mut of_halves, mut of_singles) = ([1.0; 7], [2.0; 7]);
            Vector::scores(&a, &rows.iter().collect::<Vec<_>>(), &mut of_halves);
            Vector::scores(&a, &singles.iter().collect::<Vec<_>>(), &mut of_singles);
            assert_eq!(of_halves.map(f32::to_bits), of_singles.map(f32::to_bits), "d {d}");
            let a = Vector::new(&a, Precision::F16);
            let mixed = [rows[0].score(&a), singles[0].score(&a), a.score(&rows[0]), a.score(&singles[0])];
            assert!(mixed.iter().all(|score| *score == mixed[0]), "d {d}");
        }
    }

    #[test]
    fn bytes_give_the_vector_back() {
        for precision in [Precision::F32, Precision::F16] {
            let vector = Vector::new(&[0.1, -3.0, 1e-6], precision);
            assert_eq!(Vector::from_bytes(&vector.to_bytes(), precision), Some(vector.clone()));
            assert_eq!(Vector::from_bytes(&vector.to_bytes()[1..], precision), None);
            assert_eq!((vector.len(), vector.is_empty()), (3, false));
        }
        assert_eq!(Vector::new(&[0.1], Precision::F16).values()[0], f16::from_f32(0.1).to_f32());
    }
}
