//! The rules that the lists of a cell follow.

use crate::id::NodeId;
use crate::index::kernels::Kernel;
use crate::index::partition::policy::Settings;
use crate::index::quantize::ProjectedVectors;
use crate::index::quantize::Proposer;
use crate::index::quantize::Storage;
use crate::index::quantize::WholeVectors;
use crate::index::quantize::{Projecting, Projection};

/// Says what lists in a cell follow.
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
    /// Says how rows are kept for the product.
    pub(super) storage: Storage,
    /// Says what multiplies them.
    pub(super) kernel: Kernel,
    /// Says whether the product multiplies projections.
    pub(super) projecting: Projecting,
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
            kernel: settings.kernel,
            projecting: settings.projection,
        }
    }

    /// A proposer without rows, of vectors of `d` values.
    pub(super) fn proposer(&self, d: usize, projection: Option<Projection>) -> Box<dyn Proposer> {
        match projection {
            Some(on) => Box::new(ProjectedVectors::new(on, self.storage.projected(), self.kernel)),
            None => Box::new(WholeVectors::new(d, self.storage.whole(), self.kernel)),
        }
    }

    /// Returns whether two nodes may be neighbours: of different tracks and, when of one source, further apart than T.
    pub(super) fn eligible(&self, a: (NodeId, u64), b: (NodeId, u64)) -> bool {
        a.0.track() != b.0.track() && (a.0.source() != b.0.source() || a.1.abs_diff(b.1) > self.separation_ns)
    }
}
