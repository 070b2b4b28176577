//! How many changes a second pairs, classes and the whole closure keep up with, on one worker at 100 000 nodes.
//!
//! Each is loaded, then given batches of changes, half of them deletes, and checked against its recompute at the end.
//! The figures of a dev build are lower than those of `--release`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use differential_dataflow::input::{Input, InputSession};
use differential_dataflow::{Data, ExchangeData, VecCollection};
use kinetograph_dataflows::graph::closure::closure;
use kinetograph_dataflows::graph::clusters::{self, Settings};
use kinetograph_dataflows::graph::edges::{by_track, recompute_inter, recompute_intra};
use kinetograph_dataflows::graph::node::{List, Neighbour};
use kinetograph_dataflows::graph::score::Score;
use kinetograph_dataflows::graph::{Diff, Epoch, classes, pairs};
use kinetograph_dataflows::id::NodeId;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const NODES: u64 = 100_000;
/// Changes in a batch.
const BATCH: usize = 1000;
const BATCHES: usize = 50;

type Edge = (NodeId, NodeId);

fn main() {
    let nodes: BTreeSet<NodeId> = (0..NODES).map(node).collect();
    let mut rng = Pcg64::seed_from_u64(1);

    // Random edges between tracks, each of which gives 8 pairs.
    let spread: BTreeSet<Edge> = (0..NODES).filter_map(|_| edge(&mut rng, 0..NODES)).collect();
    let (views, left, held) =
        run("pairs", nodes.clone(), spread, |nodes, inter| pairs::pairs(inter, by_track(nodes)));
    assert_eq!(held, pairs::recompute(&views, &left));

    // Clusters of 5 to 50 nodes with about 5 edges a node, joined by tracks: mostly one giant class.
    let (mut edges, mut at) = (recompute_intra(&nodes), 0);
    let mut order: Vec<u64> = (0..NODES).collect();
    (1..order.len()).for_each(|i| order.swap(i, rng.random_range(0..=i)));
    while at < NODES {
        let end = (at + rng.random_range(5..=50)).min(NODES);
        edges.extend((0..(end - at) * 5).filter_map(|_| {
            let mut pick = || node(order[rng.random_range(at..end) as usize]);
            ordered(pick(), pick())
        }));
        at = end;
    }
    let (views, left, held) =
        run("classes", nodes.clone(), edges, |nodes, edges| classes::classes(nodes, edges, Arc::default()));
    let held: BTreeMap<_, _> = held.into_iter().collect();
    assert!(classes::same_partition(&held, &classes::recompute(&views, &left)));

    // Mutual edges among groups of 11 nodes, of which lists hold 10: a change is one list's.
    let mut lists: BTreeMap<NodeId, List> = BTreeMap::new();
    for group in order.chunks(11) {
        for a in group {
            let others = group.iter().filter(|b| *b != a && rng.random_bool(0.9));
            let list = others.map(|b| Neighbour { score: Score(0.5), node: node(*b) }).collect();
            lists.insert(node(*a), list);
        }
    }
    let (views, left, held) = run("closure", nodes, lists.into_iter().collect(), |nodes, neighbours| {
        closure(nodes, neighbours, Arc::default(), &Settings::default()).pairs
    });
    let inter = recompute_inter(&clusters::recompute(&left.into_iter().collect(), &Settings::default()));
    assert_eq!(held, pairs::recompute(&views, &inter));
}

/// Tracks of three views.
fn node(n: u64) -> NodeId {
    NodeId(((n / 3) << 8) | (n % 3))
}

fn ordered(a: NodeId, b: NodeId) -> Option<Edge> {
    (a.track() != b.track()).then(|| (a.min(b), a.max(b)))
}

fn edge(rng: &mut Pcg64, among: std::ops::Range<u64>) -> Option<Edge> {
    ordered(node(rng.random_range(among.clone())), node(rng.random_range(among)))
}

/// Loads `nodes` and `records` into `build`, takes random records away and puts others back for a while, prints the
/// rate, and returns the nodes, the records left, and what `build`'s output then held.
fn run<R, O, B>(
    name: &'static str,
    nodes: BTreeSet<NodeId>,
    records: BTreeSet<R>,
    build: B,
) -> (BTreeSet<NodeId>, BTreeSet<R>, BTreeSet<O>)
where
    R: ExchangeData + Sync,
    O: Data + Send,
    B: for<'s> FnOnce(
            VecCollection<'s, Epoch, NodeId, Diff>,
            VecCollection<'s, Epoch, R, Diff>,
        ) -> VecCollection<'s, Epoch, O, Diff>
        + Send
        + Sync
        + 'static,
{
    timely::execute_directly(move |worker| {
        let held = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let sink = held.clone();
        let probe = timely::dataflow::operators::probe::Handle::new();
        let (mut node_input, mut record_input) = worker.dataflow(|scope| {
            let (node_input, nodes) = scope.new_collection();
            let (record_input, records) = scope.new_collection();
            build(nodes, records)
                .inspect(move |(record, _, diff)| sink.borrow_mut().push((record.clone(), *diff)))
                .probe_with(&probe);
            (node_input, record_input)
        });
        let mut epoch = 0;
        let mut step = |node_input: &mut InputSession<_, NodeId, _>,
                        record_input: &mut InputSession<_, R, _>| {
            epoch += 1;
            node_input.advance_to(epoch);
            node_input.flush();
            record_input.advance_to(epoch);
            record_input.flush();
            let start = Instant::now();
            worker.step_while(|| probe.less_than(&epoch));
            start.elapsed().as_secs_f64()
        };
        nodes.iter().for_each(|node| node_input.insert(*node));
        records.iter().for_each(|record| record_input.insert(record.clone()));
        let load_s = step(&mut node_input, &mut record_input);

        let mut rng = Pcg64::seed_from_u64(2);
        let (mut present, mut absent): (Vec<R>, Vec<R>) = (records.into_iter().collect(), Vec::new());
        let mut batch_s = Vec::new();
        for batch in 0..=BATCHES {
            // The first batch only takes away, so that there is something to put back, and is not counted.
            let puts = if batch == 0 { 0 } else { BATCH / 2 };
            let mut back: Vec<R> = Vec::new();
            for _ in 0..puts {
                back.push(absent.swap_remove(rng.random_range(0..absent.len())));
            }
            for _ in 0..BATCH - BATCH / 2 {
                let gone = present.swap_remove(rng.random_range(0..present.len()));
                record_input.remove(gone.clone());
                absent.push(gone);
            }
            back.iter().for_each(|record| record_input.insert(record.clone()));
            present.extend(back);
            let elapsed_s = step(&mut node_input, &mut record_input);
            if batch > 0 {
                batch_s.push(elapsed_s);
            }
        }
        batch_s.sort_by(f64::total_cmp);
        println!(
            "{name}: {} records loaded in {load_s:.2} s; {:.0} changes/s in batches of {BATCH} (p50 {:.1} ms, worst {:.1} ms)",
            present.len() + absent.len(),
            (BATCH * BATCHES) as f64 / batch_s.iter().sum::<f64>(),
            batch_s[BATCHES / 2] * 1e3,
            batch_s[BATCHES - 1] * 1e3,
        );
        let mut held = held.take();
        differential_dataflow::consolidation::consolidate(&mut held);
        let held = held.into_iter().map(|(record, _)| record).collect();
        (nodes, present.into_iter().collect(), held)
    })
}
