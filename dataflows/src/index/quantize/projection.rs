//! The part of each vector that the product of a cell sees, reckoned over the cell's own vectors.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::basis::Basis;
use super::bound::{Arithmetic, error};
use super::storage::Storage;
use crate::index::kernels::Encoding;
use crate::index::kernels::Kernel;
use crate::index::kernels::Panels;
use crate::index::kernels::norm::norm;
use crate::index::kernels::score::scores;

/// Says whether cells are searched by projections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projecting {
    /// As is reckoned to be best over a cell's own vectors. Looked at again when the cell has doubled.
    #[default]
    Measured,
    /// By whole vectors.
    Never,
    /// On so many directions, whatever they cost: to measure by.
    First(usize),
    /// On so many directions, re-ranked on so many: likewise.
    Twice(usize, usize),
}

/// The directions that rows of a cell are projected on.
#[derive(Clone, Debug)]
pub struct Projection {
    pub(super) basis: Arc<Basis>,
    directions: usize,
    reranked: usize,
}

/// Vectors that stand for new ones when a projection is chosen.
const QUERIES: usize = 16;
/// Vectors that stand for a cell's rows: one in eight, within these.
const ROWS: (usize, usize) = (256, 4096);
/// A projection's values are a multiple of this.
const STEP: usize = 16;
/// What it takes to score a pair canonically, beside the product's time for one value of a pair: for the pair, and for each value.
/// Measured.
const SCORE: (f64, f64) = (400.0, 8.0);
/// What it takes to re-rank a pair: for the pair, and for each value. Measured before the loop over them was made faster.
const RERANK: (f64, f64) = (1500.0, 2.0);
/// The part of the whole vector's cost that a projection may have: projecting costs, too.
const WORTH: f64 = 0.75;
/// Parts of the rows that a new query has met when its k-th score so far is reckoned with.
const MET: [f64; 4] = [0.125, 0.375, 0.625, 0.875];
/// What a pair takes beside its values.
const PAIR: f64 = 8.0;

impl Projection {
    /// On the first `directions` of a basis, re-ranked on `reranked`, or as many as there are.
    pub fn new(basis: &Arc<Basis>, directions: usize, reranked: usize) -> Self {
        let directions = directions.clamp(1, basis.len());
        Projection { basis: basis.clone(), directions, reranked: reranked.clamp(directions, basis.len()) }
    }

    /// Directions of the product.
    pub fn directions(&self) -> usize {
        self.directions
    }

    /// Directions of the product and the re-rank.
    pub fn reranked(&self) -> usize {
        self.reranked
    }

    /// Returns whether both are the same.
    pub fn is(&self, other: &Projection) -> bool {
        let of = |p: &Projection| (p.directions, p.reranked);
        Arc::ptr_eq(&self.basis, &other.basis) && of(self) == of(other)
    }

