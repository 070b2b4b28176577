//! The best entries of one query in one cell, kept exact under inserts and deletes of rows; and those of a new query while it meets all rows.

use crate::id::NodeId;
use crate::index::kernels::score::near;
use crate::index::node::{List, Neighbour};

/// The nearest eligible rows of one query in one cell, best first. It holds up to `k` entries and some spare ones, `full` in all,
/// so that most deleted rows are replaced without a look at the other rows.
#[derive(Clone, Debug, Default)]
pub(super) struct TopK {
    entries: List,
    /// All eligible rows up to here in the list's order are in `entries`; `None` when all there are.
    complete_to: Option<Neighbour>,
}

impl TopK {
    /// Of a query that no row was offered to yet.
    pub(super) fn new() -> Self {
        TopK::default()
    }

    /// The list as the store knew it. A short one was all there was.
    pub(super) fn known(mut list: List, k: usize) -> Self {
        list.truncate(k);
        let complete_to = if list.len() < k { None } else { list.last().copied() };
        TopK { entries: list, complete_to }
    }

    /// The list: the `k` best.
    pub(super) fn list(&self, k: usize) -> &[Neighbour] {
        &self.entries[..self.entries.len().min(k)]
    }

    /// A row scoring less than this cannot enter.
    pub(super) fn kth_score(&self, k: usize) -> f32 {
        match &self.complete_to {
            _ if k == 0 => f32::INFINITY,
            Some(last) => last.score.0,
            None => f32::NEG_INFINITY,
        }
    }

    /// Returns whether taking this row in changes the list, not only what is spare.
    pub(super) fn changes(&self, row: &Neighbour, k: usize) -> bool {
        k > 0 && self.entries.get(k - 1).is_none_or(|last| row < last)
    }

    /// Takes an eligible row in if it is among the `full` best.
    pub(super) fn offer(&mut self, row: Neighbour, full: usize) {
        if full == 0 || self.complete_to.is_some_and(|last| row > last) {
            return;
        }
        let Err(at) = self.entries.binary_search(&row) else { return };
        if self.entries.len() == full {
            self.entries.pop();
        }
        if self.entries.capacity() == self.entries.len() {
            let room = (self.entries.len() * 2).max(4).min(full);
            self.entries.reserve_exact(room - self.entries.len());
        }
        self.entries.insert(at.min(self.entries.len()), row);
        if self.entries.len() == full {
            // Rows that do not reach the last one's score are not offered any more.
            self.complete_to = self.entries.last().copied();
        }
    }

    /// Asks for the entries to be brought near.
    pub(super) fn near(&self) {
        near(&self.entries);
    }

    /// Returns whether an entry is one of the rows that `gone` tells.
    pub(super) fn has(&self, gone: impl Fn(NodeId) -> bool) -> bool {
        self.entries.iter().any(|e| gone(e.node))
    }

    /// Takes out the rows that `gone` tells. Says whether `k` are left, or all there are.
    pub(super) fn remove(&mut self, gone: impl Fn(NodeId) -> bool, k: usize) -> bool {
        self.entries.retain(|e| !gone(e.node));
        self.complete_to.is_none() || self.entries.len() >= k
    }

    /// The best of those rows alone that `stay` tells, unless fewer than `k` of them are known and there may be more.
    pub(super) fn over(&self, stay: impl Fn(NodeId) -> bool, k: usize) -> Option<Self> {
        let mut entries = Vec::with_capacity(self.entries.len());
        entries.extend(self.entries.iter().filter(|e| stay(e.node)));
        let enough = self.complete_to.is_none() || entries.len() >= k;
        enough.then_some(TopK { entries, complete_to: self.complete_to })
    }
}

/// The `full` best rows so far of a new query. Putting each row into the list that is among the best for a while would
/// cost more than choosing now and then, and so would scoring each: what is known to score at least so much raises the k-th score unscored, and
/// what may score enough waits until all rows were met.
#[derive(Debug)]
pub(super) struct Draft {
    full: usize,
    kth_score: f32,
    /// Canonical scores and places of rows that were scored, best first: the `full` best, and those that score as the last of them.
    scored: Vec<(f32, u32)>,
    /// The `full` largest scores that rows are known to reach, largest first.
    promised: Vec<f32>,
    /// Of the rows that wait: what the fast score may be at most, and the place.
    waiting: Vec<(f32, u32)>,
    waiting_limit: usize,
}

/// Rows wait in no fewer before they are sorted out.
const WAITING: usize = 256;

impl Draft {
    /// Of a query that rows scoring below `kth_score` need not be offered to.
    pub(super) fn new(full: usize, kth_score: f32) -> Self {
        Draft {
            full,
            kth_score,
            scored: Vec::with_capacity(full),
            promised: Vec::with_capacity(full),
            waiting: Vec::with_capacity(WAITING),
            waiting_limit: WAITING,
        }
    }

    /// A row scoring less is not among the best.
    pub(super) fn kth_score(&self) -> f32 {
        self.kth_score
    }

    /// Takes in a row that was scored.
    pub(super) fn push(&mut self, score: f32, place: u32) {
        if self.full == 0 || score < self.kth_score {
            return;
        }
        let at = self.scored.partition_point(|(better, _)| better.total_cmp(&score).is_ge());
        self.scored.insert(at, (score, place));
        if let Some((last, _)) = self.scored.get(self.full - 1).copied() {
            self.kth_score = self.kth_score.max(last);
            while self.scored.last().is_some_and(|(score, _)| *score < last) {
                self.scored.pop();
            }
        }
    }

    /// Hears of an eligible row, each once, that scores no less than `least`.
    pub(super) fn promise(&mut self, least: f32) {
        if self.full == 0 || least <= self.kth_score || least.is_nan() {
            return;
        }
        self.promised.truncate(self.full - 1);
        let at = self.promised.partition_point(|more| *more >= least);
        self.promised.insert(at, least);
        if let Some(last) = self.promised.get(self.full - 1) {
            self.kth_score = self.kth_score.max(*last);
        }
    }

    /// Has a row wait whose fast score may be as much as `most`; those whose may not be `threshold(k-th score)` need not wait longer.
    pub(super) fn wait(&mut self, most: f32, place: u32, threshold: impl Fn(f32) -> f32) {
        self.waiting.push((most, place));
        if self.waiting.len() >= self.waiting_limit {
            let least = threshold(self.kth_score);
            // What is undefined may be anything.
            self.waiting.retain(|(most, _)| *most >= least || most.is_nan());
            self.waiting_limit = (2 * self.waiting.len()).max(WAITING);
        }
    }

    /// Adds to `to` the rows that wait and may still be among the best, those first that may score most; as for [`Draft::wait`]. They wait no
    /// longer.
    pub(super) fn waiting(&mut self, threshold: impl Fn(f32) -> f32, to: &mut Vec<(f32, u32)>) {
        let least = threshold(self.kth_score);
        self.waiting.retain(|(most, _)| *most >= least || most.is_nan());
        self.waiting.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        to.append(&mut self.waiting);
    }

    /// Canonical scores and places of the best rows.
    pub(super) fn best(self) -> impl Iterator<Item = (f32, usize)> {
        self.scored.into_iter().map(|(score, place)| (score, place as usize))
    }
}
