//! The closure over lists of neighbours: groups of eleven nodes that have each other, most of them both ways.

use std::collections::BTreeSet;
use std::sync::Arc;

use kinetograph_dataflows::graph::Diff;
use kinetograph_dataflows::graph::closure::closure;
use kinetograph_dataflows::graph::clusters::{Settings, clusters};
use kinetograph_dataflows::graph::node::{Cluster, List, Neighbour};
use kinetograph_dataflows::graph::score::Score;
use kinetograph_dataflows::id::NodeId;
use rand::Rng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::drive::{Log, come_and_go, drive, print_of, rng};

/// What the closure follows from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Given {
    Node(NodeId),
    List(NodeId, List),
}

/// Tracks of two views, as the engine makes them.
fn node(n: u64) -> NodeId {
    NodeId(((n / 2) << 8) | (n % 2))
}

fn list(of: NodeId, among: impl Iterator<Item = NodeId>) -> List {
    let mut list: List =
        among.filter(|n| *n != of).map(|node| Neighbour { score: Score(0.5), node }).take(10).collect();
    list.sort_unstable();
    list
}

/// The groups, and the lists of their nodes.
fn lists(nodes: u64, rng: &mut Pcg64) -> (Vec<Vec<NodeId>>, Vec<Given>) {
    let mut order: Vec<u64> = (0..nodes).collect();
    (1..order.len()).for_each(|i| order.swap(i, rng.random_range(0..=i)));
    let groups: Vec<Vec<NodeId>> =
        order.chunks(11).map(|group| group.iter().map(|n| node(*n)).collect()).collect();
    let mut given = Vec::new();
    for group in &groups {
        for of in group {
            let others: Vec<NodeId> = group.iter().copied().filter(|_| rng.random_bool(0.9)).collect();
            given.push(Given::List(*of, list(*of, others.into_iter())));
        }
    }
    (groups, given)
}

/// All that is given for `nodes`.
pub(crate) fn load(nodes: u64) -> Vec<(Given, Diff)> {
    let (_, lists) = lists(nodes, &mut rng(6));
    (0..nodes).map(|n| Given::Node(node(n))).chain(lists).map(|given| (given, 1)).collect()
}

/// The two parts of what is given.
macro_rules! parts {
    ($given:expr) => {{
        let given = $given;
        let nodes = given.clone().flat_map(|given| match given {
            $crate::lists::Given::Node(node) => Some(node),
            $crate::lists::Given::List(..) => None,
        });
        let neighbours = given.flat_map(|given| match given {
            $crate::lists::Given::Node(_) => None,
            $crate::lists::Given::List(node, list) => Some((node, list)),
        });
        (nodes, neighbours)
    }};
}
pub(crate) use parts;

fn print_of_cluster(cluster: &Cluster) -> u64 {
    cluster.windows(2).fold(0, |sum: u64, two| sum.wrapping_mul(31).wrapping_add(print_of(two[0], two[1])))
}

/// A change is one list that comes or goes.
pub(crate) fn measure(case: &str, nodes: u64, workers: usize) -> Value {
    let mut rng = rng(7);
    let (mut present, mut absent): (Vec<Given>, Vec<Given>) = (lists(nodes, &mut rng).1, Vec::new());
    for _ in 0..20_000.min(present.len() / 4) {
        absent.push(present.swap_remove(rng.random_range(0..present.len())));
    }
    let load = (0..nodes).map(|n| Given::Node(node(n))).chain(present.iter().cloned());
    let load: Vec<(Given, Diff)> = load.map(|given| (given, 1)).collect();
    let load = load.chunks(100_000).map(<[_]>::to_vec).collect();
    let log = Log { load, batches: come_and_go(&mut present, &mut absent, &mut rng) };
    if case == "clusters" {
        return drive(workers, log, print_of_cluster, |given| {
            let (_, neighbours) = parts!(given);
            clusters(neighbours, &Settings::default())
        });
    }
    drive(
        workers,
        log,
        |print: &u64| *print,
        |given| {
            let (nodes, neighbours) = parts!(given);
            let all = closure(nodes, neighbours, Arc::default(), &Settings::default());
            let clusters = all.clusters.map(|cluster| print_of_cluster(&cluster));
            let pairs = all.pairs.map(|pair| print_of(pair.a, pair.b));
            clusters.concat(pairs).concat(all.classes.map(|_| 0))
        },
    )
}

/// One in a thousand nodes is new: the time of that epoch, against the time to get there from nothing.
pub(crate) fn new_nodes(nodes: u64, workers: usize) -> Value {
    let mut rng = rng(8);
    let (groups, given) = lists(nodes, &mut rng);
    let all = (0..nodes).map(|n| Given::Node(node(n))).chain(given.iter().cloned());
    let load: Vec<(Given, Diff)> = all.map(|given| (given, 1)).collect();
    // New nodes come in fives that are like a group that is there: three of it take one of them up in their lists.
    let mut changes = Vec::new();
    let mut touched = BTreeSet::new();
    for five in 0..nodes / 5000 {
        let at = (rng.random_range(0..groups.len()), nodes + five * 5);
        if !touched.insert(at.0) {
            continue;
        }
        let new: Vec<NodeId> = (at.1..at.1 + 5).map(node).collect();
        let group = &groups[at.0];
        for of in &new {
            changes.push((Given::Node(*of), 1));
            let others = new.iter().chain(group).copied();
            changes.push((Given::List(*of, list(*of, others)), 1));
        }
        for (of, new) in group.iter().zip(&new).take(3) {
            for had in &given[at.0 * 11..(at.0 * 11 + 11).min(given.len())] {
                if let Given::List(node, had) = had
                    && node == of
                {
                    let mut has = had.clone();
                    has.pop();
                    has.push(Neighbour { score: Score(0.5), node: *new });
                    has.sort_unstable();
                    changes.push((Given::List(*of, had.clone()), -1));
                    changes.push((Given::List(*of, has), 1));
                }
            }
        }
    }
    let taken_back: Vec<(Given, Diff)> = changes.iter().map(|(given, diff)| (given.clone(), -diff)).collect();
    let rounds = (0..20).map(|round| if round % 2 == 0 { changes.clone() } else { taken_back.clone() });
    let log = Log { load: vec![load], batches: vec![rounds.collect()] };
    let value = drive(
        workers,
        log,
        |print: &u64| *print,
        |given| {
            let (nodes, neighbours) = parts!(given);
            let all = closure(nodes, neighbours, Arc::default(), &Settings::default());
            all.pairs.map(|pair| print_of(pair.a, pair.b)).concat(all.classes.map(|_| 0))
        },
    );
    let ms = value["batches"][0]["p50_ms"].as_f64().unwrap_or(f64::NAN);
    let load_s = value["load_s"].as_f64().unwrap_or(f64::NAN);
    json!({ "changes": changes.len(), "p50_ms": ms, "from_nothing_s": load_s, "times_faster": load_s * 1e3 / ms })
}
