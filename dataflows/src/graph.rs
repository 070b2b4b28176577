//! The graph over nodes: each collection an operator, each operator beside its plain recompute.
//!
//! All collections have `u64` epochs as times and `isize` differences.

mod by_epoch;
pub mod classes;
pub mod closure;
pub mod clusters;
pub mod codebook;
pub mod edges;
pub mod kmeans;
pub mod node;
pub mod pairs;
#[cfg(test)]
mod replay;
pub mod score;

/// The timely timestamp: one committed step of the whole engine.
pub type Epoch = u64;
/// A change of multiplicity.
pub type Diff = isize;
