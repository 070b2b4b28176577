//! Pairs against differential's plain two-hop join, and over other arrangements than the ordinary.

use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::trace::chunk::vec::{ChunkBatcher as VecBatcher, ChunkSpine as VecSpine};
use differential_dataflow::{Hashable, VecCollection};
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{Pair, PairKind};
use kinetograph_dataflows::relations::pairs;
use kinetograph_dataflows::time::{Diff, Epoch};
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use timely::dataflow::channels::pact::Exchange;

use super::drive::{Log, come_and_go, drive, node, print_of, rng};

/// What pairs follow from. About one change in nine is of a track's last view, which is
/// on no inter-instance edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Given {
    View(u32),
    Inter(u32, u32),
}

fn log(nodes: u64) -> Log<Given> {
    let mut rng = rng(1);
    let last = nodes as u32 / 4 * 4;
    let mut inter = std::collections::BTreeSet::new();
    while inter.len() < last as usize {
        // Between near tracks, never a track's last view.
        let a = rng.random_range(0..last);
        let b = (a / 4 + rng.random_range(1..20)) * 4 + rng.random_range(0..3);
        if a % 4 != 3 && b < last {
            inter.insert(Given::Inter(a, b));
        }
    }
    let mut present: Vec<Given> = inter.into_iter().collect();
    present.extend((0..last).filter(|n| n % 4 == 3).step_by(2).map(Given::View));
    // Shuffled by taking at random: some are not there at first.
    let mut absent = Vec::new();
    for _ in 0..20_000.min(present.len() / 4) {
        absent.push(present.swap_remove(rng.random_range(0..present.len())));
    }
    let fixed = (0..last).filter(|n| n % 4 != 3 || n % 8 == 7).map(Given::View);
    let load = fixed.chain(present.iter().copied()).map(|given| (given, 1)).collect();
    Log { load: vec![load], batches: come_and_go(&mut present, &mut absent, &mut rng) }
}

pub(crate) fn measure(case: &str, nodes: u64, workers: usize) -> Value {
    let log = log(nodes);
    let of_pair = |pair: &Pair| print_of(pair.a, pair.b);
    match case {
        "two-hop" => drive(
            workers,
            two_hop_log(log),
            |(a, b): &(u32, u32)| print_of(node(u64::from(*a)), node(u64::from(*b))),
            two_hop,
        ),
        "pairs" => drive(workers, log, of_pair, |given| {
            let (views, inter) = split(given);
            pairs::pairs(inter, views)
        }),
        "pairs arranged" => drive(workers, log, of_pair, pairs_arranged),
        "pairs vec" => drive(workers, log, of_pair, pairs_vec),
        _ => drive(workers, log, |(a, b): &(u64, u64)| print_of(NodeId(*a), NodeId(*b)), pairs_columnar),
    }
}

type Of<'s, D> = VecCollection<'s, Epoch, D, Diff>;

fn split(given: Of<'_, Given>) -> (Of<'_, NodeId>, Of<'_, (NodeId, NodeId)>) {
    let of = |n: u32| node(u64::from(n));
    let views = given.clone().flat_map(move |given| match given {
        Given::View(n) => Some(of(n)),
        Given::Inter(..) => None,
    });
    let inter = given.flat_map(move |given| match given {
        Given::View(_) => None,
        Given::Inter(a, b) => Some((of(a), of(b))),
    });
    (views, inter)
}

/// An edge of the two-hop join's input: both directions of intra-instance edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Hop {
    Inter(u32, u32),
    Intra(u32, u32),
}

/// The same, with edges within tracks instead of views.
fn two_hop_log(log: Log<Given>) -> Log<Hop> {
    let mut views = std::collections::HashSet::new();
    let mut hops = |changes: Vec<(Given, Diff)>| -> Vec<(Hop, Diff)> {
        let mut hops = Vec::new();
        for (given, diff) in changes {
            match given {
                Given::Inter(a, b) => hops.push((Hop::Inter(a, b), diff)),
                Given::View(n) => {
                    if diff < 0 {
                        views.remove(&n);
                    }
                    for other in (n / 4 * 4..n / 4 * 4 + 4).filter(|other| views.contains(other)) {
                        hops.push((Hop::Intra(n, other), diff));
                        hops.push((Hop::Intra(other, n), diff));
                    }
                    if diff > 0 {
                        views.insert(n);
                    }
                }
            }
        }
        hops
    };
    let load = log.load.into_iter().map(&mut hops).collect();
    let batches =
        log.batches.into_iter().map(|of_size| of_size.into_iter().map(&mut hops).collect()).collect();
    Log { load, batches }
}

