//! A proposer that multiplies projections on a few directions, and re-ranks what reaches a threshold along more of them.
//!
//! A row's projection has its scores with the first directions of a [`Basis`], then the length of what they leave. The score of two
//! projections is not below that of their vectors (see [`bound`](super::bound)), and costs a fraction of it where a few directions hold
//! most of every vector, as they do for pictures.
//!
//! A pair that reaches a threshold is looked at again along more directions, in bytes: each row's scores with the directions after those of its
//! projection, in 255 steps of the row's own, and how long what all of them leave is. They are read only for pairs that the product
//! proposes, so they cost it nothing.

use std::borrow::Cow;

use super::bound::{Arithmetic, ErrorInputs, ProjectionBound, rounded_up};
use super::projection::Projection;
use super::proposer::Proposer;
use crate::index::kernels::Encoding;
use crate::index::kernels::Kernel;
use crate::index::kernels::Panels;
use crate::index::kernels::encoding::{byte_scale, byte_step};
use crate::index::kernels::norm::{distance, norm};
use crate::index::kernels::threads::on_threads;
use crate::index::kernels::vector::Vector;
use crate::index::kernels::{Candidate, Limits, Queries};

/// Rows that are projected together, by one thread.
const TOGETHER: usize = 16;

/// Rows as a projection has them.
#[derive(Debug)]
pub struct ProjectedVectors {
    kernel: Kernel,
    projection: Projection,
    panels: Panels,
    rerank: Rerank,
    inputs: ErrorInputs,
    error: f32,
    /// The largest error of the bounds of a re-ranked pair.
    rerank_error: f64,
}

/// What is kept of a row.
struct Projected {
    /// Its scores with the first directions, and the length of what these leave.
    first: Vec<f32>,
    /// Its scores with the directions of the re-rank.
    further: Vec<f32>,
    /// The length of what all directions leave.
    left: f32,
    norm: f64,
}

impl ProjectedVectors {
    /// Without rows.
    pub fn new(projection: Projection, encoding: Encoding, kernel: Kernel) -> Self {
        let panels = Panels::new(projection.directions() + 1, encoding);
        let rerank = Rerank::new(projection.reranked() - projection.directions());
        let (inputs, error, rerank_error) = (ErrorInputs::default(), 0.0, 0.0);
        ProjectedVectors { kernel, projection, panels, rerank, inputs, error, rerank_error }
    }

    /// The bounds on the directions of the product, and on those of the re-rank too.
    fn bounds(&self) -> [ProjectionBound; 2] {
        let Projection { basis, .. } = &self.projection;
        [self.projection.directions(), self.projection.reranked()].map(|m| ProjectionBound::of(basis, m))
    }

    fn project(&self, vectors: &[&Vector]) -> Vec<Projected> {
        let vectors: Vec<Cow<'_, [f32]>> = vectors.iter().map(|vector| vector.values()).collect();
        let vectors: Vec<&[f32]> = vectors.iter().map(|vector| &**vector).collect();
        let mut along: Vec<Vec<f32>> = vec![vec![0.0; self.projection.reranked()]; vectors.len()];
        self.projection.basis.project(&vectors, &mut along);
        let ([of_first, of_all], directions) = (self.bounds(), self.projection.directions());
        let projected = |(vector, mut first): (&&[f32], Vec<f32>)| {
            let left = of_all.left(vector, &first);
            let further = first.split_off(directions);
            first.push(of_first.left(vector, &first));
            Projected { first, further, left, norm: norm(vector) }
        };
        vectors.iter().zip(along).map(projected).collect()
    }
}

impl Proposer for ProjectedVectors {
    fn len(&self) -> usize {
        self.panels.len()
    }

    fn append(&mut self, vectors: &[&Vector], threads: usize) {
        let before = self.inputs;
        let some: Vec<&[&Vector]> = vectors.chunks(TOGETHER).collect();
        for row in on_threads(threads, 4, &some, |vectors| self.project(vectors)).into_iter().flatten() {
            self.rerank.push(&row.further, row.first.last().copied().unwrap_or(0.0), row.left);
            let off = self.panels.push(&row.first);
            self.inputs = self.inputs.and(ErrorInputs { norm: row.norm, longest: norm(&row.first), off });
        }
        if self.inputs != before {
            let ([of_first, of_all], by) = (self.bounds(), Arithmetic::of(self.panels.encoding()));
            self.error = of_first.error(&by, &self.inputs);
            self.rerank_error = of_first.rerank_error(&of_all, &by, &self.inputs);
        }
    }

    fn swap_remove(&mut self, at: usize) {
        self.panels.swap_remove(at);
        self.rerank.swap_remove(at);
    }

    fn error(&self) -> f32 {
        self.error
    }

    fn values(&self) -> usize {
        self.panels.d()
    }

    fn together(&self) -> usize {
        Queries::together(&self.panels)
    }

    fn is_tight(&self) -> bool {
        false
    }

    fn queries(&self, some: &[(usize, Limits)]) -> Queries {
        Queries::new(&self.panels, self.kernel, some.iter().copied())
    }

