//! The basis that a worker learns of its cells' vectors, again each time there are four times as many.

use std::sync::Arc;

use super::cell_index::CellIndex;
use crate::index::quantize::Basis;
use crate::index::quantize::{Projecting, Projection};

/// Rows to learn from before the first basis, and how many of them are looked at.
const SAMPLE: usize = 1024;
/// Values looked at: with long vectors there are fewer directions.
const VALUES: usize = 512 * 1024;
/// Directions at most.
const DIRECTIONS: usize = 384;

/// The worker's basis.
#[derive(Debug)]
pub(super) struct Learner {
    basis: Option<Arc<Basis>>,
    projecting: Projecting,
    /// It is learnt anew at so many members.
    next: usize,
}

impl Learner {
    pub(super) fn new(projecting: Projecting) -> Self {
        let next = match projecting {
            Projecting::Measured => SAMPLE,
            Projecting::Never => usize::MAX,
            Projecting::First(_) | Projecting::Twice(..) => 1,
        };
        Learner { basis: None, projecting, next }
    }

    pub(super) fn basis(&self) -> Option<&Arc<Basis>> {
        self.basis.as_ref()
    }

    /// Learns from the members of `cells` when it is time.
    pub(super) fn learn<'a>(&mut self, cells: impl Iterator<Item = &'a CellIndex> + Clone) {
        let members: usize = cells.clone().map(CellIndex::len).sum();
        if members < self.next || self.projecting == Projecting::Never {
            return;
        }
        self.next = 4 * members;
        let of_cell = |cell: &'a CellIndex| cell.sample((SAMPLE * cell.len()).div_ceil(members));
        let sample: Vec<_> = cells.flat_map(of_cell).collect();
        let Some(d) = sample.first().map(|vector| vector.len()).filter(|d| *d > 0) else { return };
        let alike: Vec<&[f32]> =
            sample.iter().map(|vector| &**vector).filter(|vector| vector.len() == d).collect();
        let most = if self.projecting == Projecting::Measured { Projection::most(d) } else { d };
        let count = DIRECTIONS.min(VALUES / d).clamp(1, most.max(1));
        self.basis = Basis::learn(&alike, count).map(Arc::new).or(self.basis.take());
    }
}
