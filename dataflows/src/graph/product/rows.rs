//! Rows as a cell keeps them for the product, and some of them that are to meet others.

use super::batch::{Batch, Hit, Late};
use super::bound::Arithmetic;
use super::panels::{Panels, Storage};
use super::steps::{StepBatch, StepPanels};
use super::steps_tile::StepsKernel;
use super::tile::{Kernel, ROWS};

/// Panels whose hits are gathered before they are looked at, so that a panel meets many vectors at a time.
const BLOCK: usize = 32;
/// As many for the first block: a vector without a list takes all that it meets until there is a floor.
const FIRST: usize = 4;

/// Rows of d values each: a row's place changes only when another is taken out. Several threads may read them.
#[derive(Debug)]
pub enum Rows {
    /// Single or half precision.
    Floats(Panels),
    /// Steps.
    Steps(StepPanels),
}

/// Some rows that meet others of their kind together.
#[derive(Debug)]
pub enum Lates {
    /// Single precision.
    Floats(Batch),
    /// Steps.
    Steps(StepBatch),
}

impl Rows {
    /// Without rows; they will have `d` values, which are those of `whole` vectors or of shadows.
    pub fn new(d: usize, whole: bool, storage: Storage) -> Self {
        match storage.steps(d, whole) {
            Some(width) => Rows::Steps(StepPanels::new(d, width)),
            None => Rows::Floats(Panels::new(d, storage)),
        }
    }

    /// What fast scores of rows kept so are within the bound of.
    pub fn arithmetic(&self) -> Arithmetic {
        match self {
            Rows::Floats(_) => Arithmetic::IEEE,
            Rows::Steps(_) => Arithmetic::STEPS,
        }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        match self {
            Rows::Floats(panels) => panels.len(),
            Rows::Steps(panels) => panels.len(),
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
            Rows::Floats(panels) => panels.push(row),
            Rows::Steps(panels) => panels.push(row),
        }
    }

    /// Takes a row out; the last one takes its place.
    pub fn swap_remove(&mut self, at: usize) {
        match self {
            Rows::Floats(panels) => panels.swap_remove(at),
            Rows::Steps(panels) => panels.swap_remove(at),
        }
    }

    /// How many rows go well together to meet others.
    pub fn together(&self) -> usize {
        match self {
            Rows::Floats(panels) => Batch::size(panels.d()),
            Rows::Steps(panels) => StepBatch::size(panels),
        }
    }

    /// The rows in some places that are to meet others.
    pub fn lates(&self, lates: impl Iterator<Item = (usize, Late)>) -> Lates {
        match self {
            Rows::Floats(panels) => {
                let (mut batch, mut row) = (Batch::new(panels.d(), Kernel::best()), Vec::new());
                for (at, late) in lates {
                    panels.read(at, &mut row);
                    batch.push(&row, late);
                }
                Lates::Floats(batch)
            }
            Rows::Steps(panels) => {
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
            Lates::Floats(batch) => batch.lates(),
            Lates::Steps(batch) => batch.lates(),
        }
    }

    /// Adds to `hits` the pairs of these with the rows from place `from` on, as many as go well together, that reach the late
    /// one's floor or the row's; and with rows before it of the same panel. `floors` has one for each of the [`Rows::places`]. Returns the
    /// place to go on from, `None` when there are no more.
    pub fn propose(
        &mut self,
        rows: &Rows,
        from: usize,
        floors: &[f32],
        hits: &mut Vec<Hit>,
    ) -> Option<usize> {
        let first = from / ROWS;
        let panels = match self {
            Lates::Floats(batch) => batch.panels(),
            Lates::Steps(batch) => batch.panels(),
        };
        let next = panels.min(block_after(first));
        match (self, rows) {
            (Lates::Floats(batch), Rows::Floats(rows)) => batch.propose(rows, first..next, floors, hits),
            (Lates::Steps(batch), Rows::Steps(rows)) => batch.propose(rows, first..next, floors, hits),
            _ => unreachable!("a cell's rows are all of one kind"),
        }
        (next < panels).then_some(next * ROWS)
    }
}
