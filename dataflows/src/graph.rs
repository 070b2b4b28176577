//! The graph over nodes: each collection an operator, each operator beside its plain recompute.
//!
//! All collections have `u64` epochs as times and `isize` differences.

mod by_epoch;
pub mod cells;
pub mod classes;
pub mod closure;
pub mod clusters;
pub mod codebook;
pub mod edges;
pub mod kmeans;
pub mod neighbours;
pub mod node;
pub mod pairs;
pub mod policy;
pub mod probes;
pub mod product;
#[cfg(test)]
mod replay;
pub mod score;
pub mod vector;
