//! Pairs of a cell's rows, proposed quickly: fast scores of scalar-quantized vectors or of their projections, of which canonical scores then
//! choose.
//!
//! A cell keeps its rows in a [`Proposer`]. A fast score is within a proven [`bound`] of the canonical one, and whoever uses it compares
//! with thresholds lowered by that much: what is dropped could not have mattered, and what is left is scored again by
//! [`score`](super::kernels::score::score).

mod basis;
pub mod bound;
mod projected;
mod projection;
mod proposer;
mod storage;
#[cfg(test)]
mod tests;
mod whole;

pub use basis::Basis;
pub use projected::ProjectedVectors;
pub use projection::{Projecting, Projection};
pub use proposer::Proposer;
pub use storage::Storage;
pub use whole::WholeVectors;