    /// The projection that takes least for a cell of `rows` rows whose lists keep `full` entries, if it takes much less than whole
    /// vectors, both kept as `storage` has it. `vectors` are some of the rows, [`Projection::sample`] of them.
    pub fn choose(
        basis: &Arc<Basis>,
        vectors: &[&[f32]],
        storage: Storage,
        kernel: Kernel,
        rows: usize,
        full: usize,
    ) -> Option<Self> {
        let d = basis.d();
        let most = basis.len().min(Self::most(d));
        if vectors.len() < 2 || most < STEP {
            return None;
        }
        // Where a list's last score would be among the vectors that stand for the rows.
        let rank_after = |met: f64| {
            let rank = (full * vectors.len()) as f64 / (rows.max(1) as f64 * met);
            (rank as usize).clamp(1, vectors.len() - 1)
        };
        let mut projected = vec![vec![0.0; most]; vectors.len()];
        basis.project(vectors, &mut projected);
        let lengths: Vec<f32> = vectors.iter().map(|vector| norm(vector).powi(2) as f32).collect();
        let mut passed = vec![0.0; most / STEP];
        let flat: Vec<f32> = vectors.iter().flat_map(|vector| vector.iter().copied()).collect();
        let mut exact = vec![0.0; vectors.len()];
        let queries = (0..vectors.len()).step_by(vectors.len().div_ceil(QUERIES));
        let (mut pairs, mut passed_whole) = (0usize, 0.0);
        let whole_error = error_of(vectors, storage.whole());
        for query in queries {
            scores(vectors[query], &flat, &mut exact);
            exact[query] = f32::NEG_INFINITY;
            let mut sorted = exact.clone();
            sorted.sort_unstable_by(|a, b| b.total_cmp(a));
            // A pair is looked at when it reaches the k-th score of the row's list, or that of the new query's, which is low until it has met
            // many rows: where those near it are few, it would look at nearly all.
            let last = sorted[rank_after(1.0) - 1];
            let so_far = MET.map(|met| sorted[rank_after(met) - 1]);
            for (row, _) in exact.iter().enumerate().filter(|(row, _)| *row != query) {
                let (mut dot, mut a, mut b) = (0.0f32, lengths[query], lengths[row]);
                for (at, passed) in passed.iter_mut().enumerate() {
                    // The last direction's place is that of the length left.
                    let stretch = (at * STEP).saturating_sub(1)..(at + 1) * STEP - 1;
                    for (x, y) in projected[query][stretch.clone()].iter().zip(&projected[row][stretch]) {
                        (dot, a, b) = (dot + x * y, a - x * x, b - y * y);
                    }
                    let bound = dot + (a.max(0.0) * b.max(0.0)).sqrt();
                    let of_query =
                        so_far.iter().filter(|last| bound >= **last).count() as f64 / MET.len() as f64;
                    *passed += of_query + f64::from(u8::from(bound >= last));
                }
                // Whole vectors are scored once, after all rows were met.
                passed_whole += 2.0 * f64::from(u8::from(exact[row] >= last - whole_error));
                pairs += 1;
            }
        }
        let score = SCORE.0 + SCORE.1 * d as f64;
        let each = |passed: f64, by: f64| by * passed / pairs as f64;
        let by = |encoding: Encoding| kernel.cost(encoding.fitting(d));
        let whole = by(storage.whole()) * d as f64 + PAIR + each(passed_whole, score);
        let deepest = passed.len() - 1;
        let costs = (0..=deepest).map(|at| {
            let product = by(storage.projected()) * ((at + 1) * STEP) as f64 + PAIR;
            let further = ((deepest - at) * STEP) as f64;
            let reranks = each(passed[at], RERANK.0 + RERANK.1 * further);
            (product + reranks + each(passed[deepest], score), at)
        });
        let directions = |at: usize| (at + 1) * STEP - 1;
        match costs.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((least, at)) if least < WORTH * whole => {
                Some(Projection::new(basis, directions(at), directions(deepest)))
            }
            _ => None,
        }
    }

    /// Returns how many directions of vectors of `d` values [`Projection::choose`] may choose.
    pub fn most(d: usize) -> usize {
        d / 2
    }

    /// Returns how many of `rows` rows [`Projection::choose`] is to see.
    pub fn sample(rows: usize) -> usize {
        (rows / 8).clamp(ROWS.0, ROWS.1).min(rows)
    }
}

/// Returns how far a fast score can be from the canonical one by what the encoding loses of vectors like these.
fn error_of(vectors: &[&[f32]], encoding: Encoding) -> f32 {
    if encoding == Encoding::F32 {
        return 0.0;
    }
    let d = vectors.first().map_or(0, |vector| vector.len());
    let mut rows = Panels::new(d, encoding);
    let off = vectors.iter().map(|vector| rows.push(vector)).fold(0.0, f64::max);
    let longest = vectors.iter().map(|vector| norm(vector)).fold(0.0, f64::max);
    error(&Arithmetic::STEPS, d, longest, off)
}
