//! Classes: clusters of 5 to 50 nodes joined by tracks, and shapes that are hard to keep up.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use differential_dataflow::algorithms::graphs::propagate::propagate;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::relations::classes::{Connectivity, Element, classes};
use kinetograph_dataflows::time::{Diff, Epoch};
use petgraph::unionfind::UnionFind;
use rand::Rng;
use serde_json::{Value, json};

use super::drive::{Log, come_and_go, drive, node, print_of, resident_kb, rng};

/// Changes that one epoch of the load has: all at once they would be most of the memory.
const LOADED_AT_ONCE: usize = 50_000;

fn element(a: u64, b: u64) -> Option<Element> {
    (a != b).then(|| Element::Edge(node(a.min(b)), node(a.max(b))))
}

/// Clusters of 5 to 50 nodes with about 5 edges a node, over nodes of tracks of four: mostly one giant class.
fn clusters_and_tracks(nodes: u64) -> BTreeSet<Element> {
    let mut rng = rng(2);
    let mut order: Vec<u64> = (0..nodes).collect();
    (1..order.len()).for_each(|i| order.swap(i, rng.random_range(0..=i)));
    let mut edges = BTreeSet::new();
    let mut at = 0;
    while at < order.len() {
        let end = (at + rng.random_range(5..=50)).min(order.len());
        let among = &order[at..end];
        edges.extend((0..among.len() * 5).filter_map(|_| {
            element(among[rng.random_range(0..among.len())], among[rng.random_range(0..among.len())])
        }));
        at = end;
    }
    let within = |n: u64| (n / 4 * 4..n).map(move |other| (n, other));
    edges.extend((0..nodes).flat_map(within).filter_map(|(a, b)| element(a, b)));
    edges
}

/// A number of the partition of `nodes`, whatever its labels, by petgraph.
fn by_union_find<'e>(nodes: u64, edges: impl Iterator<Item = &'e Element>) -> u64 {
    let dense = |node: NodeId| (node.track().0 * 4 + u64::from(node.view())) as usize;
    let mut union_find: UnionFind<usize> = UnionFind::new(nodes as usize);
    for element in edges {
        if let Element::Edge(a, b) = element {
            union_find.union(dense(*a), dense(*b));
        }
    }
    let labels = union_find.into_labeling();
    print_of_partition((0..nodes).map(|n| (node(n), labels[n as usize] as u64)))
}

fn print_of_partition(labelled: impl Iterator<Item = (NodeId, u64)>) -> u64 {
    let mut labelled: Vec<(NodeId, u64)> = labelled.collect();
    labelled.sort_unstable();
    let mut least: HashMap<u64, NodeId> = HashMap::new();
    labelled.iter().fold(0, |sum: u64, (node, label)| {
        sum.wrapping_add(print_of(*node, *least.entry(*label).or_insert(*node)))
    })
}

pub(crate) fn measure(case: &str, nodes: u64, workers: usize) -> Value {
    let mut present: Vec<Element> = clusters_and_tracks(nodes).into_iter().collect();
    let mut rng = rng(3);
    (1..present.len()).for_each(|i| present.swap(i, rng.random_range(0..=i)));
    let mut absent = present.split_off(present.len() - 20_000.min(present.len() / 4));
    let all = (0..nodes).map(|n| Element::Node(node(n))).chain(present.iter().copied());
    let all: Vec<(Element, Diff)> = all.map(|element| (element, 1)).collect();
    let load = all.chunks(LOADED_AT_ONCE).map(<[_]>::to_vec).collect();
    let mut batches = come_and_go(&mut present, &mut absent, &mut rng);
    let propagated = case == "propagate";
    if propagated {
        // Of those that differential's takes seconds for, a few.
        batches.iter_mut().zip([10, 10, 3]).for_each(|(of_size, few)| of_size.truncate(few));
    }
    let given = batches.clone();
    let held: Arc<Mutex<HashMap<NodeId, u64>>> = Arc::default();
    let sink = held.clone();
    let mut value = drive(
        workers,
        Log { load, batches },
        |_: &()| 0,
        move |elements| {
            let nodes = elements.clone().flat_map(|element| match element {
                Element::Node(node) => Some(node),
                Element::Edge(..) => None,
            });
            let edges = elements.flat_map(|element| match element {
                Element::Node(_) => None,
                Element::Edge(a, b) => Some((a, b)),
            });
            let labelled = if propagated {
                let both_ways = edges.clone().concat(edges.map(|(a, b)| (b, a)));
                let least = propagate(both_ways, nodes.map(|node| (node, node)));
                least.map(|(node, least)| (node, least.0)).consolidate()
            } else {
                classes(nodes, edges, Arc::default()).map(|(node, class)| (node, class.0))
            };
            let sink = sink.clone();
            labelled
                .inspect_batch(move |_, changes: &[((NodeId, u64), Epoch, Diff)]| {
                    if let Ok(mut held) = sink.lock() {
                        for ((node, label), _, _) in changes.iter().filter(|(.., diff)| *diff > 0) {
                            held.insert(*node, *label);
                        }
                    }
                })
                .flat_map(|_| None)
        },
    );
    // What is there at the end: the load, and what each batch that was given made of it.
    let mut left: HashMap<Element, Diff> = all.into_iter().collect();
    for (element, diff) in given.into_iter().flatten().flatten() {
        *left.entry(element).or_default() += diff;
    }
    let left: Vec<Element> = left.into_iter().filter(|(_, count)| *count > 0).map(|(e, _)| e).collect();
    let start = Instant::now();
    let want = by_union_find(nodes, left.iter());
    let recompute_s = start.elapsed().as_secs_f64();
    let held = held.lock().map(|held| held.clone()).unwrap_or_default();
    assert_eq!(print_of_partition(held.into_iter()), want, "{case} is not the partition of the edges");
    value["answers"] = json!("equal to union-find");
    value["recompute_petgraph_s"] = json!(recompute_s);
    value
}

