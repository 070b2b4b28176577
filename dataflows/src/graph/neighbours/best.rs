//! The best entries of one query in one cell, kept exact under inserts and deletes of rows.

use super::super::node::{List, Neighbour};
use super::super::score::near;
use crate::id::NodeId;

/// The nearest eligible rows of one query in one cell, best first. It holds up to `k` entries and some spare ones, `full` in all,
/// so that most deleted rows are replaced without a look at the other rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Best {
    entries: List,
    /// All eligible rows up to here in the list's order are in `entries`; `None` when all there are.
    complete_to: Option<Neighbour>,
}

impl Best {
    /// Of a query that no row was offered to yet.
    pub(super) fn new() -> Self {
        Best::default()
    }

    /// The list as the store knew it. A short one was all there was.
    pub(super) fn known(mut list: List, k: usize) -> Self {
        list.truncate(k);
        let complete_to = if list.len() < k { None } else { list.last().copied() };
        Best { entries: list, complete_to }
    }

    /// The list: the `k` best.
    pub(super) fn list(&self, k: usize) -> &[Neighbour] {
        &self.entries[..self.entries.len().min(k)]
    }

    /// A row scoring less than this cannot enter.
    pub(super) fn floor(&self, k: usize) -> f32 {
        match &self.complete_to {
            _ if k == 0 => f32::INFINITY,
            Some(last) => last.score.0,
            None => f32::NEG_INFINITY,
        }
    }

    /// Whether taking this row in changes the list, not only what is spare.
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
            // Rows that do not reach the floor are not offered any more.
            self.complete_to = self.entries.last().copied();
        }
    }

    /// Asks for the entries to be brought near.
    pub(super) fn near(&self) {
        near(&self.entries);
    }

    /// Whether an entry is one of the rows that `gone` tells.
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
        enough.then_some(Best { entries, complete_to: self.complete_to })
    }
}
