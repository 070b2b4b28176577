//! The node budget: how many nodes a graph holds at most, and which go when more come.
//!
//! A decision is taken from a closed epoch, logged with it, and takes effect a fixed number of epochs later, as
//! decisions about the codebook do: the same log gives the same graph. Until then the graph holds the nodes that
//! arrive meanwhile, too.

mod evicting;
pub mod memory;

pub use evicting::Evicting;

use kinetograph_dataflows::index::kernels::vector::Precision;
use serde::{Deserialize, Serialize};

/// The largest number of nodes, and which go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Nodes that the graph holds at most; 0 for as many as fit into [half of the memory](memory).
    pub nodes: usize,
    /// Which go first. Whole tracks go, never single views: one view left alone would give no pairs and still cost.
    pub policy: Policy,
}

/// Which tracks go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Those that came first.
    #[default]
    Oldest,
    /// Those that something that stays resembles most (MinRed: Purushwalkam, Morgado, Gupta, "The challenges of
    /// continuous self-supervised learning", ECCV 2022): a track is as redundant as the least redundant of its views,
    /// a view as its nearest neighbour is near.
    Redundant,
}

impl Settings {
    /// The budget in nodes, for vectors of `dim` values kept in `precision` and lists of `k` entries.
    pub fn nodes(&self, dim: usize, precision: Precision, k: usize) -> usize {
        match self.nodes {
            0 => memory::nodes(memory::bytes(), dim, precision, k),
            nodes => nodes,
        }
    }
}
