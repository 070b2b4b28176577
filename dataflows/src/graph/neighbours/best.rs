//! The best entries of one query in one cell, kept exact under inserts and deletes of rows.

use super::super::node::{List, Neighbour};
use crate::id::NodeId;

/// The nearest eligible rows of one query in one cell, best first. It holds up to `k` entries and as many spare ones,
/// so that most deleted rows are replaced without a look at the other rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Best {
    entries: List,
    /// Whether `entries` are all eligible rows there are, and not just the first of them.
    all: bool,
}

impl Best {
    /// Of a query that no row was offered to yet.
    pub(super) fn new() -> Self {
        Best { entries: Vec::new(), all: true }
    }

    /// The list as the store knew it. A short one was all there was.
    pub(super) fn known(mut list: List, k: usize) -> Self {
        list.truncate(k);
        let all = list.len() < k;
        Best { entries: list, all }
    }

    /// The list: the `k` best.
    pub(super) fn list(&self, k: usize) -> &[Neighbour] {
        &self.entries[..self.entries.len().min(k)]
    }

    /// A row scoring less than this cannot enter.
    pub(super) fn floor(&self, k: usize) -> f32 {
        if k == 0 {
            f32::INFINITY
        } else if self.all && self.entries.len() < 2 * k {
            f32::NEG_INFINITY
        } else {
            self.entries.last().map_or(f32::INFINITY, |last| last.score.0)
        }
    }

    /// Takes an eligible row in if it is among the best. Says where.
    pub(super) fn offer(&mut self, row: Neighbour, k: usize) -> Option<usize> {
        let at = self.entries.binary_search(&row).unwrap_or_else(|at| at);
        if at == self.entries.len() && (!self.all || at >= 2 * k) {
            self.all = false;
            return None;
        }
        self.entries.insert(at, row);
        if self.entries.len() >= 2 * k {
            // Rows that do not reach the floor are not offered any more.
            self.entries.truncate(2 * k);
            self.all = false;
        }
        Some(at)
    }

    /// Whether an entry is one of the rows that `gone` tells.
    pub(super) fn has(&self, gone: impl Fn(NodeId) -> bool) -> bool {
        self.entries.iter().any(|e| gone(e.node))
    }

    /// Takes out the rows that `gone` tells. Says whether `k` are left, or all there are.
    pub(super) fn remove(&mut self, gone: impl Fn(NodeId) -> bool, k: usize) -> bool {
        self.entries.retain(|e| !gone(e.node));
        self.all || self.entries.len() >= k
    }
}