    fn propose(
        &self,
        queries: &mut Queries,
        from: usize,
        thresholds: &[f32],
        candidates: &mut Vec<Candidate>,
    ) -> Option<usize> {
        queries.propose(&self.panels, from, thresholds, candidates)
    }

    fn rerank(&self, first: usize, candidates: &mut [Candidate]) {
        // Thresholds are lowered by the error of fast scores, so what takes the place of a fast score is.
        let errors = (self.rerank_error, self.rerank_error - f64::from(self.error));
        self.rerank.narrow(first, errors, candidates);
    }
}

/// The further scores of rows, each in its place.
#[derive(Clone, Debug, Default)]
struct Rerank {
    /// Values a row.
    values: usize,
    steps: Vec<i8>,
    rows: Vec<Further>,
}

/// What is known of a row beside its steps.
#[derive(Clone, Copy, Debug)]
struct Further {
    /// What a step is worth.
    scale: f32,
    /// How long the further scores are.
    length: f32,
    /// How far what is stored is from them.
    off: f32,
    /// How long what the projection leaves is.
    left_first: f32,
    /// How long what all directions leave is.
    left: f32,
}

impl Rerank {
    /// Without rows; they will have `values` further scores.
    fn new(values: usize) -> Self {
        Rerank { values, steps: Vec::new(), rows: Vec::new() }
    }

    /// Puts a row at the end: its further scores, how long what its projection leaves is, and how long what all directions leave is.
    fn push(&mut self, values: &[f32], left_first: f32, left: f32) {
        assert_eq!(values.len(), self.values, "rows of one cell have one length");
        let scale = byte_scale(values);
        let first = self.steps.len();
        self.steps.extend(values.iter().map(|value| byte_step(*value, scale)));
        let stored = self.steps[first..].iter().map(|step| f64::from(scale) * f64::from(*step));
        let off = rounded_up(distance(values, stored));
        let length = rounded_up(norm(values));
        self.rows.push(Further { scale, length, off, left_first, left });
    }

    /// Takes a row out; the last one takes its place.
    fn swap_remove(&mut self, at: usize) {
        self.rows.swap_remove(at);
        let last = self.rows.len() * self.values;
        self.steps.copy_within(last.., at * self.values);
        self.steps.truncate(last);
    }

    /// Narrows the bounds of candidates whose queries are the rows from place `first` on. `errors`: how far the lower one can be
    /// above the canonical score, and by how much the upper one is to be raised.
    fn narrow(&self, first: usize, errors: (f64, f64), candidates: &mut [Candidate]) {
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was just seen to have AVX2.
            return unsafe { narrow_avx2(self, first, errors, candidates) };
        }
        self.narrow_by(first, errors, candidates, dot);
    }
}

impl Rerank {
    #[inline(always)]
    fn narrow_by(
        &self,
        first: usize,
        errors: (f64, f64),
        candidates: &mut [Candidate],
        dot: impl Fn(&[i8], &[i8]) -> i32,
    ) {
        let values = self.values;
        for pair in candidates {
            let query = first + pair.query;
            let (a, b) = (&self.rows[query], &self.rows[pair.row]);
            let of_query = &self.steps[query * values..(query + 1) * values];
            let of_row = &self.steps[pair.row * values..(pair.row + 1) * values];
            let single = f64::from;
            let along = single(a.scale) * single(b.scale) * f64::from(dot(of_query, of_row));
            let middle = single(pair.most) + along - single(a.left_first) * single(b.left_first);
            let lost = single(a.length) * single(b.off) + single(a.off) * (single(b.length) + single(b.off));
            let around = lost + single(a.left) * single(b.left);
            // Rounded to f32: to the next value below or above. Nothing is known of what an infinite score stands for.
            let lower = ((middle - around - errors.0) as f32).next_down();
            pair.least = if pair.most.is_finite() { lower } else { f32::NEG_INFINITY };
            pair.most = pair.most.min(((middle + around + errors.1) as f32).next_up());
        }
    }
}

/// The sum of the products of two rows of steps.
#[inline(always)]
fn dot(a: &[i8], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum()
}

/// The same, sixteen at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn narrow_avx2(rows: &Rerank, first: usize, errors: (f64, f64), candidates: &mut [Candidate]) {
    rows.narrow_by(first, errors, candidates, |a, b| dot_avx2(a, b));
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx2")]
fn dot_avx2(a: &[i8], b: &[i8]) -> i32 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_loadu_si128, _mm_shuffle_epi32, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_cvtepi8_epi16, _mm256_extracti128_si256, _mm256_madd_epi16,
        _mm256_setzero_si256,
    };
    let ((a_blocks, a_rest), (b_blocks, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = _mm256_setzero_si256();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        let wide = |block: &[i8; 16]| {
            // SAFETY: a register is 16 values of i8.
            _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(block.as_ptr().cast::<__m128i>()) })
        };
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(wide(x), wide(y)));
    }
    let four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
    let sum = _mm_cvtsi128_si32(one);
    if a_rest.is_empty() { sum } else { sum + dot(a_rest, b_rest) }
}
