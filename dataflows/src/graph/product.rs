//! Fast scores: a blocked product of new vectors with stored rows that only proposes pairs.
//!
//! Rows are kept in panels of 16, their values interleaved, so that one step of the inner loop multiplies one value of
//! each of six vectors with one value of each of sixteen rows. A fast score is within [`bound::error`] of the canonical
//! one, and whoever uses it compares with floors lowered by that much ([`bound::lowered`]): what is dropped could
//! not have mattered, and what is left is scored again by [`score`](super::score::score).
//!
//! A cell does not see how rows are kept: it keeps [`Rows`], and some of them are [`Lates`] that meet others.

mod basis;
mod batch;
pub mod bound;
mod deeper;
mod panels;
mod rows;
mod sketch;
mod slabs;
mod steps;
mod steps_tile;
mod tile;

pub use basis::Basis;
pub use batch::{Batch, Hit, Late};
pub use deeper::Deeper;
pub use panels::{Panels, Storage};
pub use rows::{Lates, Rows};
pub use sketch::{Seen, Sketch, Sketched, Sketching};
pub use steps::{StepBatch, StepPanels, Width};
pub use steps_tile::StepsKernel;
pub use tile::{Kernel, LATES, ROWS, Tile};

#[cfg(test)]
mod tests;
