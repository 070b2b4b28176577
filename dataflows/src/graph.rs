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

use serde::{Deserialize, Serialize};

/// Settings of the graph: the same settings and the same log give the same graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Cells, lists, groups.
    pub neighbours: policy::Settings,
    /// What follows from the lists.
    pub closure: clusters::Settings,
}

impl Settings {
    /// The paper's.
    pub fn paper() -> Self {
        Settings { neighbours: policy::Settings::paper(), ..Settings::default() }
    }
}

/// The timely timestamp: one committed step of the whole engine.
pub type Epoch = u64;
/// A change of multiplicity.
pub type Diff = isize;
