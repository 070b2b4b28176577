//! The two kinds of edge: inter-instance (two nodes of one cluster) and intra-instance (two views of one track).
//!
//! Both hold each edge once, the smaller node first.

use std::collections::BTreeSet;

use differential_dataflow::VecCollection;
use differential_dataflow::operators::ThresholdTotal;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::trace::implementations::ValSpine;

use super::node::Cluster;
use super::{Diff, Epoch};
use crate::id::{NodeId, TrackId};

/// Two different nodes, the smaller first.
pub type Edge = (NodeId, NodeId);

/// The nodes arranged by their track: what [`intra`] and [`pairs`](super::pairs::pairs) both look up.
pub type ByTrack<'s> = Arranged<'s, TraceAgent<ValSpine<TrackId, NodeId, Epoch, Diff>>>;

/// Arranges `nodes`, each of them once, by track.
pub fn by_track(nodes: VecCollection<'_, Epoch, NodeId, Diff>) -> ByTrack<'_> {
    nodes.map(|node| (node.track(), node)).arrange_by_key_named("ByTrack")
}

/// Each two nodes that share at least one cluster.
pub fn inter(clusters: VecCollection<'_, Epoch, Cluster, Diff>) -> VecCollection<'_, Epoch, Edge, Diff> {
    clusters.flat_map(|cluster| edges_within(&cluster)).distinct_total()
}

/// Each two views of one track.
pub fn intra(views: ByTrack<'_>) -> VecCollection<'_, Epoch, Edge, Diff> {
    views.clone().join_core(views, |_, a, b| (a < b).then_some((*a, *b)))
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
