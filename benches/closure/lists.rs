//! The closure over lists of neighbours: groups of eleven nodes that have each other, most of them both ways.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::kernels::score::Score;
use kinetograph_dataflows::index::node::{ClassId, Cluster, List, Neighbour};
use kinetograph_dataflows::relations::classes::same_partition;
use kinetograph_dataflows::relations::closure::closure;
use kinetograph_dataflows::relations::clusters::{Settings, clusters};
use kinetograph_dataflows::time::Diff;
use petgraph::unionfind::UnionFind;
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

/// One in a thousand nodes is new: the time of that epoch, against a recompute of everything by plain code, and against our own
/// load of everything. The answers are compared: pairs one by one, classes as partitions.
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
    // An odd number of rounds: at the end the new nodes are there.
    let rounds = (0..21).map(|round| if round % 2 == 0 { changes.clone() } else { taken_back.clone() });
    let at_the_end: BTreeMap<Given, Diff> =
        load.iter().chain(&changes).fold(BTreeMap::new(), |mut sum, (given, diff)| {
            *sum.entry(given.clone()).or_default() += diff;
            sum
        });
    let log = Log { load: vec![load], batches: vec![rounds.collect()] };
    let classes: Arc<Mutex<BTreeMap<NodeId, ClassId>>> = Arc::default();
    let sink = classes.clone();
    let value = drive(
        workers,
        log,
        |print: &u64| *print,
        move |given| {
            let (nodes, neighbours) = parts!(given);
            let all = closure(nodes, neighbours, Arc::default(), &Settings::default());
            let sink = sink.clone();
            let classes = all.classes.inspect_batch(move |_, changes| {
                if let Ok(mut held) = sink.lock() {
                    for ((node, class), _, diff) in changes {
                        if *diff > 0 {
                            held.insert(*node, *class);
                        } else if held.get(node) == Some(class) {
                            held.remove(node);
                        }
                    }
                }
            });
            all.pairs.map(|pair| print_of(pair.a, pair.b)).concat(classes.map(|_| 0))
        },
    );
    let plain = plain(at_the_end.into_iter().filter(|(_, count)| *count > 0).map(|(given, _)| given));
    assert_eq!(value["answers"][0], json!(plain.pairs), "pairs are not those of a recompute");
    let held = classes.lock().map(|held| held.clone()).unwrap_or_default();
    assert!(same_partition(&held, &plain.classes), "classes are not those of a recompute");
    let ms = value["batches"][0]["p50_ms"].as_f64().unwrap_or(f64::NAN);
    let load_s = value["load_s"].as_f64().unwrap_or(f64::NAN);
    json!({
        "answers": "equal to the recompute's",
        "changes": changes.len(),
        "p50_ms": ms,
        "recompute_s": plain.seconds,
        "times_faster_than_recompute": plain.seconds * 1e3 / ms,
        "own_load_s": load_s,
        "times_faster_than_own_load": load_s * 1e3 / ms,
    })
}

/// What plain code makes of everything, and how long it takes.
struct Plain {
    /// The sum of the prints of all pairs, a reason each.
    pairs: u64,
    classes: BTreeMap<NodeId, ClassId>,
    seconds: f64,
}

/// Hash maps and vectors: cliques among each node's mutual neighbours that are larger, a join by track, petgraph's union-find.
fn plain(given: impl Iterator<Item = Given>) -> Plain {
    let (mut nodes, mut lists) = (Vec::new(), HashMap::new());
    for given in given {
        match given {
            Given::Node(node) => nodes.push(node),
            Given::List(node, list) => drop(lists.insert(node, list)),
        }
    }
    let start = Instant::now();
    let has: HashMap<NodeId, HashSet<NodeId>> =
        lists.iter().map(|(node, list)| (*node, list.iter().map(|n| n.node).collect())).collect();
    let mutual = |a: &NodeId, b: &NodeId| {
        a != b && has.get(a).is_some_and(|l| l.contains(b)) && has.get(b).is_some_and(|l| l.contains(a))
    };
    let mut inter: HashSet<(NodeId, NodeId)> = HashSet::new();
    for node in has.keys() {
        let beside: Vec<NodeId> = has[node].iter().copied().filter(|other| mutual(node, other)).collect();
        cliques(vec![*node], beside, Vec::new(), &mutual, &mut |clique| {
            if clique.len() >= Settings::default().min_cluster && clique.iter().min() == Some(node) {
                let pairs = clique.iter().flat_map(|a| clique.iter().map(move |b| (*a, *b)));
                inter.extend(pairs.filter(|(a, b)| a < b));
            }
        });
    }
    let mut views: HashMap<u64, Vec<NodeId>> = HashMap::new();
    nodes.iter().for_each(|node| views.entry(node.track().0).or_default().push(*node));
    let mut pairs = 0u64;
    for (via_a, via_b) in inter.iter().filter(|(a, b)| a.track() != b.track()) {
        for a in &views[&via_a.track().0] {
            for b in &views[&via_b.track().0] {
                if (a, b) != (via_a, via_b) {
                    pairs = pairs.wrapping_add(print_of(*a, *b));
                }
            }
        }
    }
    let place: HashMap<NodeId, usize> = nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
    let mut union_find: UnionFind<usize> = UnionFind::new(nodes.len());
    let within = views.values().flat_map(|views| views.windows(2).map(|two| (two[0], two[1])));
    for (a, b) in inter.iter().copied().chain(within) {
        union_find.union(place[&a], place[&b]);
    }
    let labels = union_find.into_labeling();
    let seconds = start.elapsed().as_secs_f64();
    let classes = nodes.iter().enumerate().map(|(at, node)| (*node, ClassId(labels[at] as u64)));
    Plain { pairs, classes: classes.collect(), seconds }
}

/// Calls `found` with each maximal clique of `clique` and some of `candidates` that none of `excluded` extends (Bron and Kerbosch).
fn cliques(
    clique: Vec<NodeId>,
    mut candidates: Vec<NodeId>,
    mut excluded: Vec<NodeId>,
    mutual: &impl Fn(&NodeId, &NodeId) -> bool,
    found: &mut impl FnMut(&[NodeId]),
) {
    if candidates.is_empty() && excluded.is_empty() {
        return found(&clique);
    }
    // One that is beside the most others: cliques without it have one that is not beside it.
    let beside = |node: &NodeId| candidates.iter().filter(|other| mutual(node, other)).count();
    let pivot = candidates.iter().chain(&excluded).copied().max_by_key(|node| beside(node));
    let branches: Vec<NodeId> =
        candidates.iter().copied().filter(|node| pivot.is_none_or(|p| !mutual(&p, node))).collect();
    for node in branches {
        let among = |set: &[NodeId]| set.iter().copied().filter(|other| mutual(&node, other)).collect();
        let with = [&clique[..], &[node]].concat();
        cliques(with, among(&candidates), among(&excluded), mutual, found);
        candidates.retain(|other| *other != node);
        excluded.push(node);
    }
}
