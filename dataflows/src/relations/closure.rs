//! From neighbours to everything that follows from them.

use std::collections::HashMap;
use std::sync::Arc;

use differential_dataflow::VecCollection;

use super::classes::classes;
use super::clusters::{Settings, clusters};
use super::edges::{degrees, inter, intra};
use super::pairs::{at_most, pairs};
use crate::id::NodeId;
use crate::index::node::Edge;
use crate::index::node::{ClassId, Cluster, List, Pair};
use crate::time::{Diff, Epoch};

/// The transitive consequences of a graph's neighbours.
pub struct Closure<'s> {
    /// Child clusters: see [`clusters`].
    pub clusters: VecCollection<'s, Epoch, Cluster, Diff>,
    /// Inter-instance edges: see [`inter`].
    pub inter: VecCollection<'s, Epoch, Edge, Diff>,
    /// Intra-instance edges: see [`intra`].
    pub intra: VecCollection<'s, Epoch, Edge, Diff>,
    /// The inter-instance edges of each node that has any: see [`degrees`].
    pub degrees: VecCollection<'s, Epoch, (NodeId, u32), Diff>,
    /// Transitive pairs: see [`pairs`].
    pub pairs: VecCollection<'s, Epoch, Pair, Diff>,
    /// The class of each node: see [`classes`].
    pub classes: VecCollection<'s, Epoch, (NodeId, ClassId), Diff>,
}

/// All that follows from `nodes`, each of them once, and their `neighbours`, one list a node and none of a node that
/// is not in `nodes`. `hints` are the labels of classes from before a restart (none otherwise).
pub fn closure<'s>(
    nodes: VecCollection<'s, Epoch, NodeId, Diff>,
    neighbours: VecCollection<'s, Epoch, (NodeId, List), Diff>,
    hints: Arc<HashMap<NodeId, ClassId>>,
    settings: &Settings,
) -> Closure<'s> {
    let clusters = clusters(neighbours, settings);
    let inter = inter(clusters.clone());
    let intra = intra(nodes.clone());
    let degrees = degrees(inter.clone());
    let pairs = pairs(inter.clone(), nodes.clone());
    let pairs = match settings.max_pairs_per_node {
        0 => pairs,
        most => at_most(pairs, most),
    };
    let classes = classes(nodes, inter.clone().concat(intra.clone()), hints);
    Closure { clusters, inter, intra, degrees, pairs, classes }
}
