//! The setting that says how rows are kept for the product, and a short measurement that chooses.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::bound::{Arithmetic, error, lowered};
use crate::index::kernels::Encoding;
use crate::index::kernels::Kernel;
use crate::index::kernels::Panels;
use crate::index::kernels::norm::norm;
use crate::index::kernels::score::{score, scores};
use crate::index::kernels::tile::ROWS;
use crate::index::kernels::{Limits, Queries};

/// Says how rows are kept for the product. The lists are the same: what takes less memory proposes more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// As [`Storage::measure`] finds best, for whoever runs the graph to ask. Where nobody did, words.
    #[default]
    Measured,
    /// 4 bytes a value.
    F32,
    /// 2 bytes a value, in steps of each row's own. Earlier versions' `f16` is read as this.
    #[serde(alias = "f16")]
    Words,
    /// Whole vectors a byte a value, in steps of each row's own; their projections 2 bytes.
    Bytes,
}

/// Values of the rows that are measured with: 4 MB of singles, more than a core's own cache holds.
const VALUES: usize = 1 << 20;
/// Rows at least, and at most.
const MEASURED_ROWS: (usize, usize) = (256, 4096);
/// Queries that meet them together.
const MEASURED_QUERIES: usize = 24;
/// Entries that a list keeps.
const ENTRIES: usize = 20;
/// Values of a projection, its remainder included.
const PROJECTED: usize = 64;
/// Rounds, in turns: the fastest counts.
const ROUNDS: usize = 5;

impl Storage {
    /// The three ways, each of which a measurement may choose.
    pub const FIXED: [Storage; 3] = [Storage::Words, Storage::Bytes, Storage::F32];

    /// Returns how whole vectors are kept.
    pub fn whole(self) -> Encoding {
        match self {
            Storage::F32 => Encoding::F32,
            Storage::Words | Storage::Measured => Encoding::Words,
            Storage::Bytes => Encoding::Bytes,
        }
    }

    /// Returns how projections are kept: a byte's step is too coarse for them, as their first values are much larger than the others.
    pub fn projected(self) -> Encoding {
        match self {
            Storage::F32 => Encoding::F32,
            Storage::Words | Storage::Bytes | Storage::Measured => Encoding::Words,
        }
    }

    /// The way that takes least for rows of `d` values where `kernel` multiplies, by tens of milliseconds of work like a cell's: random
    /// rows of unit length meet queries whole, what reaches the k-th score of a list is scored, and projections meet.
    ///
    /// Which of the two a cell does more of depends on its vectors, so each counts by how many times as long as the best way it takes.
    pub fn measure(d: usize, kernel: Kernel) -> Self {
        let d = d.max(1);
        let rows = (VALUES / d).clamp(MEASURED_ROWS.0, MEASURED_ROWS.1).next_multiple_of(ROWS);
        let whole = times(d, rows, kernel);
        let projected = times(PROJECTED, rows, kernel);
        let times_best = |times: &[Duration; 3], encoding: Encoding| {
            let best = times.iter().min().map_or(0.0, Duration::as_secs_f64);
            times[encoding as usize].as_secs_f64() / best.max(1e-9)
        };
        let takes = |way: &Storage| times_best(&whole, way.whole()) + times_best(&projected, way.projected());
        let least = Storage::FIXED.into_iter().min_by(|a, b| takes(a).total_cmp(&takes(b)));
        least.unwrap_or(Storage::Words)
    }
}

/// Returns how long queries take to meet `rows` random rows of `d` values, by [`Encoding`].
fn times(d: usize, rows: usize, kernel: Kernel) -> [Duration; 3] {
    let mut rng = Pcg64::seed_from_u64(d as u64);
    let mut flat: Vec<f32> = (0..rows * d).map(|_| rng.random::<f32>() - 0.5).collect();
    for row in flat.chunks_exact_mut(d) {
        let length = norm(row).max(f64::MIN_POSITIVE) as f32;
        row.iter_mut().for_each(|value| *value /= length);
    }
    let row = |at: usize| &flat[at * d..(at + 1) * d];
    // The k-th scores of the queries' lists.
    let mut of_query = vec![0.0; rows];
    let kth_scores: Vec<f32> = (0..MEASURED_QUERIES)
        .map(|query| {
            scores(row(query), &flat, &mut of_query);
            *of_query.select_nth_unstable_by(ENTRIES.min(rows - 1), |a, b| b.total_cmp(a)).1
        })
        .collect();
    let thresholds = vec![f32::INFINITY; rows];
    let kept = [Encoding::F32, Encoding::Words, Encoding::Bytes].map(|encoding| {
        let mut panels = Panels::new(d, encoding);
        let off = (0..rows).map(|at| panels.push(row(at))).fold(0.0, f64::max);
        let error = error(&Arithmetic::of(panels.encoding()), d, 1.001, off);
        (panels, error)
    });
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        for (best, (panels, error)) in best.iter_mut().zip(&kept) {
            let limits = |score: &f32| Limits { rows, threshold: lowered(*score, *error) };
            let mut queries = Queries::new(panels, kernel, kth_scores.iter().map(limits).enumerate());
            let (begun, mut candidates, mut from) = (Instant::now(), Vec::new(), Some(0));
            while let Some(at) = from {
                from = queries.propose(panels, at, &thresholds, &mut candidates);
            }
            let scored = candidates.iter().map(|pair| score(row(pair.query), row(pair.row)).0);
            std::hint::black_box(scored.sum::<f32>());
            *best = (*best).min(begun.elapsed());
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_chooses_one_of_the_ways_with_any_kernel_and_length() {
        for kernel in Kernel::all() {
            for d in [0, 3, 256, 688] {
                let begun = Instant::now();
                let chosen = Storage::measure(d, kernel);
                assert!(Storage::FIXED.contains(&chosen), "{chosen:?}");
                println!("{}, d {d}: {chosen:?} after {:?}", kernel.name(), begun.elapsed());
            }
        }
    }

    #[test]
    fn earlier_names_are_read() {
        let read = |text: &str| serde_json::from_str::<Storage>(text).unwrap();
        assert_eq!((read("\"f16\""), read("\"measured\"")), (Storage::Words, Storage::Measured));
        assert_eq!(Storage::FIXED.map(|way| read(&serde_json::to_string(&way).unwrap())), Storage::FIXED);
    }
}
