//! The rules that turn nodes into a graph.

use kinetograph_dataflows::index::partition::probes::Probes;
use kinetograph_dataflows::settings::GraphSettings;
use serde::{Deserialize, Serialize};

/// The rules that a graph over given vectors and a given codebook depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Length of a node's list of neighbours.
    pub k: usize,
    /// Two nodes of one source may be neighbours when their frames are further apart than this, nanoseconds.
    pub separation_ns: u64,
    /// The largest number of cells that a node probes, its own included; at least 1.
    pub nprobe: usize,
    /// The largest distance of the others' centroids as a multiple of that of the own cell's; 0 for any distance.
    pub probe_within: f64,
    /// The smallest child cluster.
    pub min_cluster: usize,
    /// A cell with fewer rows gives no lists.
    pub min_cell: usize,
    /// The most transitive pairs a node keeps; 0 for all.
    pub max_pairs_per_node: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            k: 10,
            separation_ns: 5_000_000_000,
            nprobe: 1,
            probe_within: 0.0,
            min_cluster: 5,
            min_cell: 0,
            max_pairs_per_node: 0,
        }
    }
}

impl Rules {
    /// Those of a graph made with `settings`.
    pub fn of(settings: &GraphSettings) -> Self {
        let near = &settings.neighbours;
        Rules {
            k: near.k,
            separation_ns: near.separation_ns(),
            nprobe: near.nprobe,
            probe_within: near.probe_within,
            min_cluster: settings.closure.min_cluster,
            min_cell: near.min_cell(),
            max_pairs_per_node: settings.closure.max_pairs_per_node,
        }
    }

    /// Which cells a node probes.
    pub fn probes(&self) -> Probes {
        Probes { count: self.nprobe, within: self.probe_within }
    }
}
