//! Transitive pairs: where A-B is an inter-instance edge, other views of A's track match B and other views of B's.
//!
//! A node id starts with its track, so from A < B of different tracks follows A' < B': a pair has the same
//! orientation as its edge.

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::VecCollection;

use super::edges::{ByTrack, Edge};
use super::node::{Pair, PairKind};
use super::{Diff, Epoch};
use crate::id::{NodeId, TrackId};

/// A'-B', A'-B and A-B' for each A-B of `inter`, with its reason: one record for each reason of a pair, and none for
/// A-B itself. Views are those of `views`, which holds the ends of `inter` too. An edge within one track gives none.
pub fn pairs<'s>(
    inter: VecCollection<'s, Epoch, Edge, Diff>,
    views: ByTrack<'s>,
) -> VecCollection<'s, Epoch, Pair, Diff> {
    inter
        .filter(|(a, b)| a.track() != b.track())
        .map(|(a, b)| (a.track(), (a, b)))
        .arrange_by_key_named("InterByTrackOfA")
        .join_core(views.clone(), |_, (via_a, via_b), a| Some((via_b.track(), (*a, *via_a, *via_b))))
        .arrange_by_key_named("InterByTrackOfB")
        .join_core(views, |_, (a, via_a, via_b), b| pair(*a, *b, *via_a, *via_b))
}

/// The pairs of `inter` over `nodes`, from scratch.
pub fn recompute(nodes: &BTreeSet<NodeId>, inter: &BTreeSet<Edge>) -> BTreeSet<Pair> {
    let mut tracks: BTreeMap<TrackId, Vec<NodeId>> = BTreeMap::new();
    nodes.iter().for_each(|node| tracks.entry(node.track()).or_default().push(*node));
    let others =
        |of: NodeId| tracks.get(&of.track()).into_iter().flatten().copied().filter(move |n| *n != of);
    let mut pairs = BTreeSet::new();
    for (via_a, via_b) in inter.iter().copied().filter(|(a, b)| a.track() != b.track()) {
        for a in others(via_a) {
            pairs.insert(Pair { a, b: via_b, kind: PairKind::AMoved, via_a, via_b });
            pairs.extend(others(via_b).map(|b| Pair { a, b, kind: PairKind::BothMoved, via_a, via_b }));
        }
        pairs.extend(others(via_b).map(|b| Pair { a: via_a, b, kind: PairKind::BMoved, via_a, via_b }));
    }
    pairs
}

fn pair(a: NodeId, b: NodeId, via_a: NodeId, via_b: NodeId) -> Option<Pair> {
    let kind = match (a == via_a, b == via_b) {
        (true, true) => return None,
        (false, true) => PairKind::AMoved,
        (true, false) => PairKind::BMoved,
        (false, false) => PairKind::BothMoved,
    };
    Some(Pair { a, b, kind, via_a, via_b })
}
