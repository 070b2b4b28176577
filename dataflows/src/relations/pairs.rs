//! Transitive pairs: where A-B is an inter-instance edge, other views of A's track match B and other views of B's.
//!
//! A node id starts with its track, so from A < B of different tracks follows A' < B': a pair has the same
//! orientation as its edge.

mod meeting;
#[cfg(test)]
mod tests;
mod tracks;

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::operators::ThresholdTotal;
use differential_dataflow::{Hashable, VecCollection};
use timely::dataflow::channels::pact::Exchange;

use self::meeting::meet;
use self::tracks::{At, Tracks};
use crate::by_epoch::by_epoch_in_parts;
use crate::id::{NodeId, TrackId};
use crate::index::node::Edge;
use crate::index::node::{Pair, PairKind};
use crate::time::{Diff, Epoch};

/// How much of a step is taken up before others see what comes of it. Little in tests, so that they see it.
const PART: usize = if cfg!(test) { 3 } else { 1 << 12 };

/// A'-B', A'-B and A-B' for each A-B of `inter`, with its reason: one record for each reason of a pair, and none for
/// A-B itself. Views are those of `nodes`, which holds the ends of `inter` too, each once. An edge within one track
/// gives none.
///
/// Of inter-instance edges I between views V of A's and W of B's track, the pairs I V W change in a step by
/// dI V' W' + I dV W + I V' dW, a prime for after the step: a new edge meets all views, a new view those at its old
/// edges. Both of an edge's tracks keep it, and no join's intermediate result is kept. What one track is told by the
/// others it answers as it comes.
pub fn pairs<'s>(
    inter: VecCollection<'s, Epoch, Edge, Diff>,
    nodes: VecCollection<'s, Epoch, NodeId, Diff>,
) -> VecCollection<'s, Epoch, Pair, Diff> {
    let ends =
        inter.filter(|(a, b)| a.track() != b.track()).flat_map(|(a, b)| [At::end(a, b), At::end(b, a)]);
    let given = ends.concat(nodes.clone().map(At::View));
    let at = Exchange::new(|(at, ..): &(At, Epoch, Diff)| at.track().hashed());
    let mut tracks = Tracks::default();
    let told = by_epoch_in_parts(given, at, "OneEndMoved", PART, move |changes| tracks.apply(&changes));
    meet(nodes, told)
}

/// The pairs of `pairs` that are among the `most` of least [`rank`] of both their nodes, reasons counted apart: no node
/// keeps more than `most`. Which they are depends on the pairs alone, whatever order they come in.
///
/// All pairs are kept here, to have the next ones at hand when some go; and a change costs in the order of the pairs
/// of its nodes. What is bounded is what comes out: what is stored, and trained on.
pub fn at_most<'s>(
    pairs: VecCollection<'s, Epoch, Pair, Diff>,
    most: usize,
) -> VecCollection<'s, Epoch, Pair, Diff> {
    pairs
        .flat_map(|pair| [pair.a, pair.b].map(|end| (end, (rank(&pair), pair))))
        .reduce_named("PairsOfNode", move |_, pairs, kept: &mut Vec<(Pair, Diff)>| {
            kept.extend(pairs.iter().take(most).map(|((_, pair), _)| (*pair, 1)));
        })
        .map(|(_, pair)| pair)
        .threshold_total(|_, ends| Diff::from(*ends == 2))
}

/// A number that tells nothing of a pair but is always the same for it: the order in which pairs are kept.
pub fn rank(pair: &Pair) -> u64 {
    // The finalizer of SplitMix64 after each word.
    [pair.a, pair.b, pair.via_a, pair.via_b].iter().fold(0, |hash: u64, node| {
        let mut x = (hash ^ node.0).wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    })
}

/// Returns what [`at_most`] keeps of `pairs`, from scratch.
pub fn recompute_at_most(pairs: &BTreeSet<Pair>, most: usize) -> BTreeSet<Pair> {
    let mut of_node: BTreeMap<NodeId, Vec<(u64, Pair)>> = BTreeMap::new();
    for pair in pairs {
        for end in [pair.a, pair.b] {
            of_node.entry(end).or_default().push((rank(pair), *pair));
        }
    }
    of_node.values_mut().for_each(|pairs| {
        pairs.sort_unstable();
        pairs.truncate(most);
    });
    let keeps = |end: NodeId, pair: &Pair| of_node[&end].iter().any(|(_, kept)| kept == pair);
    pairs.iter().filter(|pair| keeps(pair.a, pair) && keeps(pair.b, pair)).copied().collect()
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
