//! Pairs of a cell's rows, proposed quickly: a blocked product of new vectors with stored rows, of which canonical scores then choose.
//!
//! A cell keeps its rows in a [`Proposer`]. A fast score is within a proven [`bound`] of the canonical one, and whoever uses it compares
//! with thresholds lowered by that much: what is dropped could not have mattered, and what is left is scored again by
//! [`score`](super::score::score).

mod basis;
pub mod bound;
mod encoding;
mod kernel;
pub mod norm;
mod panels;
mod projected;
mod projection;
mod proposer;
mod queries;
mod storage;
pub(super) mod threads;
mod tile;
mod whole;

pub use basis::Basis;
pub use encoding::Encoding;
pub use kernel::Kernel;
pub use panels::Panels;
pub use projected::ProjectedVectors;
pub use projection::{Projecting, Projection, Searched};
pub use proposer::Proposer;
pub use queries::{Candidate, Limits, Queries};
pub use storage::Storage;
pub use whole::WholeVectors;

#[cfg(test)]
mod tests;
