//! The seam between a cell and the kernels: rows as a kernel keeps them, and some of them that are to meet others.

use std::ops::Range;

use super::batch::{Batch, Hit, Late};
use super::bound::Arithmetic;
use super::kind::KernelKind;
use super::panels::{Panels, Storage};
use super::steps::{StepBatch, StepPanels};
use super::steps_tile::StepsKernel;
use super::tile::{Kernel, ROWS};
#[cfg(feature = "torch")]
use super::torch::{Tensors, TorchBatch};

/// Panels of our own kernel whose hits are gathered before they are looked at, so that a panel meets many vectors at a time.
const BLOCK: usize = 32;
/// As many for the first block: a vector without a list takes all that it meets until there is a floor.
const FIRST: usize = 4;

/// Rows of d values each, as a kernel keeps them: a row's place changes only when another is taken out.
#[derive(Debug)]
pub enum Rows {
    /// Our own.
    Own(Panels),
    /// Our own, in steps.
    Steps(StepPanels),
    /// libtorch's.
    #[cfg(feature = "torch")]
    Torch(Tensors),
}

/// Rows that several threads may read.
#[derive(Clone, Copy, Debug)]
pub enum Shared<'a> {
    /// Our own.
    Own(&'a Panels),
    /// Our own, in steps.
    Steps(&'a StepPanels),
}

/// Some rows that meet others of their kind together.
#[derive(Debug)]
pub enum Lates {
    /// Our own.
    Own(Batch),
    /// Our own, in steps.
    Steps(StepBatch),
    /// libtorch's.
    #[cfg(feature = "torch")]
    Torch(TorchBatch),
}

impl Rows {
    /// Without rows; they will have `d` values, which are those of `whole` vectors or of shadows.
    pub fn new(d: usize, whole: bool, storage: Storage, kernel: KernelKind) -> Self {
        match kernel {
            #[cfg(feature = "torch")]
            KernelKind::Torch(device) => Rows::Torch(Tensors::new(d, storage, device)),
            _ => match storage.steps(d, whole) {
                Some(width) => Rows::Steps(StepPanels::new(d, width)),
                None => Rows::Own(Panels::new(d, storage)),
            },
        }
    }

    /// What fast scores of rows of `kernel` kept so are within the bound of.
    pub fn arithmetic(&self, kernel: KernelKind) -> Arithmetic {
        match self {
            Rows::Steps(_) => Arithmetic::STEPS,
            _ => kernel.arithmetic(),
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Rows::Own(panels) => panels.len(),
            Rows::Steps(panels) => panels.len(),
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
            Rows::Steps(panels) => panels.push(row),
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => tensors.push(row),
        }
    }

    /// Takes a row out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) {
        match self {
            Rows::Own(panels) => panels.swap_remove(at),
            Rows::Steps(panels) => panels.swap_remove(at),
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => tensors.swap_remove(at),
        }
    }

    /// How many rows go well together to meet others.
    pub fn together(&self) -> usize {
        match self {
            Rows::Own(panels) => Batch::size(panels.d()),
            Rows::Steps(panels) => StepBatch::size(panels),
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => tensors.together(),
        }
    }

    /// Brings all rows to where they are met. What is put at the end after that is not met before the next time.
    pub fn settle(&mut self) {
        #[cfg(feature = "torch")]
        if let Rows::Torch(tensors) = self {
            tensors.settle();
        }
    }

    /// The rows for several threads to read, where the kernel lets them.
    pub fn shared(&self) -> Option<Shared<'_>> {
        match self {
            Rows::Own(panels) => Some(Shared::Own(panels)),
            Rows::Steps(panels) => Some(Shared::Steps(panels)),
            #[cfg(feature = "torch")]
            Rows::Torch(_) => None,
        }
    }

    /// The rows in `places` that are to meet others as `lates` has it, one for each.
    pub fn lates(&mut self, places: Range<usize>, lates: Vec<Late>) -> Lates {
        match self {
            Rows::Own(panels) => Shared::Own(panels).lates(places.zip(lates)),
            Rows::Steps(panels) => Shared::Steps(panels).lates(places.zip(lates)),
            #[cfg(feature = "torch")]
            Rows::Torch(tensors) => Lates::Torch(tensors.lates(places, lates)),
        }
    }
}

impl Shared<'_> {
    /// The rows in some places that are to meet others.
    pub fn lates(self, lates: impl Iterator<Item = (usize, Late)>) -> Lates {
        match self {
            Shared::Own(panels) => {
                let (mut batch, mut row) = (Batch::new(panels.d(), Kernel::best()), Vec::new());
                for (at, late) in lates {
                    panels.read(at, &mut row);
                    batch.push(&row, late);
                }
                Lates::Own(batch)
            }
            Shared::Steps(panels) => {
                let mut batch = StepBatch::new(panels, StepsKernel::best());
                lates.for_each(|(at, late)| batch.push(panels, at, late));
                Lates::Steps(batch)
            }
        }
    }
}

/// Where the block of panels that begins at `first` ends.
fn block_after(first: usize) -> usize {
    first + first.clamp(FIRST, BLOCK)
}

impl Lates {
    /// What is told of each.
    pub fn limits(&mut self) -> &mut [Late] {
        match self {
            Lates::Own(batch) => batch.lates(),
            Lates::Steps(batch) => batch.lates(),
            #[cfg(feature = "torch")]
            Lates::Torch(batch) => batch.lates(),
        }
    }

    /// Adds to `hits` the pairs of these with the settled rows from place `from` on, as many as go well together, that reach the late
    /// one's floor or the row's; and with rows before it of the same panel. `floors` has one for each of the [`Rows::places`]. Returns the
    /// place to go on from, `None` when there are no more.
    pub fn propose(
        &mut self,
        rows: &Rows,
        from: usize,
        floors: &[f32],
        hits: &mut Vec<Hit>,
    ) -> Option<usize> {
        match (self, rows) {
            (of_own, Rows::Own(rows)) => of_own.propose_shared(Shared::Own(rows), from, floors, hits),
            (of_steps, Rows::Steps(rows)) => of_steps.propose_shared(Shared::Steps(rows), from, floors, hits),
            #[cfg(feature = "torch")]
            (Lates::Torch(batch), Rows::Torch(rows)) => batch.propose(rows, from, floors, hits),
            #[cfg(feature = "torch")]
            _ => unreachable!("a cell's rows are all of one kind"),
        }
    }

    /// [`Lates::propose`] of rows that several threads read.
    pub fn propose_shared(
        &mut self,
        rows: Shared<'_>,
        from: usize,
        floors: &[f32],
        hits: &mut Vec<Hit>,
    ) -> Option<usize> {
        let first = from / ROWS;
        let panels = match self {
            Lates::Own(batch) => batch.panels(),
            Lates::Steps(batch) => batch.panels(),
            #[cfg(feature = "torch")]
            Lates::Torch(_) => 0,
        };
        let next = panels.min(block_after(first));
        match (self, rows) {
            (Lates::Own(batch), Shared::Own(rows)) => {
                batch.propose(rows, first..next, floors, hits);
            }
            (Lates::Steps(batch), Shared::Steps(rows)) => {
                batch.propose(rows, first..next, floors, hits);
            }
            _ => unreachable!("a cell's rows are all of one kind"),
        }
        (next < panels).then_some(next * ROWS)
    }
}
