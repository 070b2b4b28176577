//! The seam between a cell and the kernels: rows as a kernel keeps them, and some of them that are to meet others.

use std::ops::Range;

use super::batch::{Batch, Hit, Late};
use super::kind::KernelKind;
use super::panels::{Panels, Storage};
use super::tile::{Kernel, ROWS};
#[cfg(feature = "torch")]
use super::torch::{Tensors, TorchBatch};

/// Panels of our own kernel whose hits are gathered before they are looked at: the best by fast score go first and raise the
/// floor for the others.
const BLOCK: usize = 32;

/// Rows of d values each, as a kernel keeps them: a row's place changes only when another is taken out.
#[derive(Debug)]
pub enum Rows {
    /// Our own.
    Own(Panels),
    /// libtorch's.
    #[cfg(feature = "torch")]
    Torch(Tensors),
}

/// Some rows that meet others of their kind together.
#[derive(Debug)]
pub enum Lates {
    /// Our own.
    Own(Batch),
    /// libtorch's.
    #[cfg(feature = "torch")]
    Torch(TorchBatch),
}

impl Rows {
    /// Without rows; they will have `d` values.
    pub fn new(d: usize, storage: Storage, kernel: KernelKind) -> Self {
        match kernel {
            #[cfg(feature = "torch")]
            KernelKind::Torch(device) => Rows::Torch(Tensors::new(d, storage, device)),
            _ => Rows::Own(Panels::new(d, storage)),
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Rows::Own(panels) => panels.len(),
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => tensors.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many floors there are to be: one for each row, and infinite ones up to a whole panel.
    pub fn places(&self) -> usize {
        self.len().next_multiple_of(ROWS)
    }

    /// Puts `row` (d values) at the end. Returns how far what is stored is from it.
    pub fn push(&mut self, row: &[f32]) -> f64 {
        match self {
            Rows::Own(panels) => panels.push(row),
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => tensors.push(row),
        }
    }

    /// Takes a row out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) {
        match self {
            Rows::Own(panels) => panels.swap_remove(at),
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => tensors.swap_remove(at),
        }
    }

    /// How many rows go well together to meet others.
    pub fn together(&self) -> usize {
        match self {
            Rows::Own(panels) => Batch::size(panels.d()),
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => tensors.together(),
        }
    }

    /// The rows in `places` that are to meet others as `lates` has it, one for each.
    pub fn lates(&mut self, places: Range<usize>, lates: Vec<Late>) -> Lates {
        match self {
            Rows::Own(panels) => {
                let (mut batch, mut row) = (Batch::new(panels.d(), Kernel::best()), Vec::new());
                for (at, late) in places.zip(lates) {
                    panels.read(at, &mut row);
                    batch.push(&row, late);
                }
                Lates::Own(batch)
            }
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => Lates::Torch(tensors.lates(places, lates)),
        }
    }
}

impl Lates {
    /// What is told of each.
    pub fn limits(&mut self) -> &mut [Late] {
        match self {
            Lates::Own(batch) => batch.lates(),
            #[cfg(feature = "torch")]
            Lates::Torch(batch) => batch.lates(),
        }
    }

    /// Adds to `hits` the pairs of these with the rows from place `from` on, as many as go well together, that reach the late
    /// one's floor or the row's. `floors` has one for each of the [`Rows::places`]. Returns the place to go on from, `None` when
    /// there are no more.
    pub fn propose(
        &mut self,
        rows: &mut Rows,
        from: usize,
        floors: &[f32],
        hits: &mut Vec<Hit>,
    ) -> Option<usize> {
        match (self, rows) {
            (Lates::Own(batch), Rows::Own(rows)) => {
                let (first, panels) = (from / ROWS, batch.panels());
                let next = panels.min(first + BLOCK);
                (first..next).for_each(|panel| batch.propose(rows, panel, floors, hits));
                (next < panels).then_some(next * ROWS)
            }
            #[cfg(feature = "torch")]
            (Lates::Torch(batch), Rows::Torch(rows)) => batch.propose(rows, from, floors, hits),
            #[cfg(feature = "torch")]
            _ => unreachable!("a cell's rows are all of one kernel"),
        }
    }
}
