//! What the product sees of a vector: all of it, or its shadow on a few directions and how much is left.
//!
//! A shadow has the vector's scores with the first directions of a [`Basis`], then the length of what they leave. The score of two
//! shadows is not below that of their vectors ([`bound::shadow`]), and costs a fraction of it where a few directions hold
//! most of every vector, as they do for pictures.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::score::scores;
use super::basis::Basis;
use super::bound::{self, Arithmetic, Shadow};

/// What the product is to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sketching {
    /// What measures best over a cell's own vectors. Looked at again when the cell has doubled.
    #[default]
    Measured,
    /// Whole vectors.
    Never,
    /// Shadows on so many directions, whatever they cost: to measure by.
    First(usize),
}

/// What the product sees of each vector of a cell.
#[derive(Clone, Debug, Default)]
pub enum Sketch {
    /// The vector itself.
    #[default]
    Whole,
    /// Its shadow.
    Shadow {
        /// Where to.
        basis: Arc<Basis>,
        /// How many of its directions.
        directions: usize,
    },
}

/// Vectors that stand for new ones when a sketch is chosen.
const LATES: usize = 16;
/// Vectors that stand for a cell's rows: one in eight, within these.
const ROWS: (usize, usize) = (256, 4096);
/// A shadow's values are a multiple of this.
const STEP: usize = 16;
/// What it takes to score a pair again, beside the product's time for one value of a pair: for the pair, and for each value.
/// Measured.
const AGAIN: (f64, f64) = (400.0, 8.0);
/// The part of the whole vector's cost that a shadow may have: making shadows costs, too.
const WORTH: f64 = 0.6;
/// What a pair takes beside its values.
const PAIR: f64 = 8.0;

impl Sketch {
    /// How many values the sketch of a vector of `d` has.
    pub fn values(&self, d: usize) -> usize {
        match self {
            Sketch::Whole => d,
            Sketch::Shadow { directions, .. } => directions + 1,
        }
    }

    /// Whether scores of sketches are those of vectors but for rounding, and not just bounds.
    pub fn is_whole(&self) -> bool {
        matches!(self, Sketch::Whole)
    }

    /// The sketch of `vector`; `shadow` is room for it.
    pub fn of<'a>(&self, vector: &'a [f32], shadow: &'a mut Vec<f32>) -> &'a [f32] {
        let Sketch::Shadow { basis, directions } = self else { return vector };
        shadow.resize(directions + 1, 0.0);
        basis.project(vector, &mut shadow[..*directions]);
        shadow[*directions] = Shadow::of(basis, *directions).left(vector, &shadow[..*directions]);
        shadow
    }

    /// How far the fast score of two sketches can be below the canonical score of their vectors (of `d` values, no longer than
    /// `norm`); for whole vectors above it, too. No sketch is longer than `longest`, none stored further than `off` from what it is.
    pub fn error(&self, by: &Arithmetic, d: usize, norm: f64, longest: f64, off: f64) -> f32 {
        match self {
            Sketch::Whole => bound::error(by, d, norm, off),
            Sketch::Shadow { basis, directions } => {
                Shadow::of(basis, *directions).error(by, norm, longest, off)
            }
        }
    }

    /// Whether both see the same.
    pub fn is(&self, other: &Sketch) -> bool {
        match (self, other) {
            (Sketch::Whole, Sketch::Whole) => true,
            (Sketch::Shadow { basis: a, directions: n }, Sketch::Shadow { basis: b, directions: m }) => {
                Arc::ptr_eq(a, b) && n == m
            }
            _ => false,
        }
    }

    /// The sketch that takes least for a cell of `rows` rows whose lists have `full` entries. `vectors` are some of the rows,
    /// [`Sketch::sample`] of them.
    pub fn choose(basis: &Arc<Basis>, vectors: &[&[f32]], rows: usize, full: usize) -> Self {
        let d = basis.d();
        let most = basis.len().min(d / 2);
        if vectors.len() < 2 || most < STEP {
            return Sketch::Whole;
        }
        // Where a list's floor would be among the vectors that stand for the rows.
        let rank = (full * vectors.len() / rows.max(1)).clamp(1, vectors.len() - 1);
        let shadows: Vec<Vec<f32>> = vectors
            .iter()
            .map(|vector| {
                let mut along = vec![0.0; most];
                basis.project(vector, &mut along);
                along
            })
            .collect();
        let lengths: Vec<f32> = vectors.iter().map(|vector| bound::norm(vector).powi(2) as f32).collect();
        let mut passed = vec![0usize; most / STEP];
        let flat: Vec<f32> = vectors.iter().flat_map(|vector| vector.iter().copied()).collect();
        let mut exact = vec![0.0; vectors.len()];
        let lates = (0..vectors.len()).step_by(vectors.len().div_ceil(LATES));
        let mut pairs = 0usize;
        for late in lates {
            scores(vectors[late], &flat, &mut exact);
            exact[late] = f32::NEG_INFINITY;
            let mut sorted = exact.clone();
            let (_, floor, _) = sorted.select_nth_unstable_by(rank - 1, |a, b| b.total_cmp(a));
            for (row, _) in exact.iter().enumerate().filter(|(row, _)| *row != late) {
                let (mut dot, mut a, mut b) = (0.0f32, lengths[late], lengths[row]);
                for (at, passed) in passed.iter_mut().enumerate() {
                    // The last direction's place is that of the length left.
                    let stretch = (at * STEP).saturating_sub(1)..(at + 1) * STEP - 1;
                    for (x, y) in shadows[late][stretch.clone()].iter().zip(&shadows[row][stretch]) {
                        (dot, a, b) = (dot + x * y, a - x * x, b - y * y);
                    }
                    let bound = dot + (a.max(0.0) * b.max(0.0)).sqrt();
                    *passed += usize::from(bound >= *floor);
                }
                pairs += 1;
            }
        }
        let again = AGAIN.0 + AGAIN.1 * d as f64;
        // A pair is scored again when it reaches the floor of either side.
        let cost =
            |passed: usize, values: usize| values as f64 + PAIR + again * 2.0 * passed as f64 / pairs as f64;
        let costs = passed.iter().enumerate().map(|(at, passed)| (cost(*passed, (at + 1) * STEP), at));
        match costs.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((least, at)) if least < WORTH * d as f64 => {
                Sketch::Shadow { basis: basis.clone(), directions: (at + 1) * STEP - 1 }
            }
            _ => Sketch::Whole,
        }
    }

    /// How many of `rows` rows [`Sketch::choose`] is to see.
    pub fn sample(rows: usize) -> usize {
        (rows / 8).clamp(ROWS.0, ROWS.1).min(rows)
    }
}
