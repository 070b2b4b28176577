//! The lists of neighbours: an operator over cells, and the index of one cell.

mod cell_index;
mod gone;
mod inherited;
mod join;
mod learner;
mod members;
mod merge;
pub mod neighbours;
mod offers;
mod recompute;
mod rules;
#[cfg(test)]
mod tests;
mod top_k;

pub use recompute::{Recomputed, recompute};
