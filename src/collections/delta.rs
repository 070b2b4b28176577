//! Changes of the graph that the trainer follows.

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{ClassId, GroupId, Pair};
use serde::{Deserialize, Serialize};

/// Changes of one epoch that the trainer follows: +1 came, -1 went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochDelta {
    /// Nodes; intra-instance pairs follow from their tracks.
    pub nodes: Vec<(NodeId, i8)>,
    /// Transitive pairs, one record a reason.
    pub pairs: Vec<(Pair, i8)>,
    /// Groups of nodes.
    pub groups: Vec<((NodeId, GroupId), i8)>,
    /// Classes of nodes.
    pub classes: Vec<((NodeId, ClassId), i8)>,
}
