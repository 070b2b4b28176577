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
use super::deeper::Deeper;
use super::panels::Storage;
use super::steps::{StepPanels, Width};
use super::steps_tile::StepsKernel;

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
    /// Shadows on so many directions, and a second look on so many: likewise.
    Twice(usize, usize),
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
        /// How many with those of a second look; as many when there is none.
        deeper: usize,
    },
}

/// A vector as a sketch has it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What the product sees.
    pub first: &'a [f32],
    /// The scores with the directions of the second look.
    pub further: &'a [f32],
    /// How long what the shadow leaves is.
    pub left_first: f32,
    /// How long what both looks leave is.
    pub left: f32,
}

/// A vector's sketch, but for what of it is the vector itself.
#[derive(Clone, Debug, Default)]
pub struct Sketched {
    /// The scores with all directions of both looks, with the length that the shadow leaves after its own. Empty when the whole vector
    /// is seen.
    along: Vec<f32>,
    /// How many of them the product sees.
    first: usize,
    left_first: f32,
    left: f32,
}

impl Sketched {
    /// What is seen of the `vector` it is the sketch of.
    pub fn seen<'a>(&'a self, vector: &'a [f32]) -> Seen<'a> {
        let (first, further) = self.along.split_at(self.first);
        let first = if self.along.is_empty() { vector } else { first };
        Seen { first, further, left_first: self.left_first, left: self.left }
    }
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
/// What a second look at a pair takes: for the pair, and for each value. Measured before the
/// loop over them was made faster.
const LOOK: (f64, f64) = (1500.0, 2.0);
/// The part of the whole vector's cost that a shadow may have: making shadows costs, too.
const WORTH: f64 = 0.6;
/// What a pair takes beside its values.
const PAIR: f64 = 8.0;

impl Sketch {
    /// Shadows on the first `directions` of a basis, and a second look on `deeper`, or as many as there are.
    pub fn shadow(basis: &Arc<Basis>, directions: usize, deeper: usize) -> Self {
        let directions = directions.clamp(1, basis.len());
        Sketch::Shadow { basis: basis.clone(), directions, deeper: deeper.clamp(directions, basis.len()) }
    }

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

    /// The sketch of each of `vectors`.
    pub fn of(&self, vectors: &[&[f32]]) -> Vec<Sketched> {
        let Sketch::Shadow { basis, directions, deeper } = self else {
            return vec![Sketched::default(); vectors.len()];
        };
        let mut along: Vec<Vec<f32>> = vectors
            .iter()
            .map(|_| {
                let mut room = Vec::with_capacity(deeper + 1);
                room.resize(*deeper, 0.0);
                room
            })
            .collect();
        basis.project(vectors, &mut along);
        let sketched = |(vector, mut along): (&&[f32], Vec<f32>)| {
            let left_after = |count| Shadow::of(basis, count).left(vector, &along[..count]);
            let (left_first, left) = (left_after(*directions), left_after(*deeper));
            along.insert(*directions, left_first);
            Sketched { along, first: directions + 1, left_first, left }
        };
        vectors.iter().zip(along).map(sketched).collect()
    }

    /// Room for the second look at each vector; `None` when there is none.
    pub fn deeper(&self) -> Option<Deeper> {
        match self {
            Sketch::Shadow { directions, deeper, .. } if deeper > directions => {
                Some(Deeper::new(deeper - directions))
            }
            _ => None,
        }
    }

    /// How far what [`Deeper::sharpened`] gives can be below the canonical score; as for [`Sketch::error`].
    pub fn second_error(&self, by: &Arithmetic, norm: f64, longest: f64, off: f64) -> f64 {
        match self {
            Sketch::Whole => 0.0,
            Sketch::Shadow { basis, directions, deeper } => {
                Shadow::of(basis, *directions).second(&Shadow::of(basis, *deeper), by, norm, longest, off)
            }
        }
    }

    /// How far the fast score of two sketches can be below the canonical score of their vectors (of `d` values, no longer than
    /// `norm`); for whole vectors above it, too. No sketch is longer than `longest`, none stored further than `off` from what it is.
    pub fn error(&self, by: &Arithmetic, d: usize, norm: f64, longest: f64, off: f64) -> f32 {
        match self {
            Sketch::Whole => bound::error(by, d, norm, off),
            Sketch::Shadow { basis, directions, .. } => {
                Shadow::of(basis, *directions).error(by, norm, longest, off)
            }
        }
    }

