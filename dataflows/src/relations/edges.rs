//! The two kinds of edge: inter-instance (two nodes of one cluster) and intra-instance (two views of one track).
//!
//! Both hold each edge once, the smaller node first.

mod shared;

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::operators::CountTotal;
use differential_dataflow::{Hashable, VecCollection};
use timely::dataflow::channels::pact::Exchange;

use self::shared::Shared;
use crate::by_epoch::by_epoch;
use crate::id::NodeId;
use crate::index::node::{Cluster, Edge};
use crate::packed::views::Views;
use crate::time::{Diff, Epoch};

/// Each two nodes that share at least one cluster.
pub fn inter(clusters: VecCollection<'_, Epoch, Cluster, Diff>) -> VecCollection<'_, Epoch, Edge, Diff> {
    let edges = clusters.flat_map(|cluster| edges_within(&cluster));
    let at = Exchange::new(|((a, _), ..): &(Edge, Epoch, Diff)| a.hashed());
    let mut shared = Shared::default();
    by_epoch(edges, at, "InterEdges", move |changes| shared.apply(&changes))
}

/// Each two views of one track; each of `nodes` is there once.
pub fn intra(nodes: VecCollection<'_, Epoch, NodeId, Diff>) -> VecCollection<'_, Epoch, Edge, Diff> {
    let at = Exchange::new(|(node, ..): &(NodeId, Epoch, Diff)| node.track().hashed());
    let mut views = Views::default();
    by_epoch(nodes, at, "IntraEdges", move |changes| {
        let mut net = Vec::new();
        for (node, diff) in changes {
            let others = views.of(node.track()).filter(|other| *other != node);
            net.extend(others.map(|other| ((node.min(other), node.max(other)), diff)));
            views.change(node, diff);
        }
        net
    })
}

/// The degree of each node that has an edge: how many there are. A node with a great many is a hub, which neighbour graphs in
/// many dimensions tend to have (Radovanovic, Nanopoulos, Ivanovic: Hubs in Space, JMLR 2010).
pub fn degrees(edges: VecCollection<'_, Epoch, Edge, Diff>) -> VecCollection<'_, Epoch, (NodeId, u32), Diff> {
    edges.flat_map(|(a, b)| [a, b]).count_total().map(|(node, degree)| (node, degree as u32))
}

/// The degrees of the nodes of `edges`, from scratch.
pub fn recompute_degrees(edges: &BTreeSet<Edge>) -> BTreeMap<NodeId, u32> {
    let mut degrees = BTreeMap::new();
    edges.iter().flat_map(|(a, b)| [*a, *b]).for_each(|node| *degrees.entry(node).or_default() += 1);
    degrees
}

/// The inter-instance edges of `clusters`, from scratch.
pub fn recompute_inter(clusters: &BTreeSet<Cluster>) -> BTreeSet<Edge> {
    clusters.iter().flat_map(|cluster| edges_within(cluster)).collect()
}

/// The intra-instance edges of `nodes`, from scratch.
pub fn recompute_intra(nodes: &BTreeSet<NodeId>) -> BTreeSet<Edge> {
    let later = |a: NodeId| nodes.range(a..).skip(1).take_while(move |b| b.track() == a.track());
    nodes.iter().flat_map(|a| later(*a).map(|b| (*a, *b))).collect()
}

/// `cluster` is sorted.
fn edges_within(cluster: &[NodeId]) -> Vec<Edge> {
    let after = |at: usize| cluster[at + 1..].iter();
    cluster.iter().enumerate().flat_map(|(at, a)| after(at).map(move |b| (*a, *b))).collect()
}