/// Differential's plain two-hop join, without what makes a pair.
fn two_hop(hops: Of<'_, Hop>) -> Of<'_, (u32, u32)> {
    let inter = hops.clone().flat_map(|hop| match hop {
        Hop::Inter(a, b) => Some((a, b)),
        Hop::Intra(..) => None,
    });
    let intra = hops.flat_map(|hop| match hop {
        Hop::Inter(..) => None,
        Hop::Intra(a, b) => Some((a, b)),
    });
    let intra = intra.arrange_by_key();
    let a_moved = inter.clone().arrange_by_key().join_core(intra.clone(), |_, b, a2| Some((*b, *a2)));
    let by_b = inter.map(|(a, b)| (b, a)).arrange_by_key();
    let b_moved = by_b.join_core(intra.clone(), |_, a, b2| Some((*a, *b2)));
    let both_moved = a_moved.clone().arrange_by_key().join_core(intra, |_, a2, b2| Some((*a2, *b2)));
    a_moved.map(|(b, a2)| (a2, b)).concat(b_moved).concat(both_moved)
}

/// Pairs with reasons by two joins over differential's ordinary arrangements.
fn pairs_arranged(given: Of<'_, Given>) -> Of<'_, Pair> {
    let (views, inter) = split(given);
    let views = views.map(|node| (node.track(), node)).arrange_by_key();
    inter
        .map(|(a, b)| (a.track(), (a, b)))
        .arrange_by_key()
        .join_core(views.clone(), |_, (via_a, via_b), a| Some((via_b.track(), (*a, *via_a, *via_b))))
        .arrange_by_key()
        .join_core(views, |_, (a, via_a, via_b), b| reason(*a, *b, *via_a, *via_b))
}

/// The same joins over plain numbers and arrangements of chunks of rows.
fn pairs_vec(given: Of<'_, Given>) -> Of<'_, Pair> {
    type Key<V> = (u64, V);
    type By<V> = Exchange<(Key<V>, Epoch, Diff), fn(&(Key<V>, Epoch, Diff)) -> u64>;
    let (views, inter) = split(given);
    let views = views.map(|node| (node.track().0, node));
    let by: By<NodeId> = Exchange::new(|record| record.0.0.hashed());
    let views = arrange_core::<_, _, VecBatcher<u64, NodeId, Epoch, Diff>, VecSpine<u64, NodeId, Epoch, Diff>>(
        views.inner,
        by,
        "ByTrack",
        VecBatcher::<u64, NodeId, Epoch, Diff>::new,
    );
    type Edge = (NodeId, NodeId);
    let by_a = inter.map(|(a, b)| (a.track().0, (a, b)));
    let by: By<Edge> = Exchange::new(|record| record.0.0.hashed());
    let by_a = arrange_core::<_, _, VecBatcher<u64, Edge, Epoch, Diff>, VecSpine<u64, Edge, Epoch, Diff>>(
        by_a.inner,
        by,
        "InterByTrackOfA",
        VecBatcher::<u64, Edge, Epoch, Diff>::new,
    );
    type Via = (NodeId, NodeId, NodeId);
    let by_b =
        by_a.join_core(views.clone(), |_, (via_a, via_b), a| Some((via_b.track().0, (*a, *via_a, *via_b))));
    let by: By<Via> = Exchange::new(|record| record.0.0.hashed());
    let by_b = arrange_core::<_, _, VecBatcher<u64, Via, Epoch, Diff>, VecSpine<u64, Via, Epoch, Diff>>(
        by_b.inner,
        by,
        "InterByTrackOfB",
        VecBatcher::<u64, Via, Epoch, Diff>::new,
    );
    by_b.join_core(views, |_, (a, via_a, via_b), b| reason(*a, *b, *via_a, *via_b))
}

fn reason(a: NodeId, b: NodeId, via_a: NodeId, via_b: NodeId) -> Option<Pair> {
    let kind = match (a == via_a, b == via_b) {
        (true, true) => return None,
        (false, true) => PairKind::AMoved,
        (true, false) => PairKind::BMoved,
        (false, false) => PairKind::BothMoved,
    };
    Some(Pair { a, b, kind, via_a, via_b })
}

/// The same over columnar arrangements, without the reason in the output.
fn pairs_columnar(given: Of<'_, Given>) -> Of<'_, (u64, u64)> {
    use differential_dataflow::batcher::merge::chunker::ContainerChunker;
    use differential_dataflow::columnar::trace::{ColChunk, Spine};
    use differential_dataflow::trace::chunk::ChunkBatcher;
    type Chunk<V> = ColChunk<(u64, V, Epoch, Diff)>;
    type Batcher<V> = ChunkBatcher<ContainerChunker<Chunk<V>>, Chunk<V>>;
    type Key<V> = (u64, V);
    type By<V> = Exchange<(Key<V>, Epoch, Diff), fn(&(Key<V>, Epoch, Diff)) -> u64>;
    let (views, inter) = split(given);
    let views = views.map(|node| (node.track().0, node.0));
    let by: By<u64> = Exchange::new(|record| record.0.0.hashed());
    let views = arrange_core::<_, _, Batcher<u64>, Spine<u64, u64, Epoch, Diff>>(
        views.inner,
        by,
        "ByTrack",
        Batcher::<u64>::new,
    );
    type Edge = (u64, u64);
    let by_a = inter.map(|(a, b)| (a.track().0, (a.0, b.0)));
    let by: By<Edge> = Exchange::new(|record| record.0.0.hashed());
    let by_a = arrange_core::<_, _, Batcher<Edge>, Spine<u64, Edge, Epoch, Diff>>(
        by_a.inner,
        by,
        "InterByTrackOfA",
        Batcher::<Edge>::new,
    );
    type Via = (u64, u64, u64);
    let by_b = by_a.join_core(views.clone(), |_, (via_a, via_b), a| {
        Some((NodeId(*via_b).track().0, (*a, *via_a, *via_b)))
    });
    let by: By<Via> = Exchange::new(|record| record.0.0.hashed());
    let by_b = arrange_core::<_, _, Batcher<Via>, Spine<u64, Via, Epoch, Diff>>(
        by_b.inner,
        by,
        "InterByTrackOfB",
        Batcher::<Via>::new,
    );
    by_b.join_core(views, |_, (a, via_a, via_b), b| (a != via_a || b != via_b).then_some((*a, *b)))
}