    /// Whether both see the same.
    pub fn is(&self, other: &Sketch) -> bool {
        match (self, other) {
            (Sketch::Whole, Sketch::Whole) => true,
            (
                Sketch::Shadow { basis: a, directions: n, deeper: i },
                Sketch::Shadow { basis: b, directions: m, deeper: j },
            ) => Arc::ptr_eq(a, b) && (n, i) == (m, j),
            _ => false,
        }
    }

    /// The sketch that takes least for a cell of `rows` rows whose lists have `full` entries, kept by our own kernel as `storage` has
    /// it. `vectors` are some of the rows, [`Sketch::sample`] of them.
    pub fn choose(
        basis: &Arc<Basis>,
        vectors: &[&[f32]],
        storage: Storage,
        rows: usize,
        full: usize,
    ) -> Self {
        let d = basis.d();
        let most = basis.len().min(Self::most(d));
        if vectors.len() < 2 || most < STEP {
            return Sketch::Whole;
        }
        // Where a list's floor would be among the vectors that stand for the rows.
        let rank = (full * vectors.len() / rows.max(1)).clamp(1, vectors.len() - 1);
        let mut shadows = vec![vec![0.0; most]; vectors.len()];
        basis.project(vectors, &mut shadows);
        let lengths: Vec<f32> = vectors.iter().map(|vector| bound::norm(vector).powi(2) as f32).collect();
        let mut passed = vec![0usize; most / STEP];
        let flat: Vec<f32> = vectors.iter().flat_map(|vector| vector.iter().copied()).collect();
        let mut exact = vec![0.0; vectors.len()];
        let lates = (0..vectors.len()).step_by(vectors.len().div_ceil(LATES));
        let (mut pairs, mut passed_whole) = (0usize, 0usize);
        let by = |whole| storage.steps(d, whole).map_or(1.0, |width| StepsKernel::best().cost(width));
        let whole_off = storage.steps(d, true).map_or(0.0, |width| error_of_steps(vectors, width));
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
                passed_whole += usize::from(exact[row] >= *floor - whole_off);
                pairs += 1;
            }
        }
        let again = AGAIN.0 + AGAIN.1 * d as f64;
        // A pair is scored again when it reaches the floor of either side.
        let each = |passed: usize, by: f64| by * 2.0 * passed as f64 / pairs as f64;
        let whole = by(true) * d as f64 + PAIR + each(passed_whole, again);
        let deepest = passed.len() - 1;
        let costs = (0..=deepest).map(|at| {
            let product = by(false) * ((at + 1) * STEP) as f64 + PAIR;
            let further = ((deepest - at) * STEP) as f64;
            let twice = each(passed[at], LOOK.0 + LOOK.1 * further) + each(passed[deepest], again);
            let once = each(passed[at], again);
            if once <= twice { (product + once, at, at) } else { (product + twice, at, deepest) }
        });
        let directions = |at: usize| (at + 1) * STEP - 1;
        match costs.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((least, at, deeper)) if least < WORTH * whole => {
                Sketch::shadow(basis, directions(at), directions(deeper))
            }
            _ => Sketch::Whole,
        }
    }

    /// How many directions of vectors of `d` values [`Sketch::choose`] may choose.
    pub fn most(d: usize) -> usize {
        d / 2
    }

    /// How many of `rows` rows [`Sketch::choose`] is to see.
    pub fn sample(rows: usize) -> usize {
        (rows / 8).clamp(ROWS.0, ROWS.1).min(rows)
    }
}

/// How far a fast score of steps can be from the canonical one, for vectors like these.
fn error_of_steps(vectors: &[&[f32]], width: Width) -> f32 {
    let d = vectors.first().map_or(0, |vector| vector.len());
    let mut rows = StepPanels::new(d, width);
    let off = vectors.iter().map(|vector| rows.push(vector)).fold(0.0, f64::max);
    let norm = vectors.iter().map(|vector| bound::norm(vector)).fold(0.0, f64::max);
    bound::error(&Arithmetic::STEPS, d, norm, off)
}
