//! A node as the graph knows it, and the plain values that its collections hold.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::kernels::score::Score;
use super::kernels::vector::Vector;
use crate::id::NodeId;

/// A node as it enters the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The node; its track and source are read from the id.
    pub id: NodeId,
    /// Presentation time of the view's frame, nanoseconds: neighbours of one source must be further apart than T.
    pub pts_ns: u64,
    /// The embedded crop: d values, unit length (or all zero).
    pub vector: Vector,
    /// Lists known from the store, one for each cell the node probes: on restart they are taken as they are
    /// and no distance is computed. `None` for a new node.
    pub known: Option<Arc<Vec<(CellId, List)>>>,
}

impl Row {
    /// Returns what takes `id` back: a retraction needs the right id only.
    pub fn gone(id: NodeId) -> Self {
        Row { id, pts_ns: 0, vector: Vector::from([]), known: None }
    }
}

/// A leaf of the codebook. Ids are given once and never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId(pub u32);

/// One of a few dozen coarse clusters: supplies negatives. 0 until the groups are fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u32);

/// The label of a class. Opaque: two labellings are equal when they are the same partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClassId(pub u64);

/// A node's nearest eligible nodes, best first: higher score first, ties by smaller id. At most k entries.
pub type List = Vec<Neighbour>;

/// One entry of a list. Its order is the list's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Neighbour {
    /// Canonical score against the list's owner; larger is nearer, so `Score` orders the larger first.
    pub score: Score,
    /// The neighbour.
    pub node: NodeId,
}

/// A maximal set of nodes, each in every other's neighbours: sorted by id, no duplicates.
pub type Cluster = Vec<NodeId>;

/// Says how a transitive pair hangs on its inter-instance edge A-B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PairKind {
    /// A'-B': both ends are another view.
    BothMoved,
    /// A'-B: `a` is another view of `via_a`, `b` is `via_b` itself.
    AMoved,
    /// A-B': `a` is `via_a` itself, `b` is another view of `via_b`.
    BMoved,
}

/// A transitive pair with its reason. A pair of nodes may have several reasons: one record each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// The smaller node of the pair.
    pub a: NodeId,
    /// The larger node of the pair.
    pub b: NodeId,
    /// Which ends moved.
    pub kind: PairKind,
    /// The node of `a`'s track on the inter-instance edge.
    pub via_a: NodeId,
    /// The node of `b`'s track on the inter-instance edge.
    pub via_b: NodeId,
}

/// Two different nodes, the smaller first.
pub type Edge = (NodeId, NodeId);
