//! The work of recomputes: the inputs of a graph, and what one has left for the next.

use std::collections::BTreeMap;

use kinetograph_dataflows::id::{NodeId, TrackId};
use kinetograph_dataflows::index::node::Cluster;
use kinetograph_dataflows::index::partition::codebook::Codebook;

use super::nearest::{Lists, Member};
use super::{Rules, relations};

/// Hears the collection being computed, how much of it is done, and how much there is.
pub type Progress<'p> = dyn Fn(&str, usize, usize) + Sync + 'p;

/// A graph being made from scratch.
pub struct Work<'w> {
    /// The rules it is made by.
    pub rules: &'w Rules,
    /// The codebook as of the epoch.
    pub codebook: &'w Codebook,
    /// Who hears how far it is.
    pub progress: &'w Progress<'w>,
    /// All nodes, by track: the views of each, ascending.
    pub tracks: BTreeMap<TrackId, Vec<NodeId>>,
    /// The nodes that have a vector, ascending.
    pub ids: Vec<NodeId>,
    /// Those nodes with their vectors, until the lists are made.
    pub members: Vec<Member>,
    /// The lists that are not empty, until the clusters are made.
    pub lists: Lists,
    /// The clusters, until the edges are made.
    pub clusters: Vec<Cluster>,
    /// The inter-instance edges.
    pub inter: Vec<(NodeId, NodeId)>,
}

impl<'w> Work<'w> {
    /// The work on a graph of `nodes`, of which `members` have vectors; both ascend.
    pub fn new(
        nodes: impl IntoIterator<Item = NodeId>,
        members: Vec<Member>,
        codebook: &'w Codebook,
        rules: &'w Rules,
        progress: &'w Progress<'w>,
    ) -> Self {
        Work {
            rules,
            codebook,
            progress,
            tracks: relations::tracks(nodes),
            ids: members.iter().map(|member| member.id).collect(),
            members,
            lists: Vec::new(),
            clusters: Vec::new(),
            inter: Vec::new(),
        }
    }
}