/// Shapes of graphs.
pub(crate) const SHAPES: [&str; 9] = [
    "one giant random component",
    "sparse random graph",
    "one long ring",
    "one chain cut in the middle",
    "chains of 1000",
    "ladder",
    "star",
    "ring of cliques",
    "clusters joined by tracks",
];

fn edges_of(shape: &str, n: u64) -> BTreeSet<Element> {
    let mut rng = rng(4);
    let mut random = |count: u64| -> Vec<(u64, u64)> {
        (0..count).map(|_| (rng.random_range(0..n), rng.random_range(0..n))).collect()
    };
    let edges: Vec<(u64, u64)> = match shape {
        "one giant random component" => random(2 * n),
        "sparse random graph" => random(n * 11 / 20),
        "one long ring" => (0..n).map(|i| (i, (i + 1) % n)).collect(),
        "one chain cut in the middle" => (1..n).map(|i| (i - 1, i)).collect(),
        "chains of 1000" => (1..n).filter(|i| i % 1000 != 0).map(|i| (i - 1, i)).collect(),
        "ladder" => {
            let rungs = (0..n / 2).map(|i| (2 * i, 2 * i + 1));
            rungs.chain((0..n - 2).map(|i| (i, i + 2))).collect()
        }
        "star" => (1..n).map(|i| (0, i)).collect(),
        "ring of cliques" => (0..n / 10)
            .flat_map(|c| {
                let within = (0..10).flat_map(move |a| (0..a).map(move |b| (c * 10 + a, c * 10 + b)));
                within.chain([(c * 10, (c * 10 + 15) % (n / 10 * 10))])
            })
            .collect(),
        _ => return clusters_and_tracks(n),
    };
    edges.into_iter().filter_map(|(a, b)| element(a, b)).collect()
}

/// Single changes of `shape`, half of them deletes, without a dataflow around them.
pub(crate) fn shape(shape: &str, nodes: u64) -> Value {
    assert!(SHAPES.contains(&shape), "there is no measurement named {shape}");
    let edges = edges_of(shape, nodes);
    let before_kb = resident_kb("VmRSS");
    let mut rng = rng(5);
    let mut connectivity = Connectivity::default();
    let start = Instant::now();
    let all = (0..nodes).map(|n| Element::Node(node(n))).chain(edges.iter().copied());
    let all: Vec<(Element, Diff)> = all.map(|element| (element, 1)).collect();
    for some in all.chunks(LOADED_AT_ONCE) {
        connectivity.apply(some);
    }
    let load_s = start.elapsed().as_secs_f64();
    drop(all);
    let mb = (resident_kb("VmRSS") - before_kb) as f64 / 1024.0;
    let mut present: Vec<Element> = edges.into_iter().collect();
    let count = present.len();
    let mut absent = Vec::new();
    let (mut seconds, mut emitted) = (Vec::new(), 0);
    let deadline = Instant::now();
    for round in 0..4000 {
        let change = if shape == "one chain cut in the middle" {
            (present[count / 2], if round % 2 == 0 { -1 } else { 1 })
        } else if round % 2 == 0 || absent.len() < 2 {
            let gone = present.swap_remove(rng.random_range(0..present.len()));
            absent.push(gone);
            (gone, -1)
        } else {
            // Those that went a while ago: a hole stays open for some time.
            let back = absent.swap_remove(rng.random_range(0..absent.len() - 1));
            present.push(back);
            (back, 1)
        };
        let start = Instant::now();
        let net = connectivity.apply(&[change]);
        seconds.push(start.elapsed().as_secs_f64());
        emitted += net.len();
        if deadline.elapsed().as_secs() > 20 {
            break;
        }
    }
    // Equal to a recompute: the labels as they are, by taking every node away.
    let retired: Vec<(Element, Diff)> = (0..nodes).map(|n| (Element::Node(node(n)), -1)).collect();
    let labels = connectivity.apply(&retired).into_iter().map(|((node, label), _)| (node, label.0));
    let last_cut = shape == "one chain cut in the middle" && seconds.len() % 2 == 1;
    let left: Vec<Element> =
        present.iter().enumerate().filter(|(at, _)| !last_cut || *at != count / 2).map(|(_, e)| *e).collect();
    assert_eq!(print_of_partition(labels), by_union_find(nodes, left.iter()), "{shape}");
    let total: f64 = seconds.iter().sum();
    let changes = seconds.len();
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((changes - 1) as f64 * share) as usize] * 1e6;
    json!({
        "edges": count, "load_s": load_s, "mb": mb, "changes": changes, "emitted": emitted,
        "p50_us": at(0.5), "p99_us": at(0.99), "worst_us": at(1.0),
        "us_per_change": total * 1e6 / changes as f64,
        "us_per_emitted": total * 1e6 / emitted.max(1) as f64,
    })
}
