//! The trait that a cell needs of the rows it keeps: pairs are proposed quickly, of which canonical scores then choose.

use std::fmt::Debug;

use super::bound::lowered;
use crate::index::kernels::tile::ROWS;
use crate::index::kernels::vector::Vector;
use crate::index::kernels::{Candidate, Limits, Queries};

/// The rows of a cell, each in its place, and what proposes pairs of them.
///
/// # Contract
///
/// - **It misses nothing.** Let a query have threshold t and meet the rows before place n, and let a row before place n have threshold u. If
///   the pair's canonical score minus [`error`](Proposer::error) is at least t or at least u, the pair is proposed. So whoever compares scores
///   with a k-th score s gives [`threshold`](Proposer::threshold)(s), and a pair whose canonical score equals s is proposed: ties are for the
///   caller to decide.
/// - **It may propose too much**: any pair of a query and a row that the query meets, each at most once in one go through the rows; and pairs
///   with rows before the place to go on from that lie in the same panel of sixteen.
/// - An infinite threshold is reached by nothing, minus infinity by everything. Undefined and infinite fast scores count as reached: they come
///   of values so large that the error is infinite, too.
/// - **Bounds.** A candidate's canonical score is at most `most` plus the error and at least `least`. [`rerank`](Proposer::rerank) narrows
///   both and keeps that so; before it, `least` is minus infinity.
/// - A row's place changes only when another is taken out: then the last row takes its place.
/// - The error grows as longer vectors come, and thresholds made before are to be made anew.
/// - Nothing that is proposed depends on threads. Several may read a proposer at a time.
///
/// # Which one
///
/// [`WholeVectors`](super::whole::WholeVectors) multiplies all values of a pair; its bounds are as narrow as rounding lets them be.
/// [`ProjectedVectors`](super::projected::ProjectedVectors) multiplies a few values and looks again at what is left: better where a few
/// directions hold most of every vector. [`Projection::choose`](super::projection::Projection::choose) reckons which takes less over a cell's own rows.
pub trait Proposer: Debug + Send + Sync {
    /// Rows.
    fn len(&self) -> usize;

    /// Puts rows at the end, made ready on at most `threads` threads. All rows of a proposer have one length.
    fn append(&mut self, vectors: &[&Vector], threads: usize);

    /// Takes a row out; the last one takes its place.
    fn swap_remove(&mut self, at: usize);

    /// Returns how far a fast score can be below the canonical one.
    fn error(&self) -> f32;

    /// Values that are multiplied for each pair.
    fn values(&self) -> usize;

    /// Returns how many queries go well together.
    fn together(&self) -> usize;

    /// Returns true when what a pair is known to score at least is close to what it scores at most, so that scoring it teaches nothing for other pairs.
    fn is_tight(&self) -> bool;

    /// The rows in some places as queries, each with its limits.
    fn queries(&self, some: &[(usize, Limits)]) -> Queries;

    /// Adds candidates among the rows from place `from` on, as many as go well together. `thresholds` has one for each of the
    /// [`places`](Proposer::places). Returns the place to go on from, `None` when there are no more.
    fn propose(
        &self,
        queries: &mut Queries,
        from: usize,
        thresholds: &[f32],
        candidates: &mut Vec<Candidate>,
    ) -> Option<usize>;

    /// Narrows the bounds of candidates whose queries are the rows from place `first` on.
    fn rerank(&self, first: usize, candidates: &mut [Candidate]);

    /// Returns true when there are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of thresholds to be: one for each row, and infinite ones up to a whole panel.
    fn places(&self) -> usize {
        self.len().next_multiple_of(ROWS)
    }

    /// Returns what the fast score of a pair reaches whose canonical score is `score` or more.
    fn threshold(&self, score: f32) -> f32 {
        lowered(score, self.error())
    }
}
