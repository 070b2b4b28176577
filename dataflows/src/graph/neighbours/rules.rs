//! What the lists of a cell follow.

use super::super::policy::Settings;
use super::super::product::{Rows, Sketch, Sketching, Storage};
use crate::id::NodeId;

/// What lists in a cell follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Entries of a list.
    pub(super) k: usize,
    /// Entries with the spare ones.
    pub(super) full: usize,
    /// T, nanoseconds.
    pub(super) separation_ns: u64,
    /// With fewer rows the cell's lists are empty.
    pub(super) min_rows: usize,
    /// Threads that a cell may take to meet what is new.
    pub(super) threads: usize,
    /// How rows are kept for the product.
    pub(super) storage: Storage,
    /// What the product sees of them.
    pub(super) sketching: Sketching,
}

impl Rules {
    pub(super) fn of(settings: &Settings, workers: usize) -> Self {
        Rules {
            k: settings.k,
            full: 2 * settings.k,
            separation_ns: settings.separation_ns(),
            min_rows: settings.min_cell(),
            threads: settings.threads_of(workers),
            storage: settings.storage,
            sketching: settings.sketching,
        }
    }

    /// No rows yet, of vectors of `d` values as `sketch` has them.
    pub(super) fn rows(&self, d: usize, sketch: &Sketch) -> Rows {
        Rows::new(sketch.values(d), sketch.is_whole(), self.storage)
    }

    /// Whether two nodes may be neighbours: of different tracks and, when of one source, further apart than T.
    pub(super) fn eligible(&self, a: (NodeId, u64), b: (NodeId, u64)) -> bool {
        a.0.track() != b.0.track() && (a.0.source() != b.0.source() || a.1.abs_diff(b.1) > self.separation_ns)
    }
}

/// A node's bits, spread by Fibonacci hashing (Knuth, The Art of Computer Programming 3, section 6.4): the upper ones are
/// to be used.
pub(super) fn spread(node: NodeId) -> u64 {
    node.0.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
