//! Classes against union-find and differential's own propagation, on random and adversarial graphs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use differential_dataflow::algorithms::graphs::propagate::propagate;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use super::{Connectivity, Element, classes, recompute, same_partition};
use crate::id::NodeId;
use crate::index::node::ClassId;
use crate::replay::{Log, replay};
use crate::time::Diff;

type Labels = BTreeMap<NodeId, ClassId>;

/// A [`Connectivity`] with what it emitted and what it was given, compared after every batch.
#[derive(Default)]
struct Checked {
    connectivity: Connectivity,
    held: BTreeMap<Element, Diff>,
    labels: Labels,
    retired: BTreeSet<ClassId>,
}

impl Checked {
    fn apply_all(&mut self, log: &Log<Element>) {
        for changes in log {
            self.apply(changes);
        }
    }

    /// Applies a batch and returns how many labels changed.
    fn apply(&mut self, changes: &[(Element, Diff)]) -> usize {
        for (element, diff) in changes {
            *self.held.entry(*element).or_default() += diff;
        }
        let before: BTreeSet<ClassId> = self.labels.values().copied().collect();
        let net = self.connectivity.apply(changes);
        for ((node, label), _) in net.iter().filter(|(_, diff)| *diff < 0) {
            assert_eq!(self.labels.remove(node), Some(*label), "a label was taken back that was not given");
        }
        for ((node, label), diff) in net.iter().filter(|(_, diff)| *diff > 0) {
            assert_eq!((*diff, self.labels.insert(*node, *label)), (1, None), "{node} has two labels");
        }
        let after: BTreeSet<ClassId> = self.labels.values().copied().collect();
        assert!(after.is_disjoint(&self.retired), "a label was used again");
        self.retired.extend(before.difference(&after));
        assert!(same_partition(&self.labels, &union_find(&self.held)), "wrong after {changes:?}");
        net.iter().filter(|(_, diff)| *diff > 0).count()
    }
}

fn union_find(held: &BTreeMap<Element, Diff>) -> Labels {
    let (mut nodes, mut edges) = (BTreeSet::new(), BTreeSet::new());
    for (element, _) in held.iter().filter(|(_, count)| **count > 0) {
        match element {
            Element::Node(node) => drop(nodes.insert(*node)),
            Element::Edge(a, b) => drop(edges.insert((*a, *b))),
        }
    }
    recompute(&nodes, &edges)
}

fn node(n: u64) -> Element {
    Element::Node(NodeId(n))
}

fn edge(a: u64, b: u64) -> Element {
    Element::Edge(NodeId(a), NodeId(b))
}

fn coming(elements: impl IntoIterator<Item = Element>) -> Vec<(Element, Diff)> {
    elements.into_iter().map(|element| (element, 1)).collect()
}

/// Epochs of random changes: nodes come and go with their edges, edges come and go one by one, some twice.
fn churn(seed: u64, nodes: u64, epochs: usize, batch: usize) -> Log<Element> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut held: BTreeMap<Element, Diff> = BTreeMap::new();
    let mut log = Log::new();
    for epoch in 0..epochs {
        let before = held.clone();
        for _ in 0..rng.random_range(1..=batch) {
            let (a, b) = (rng.random_range(0..nodes), rng.random_range(0..nodes));
            // Long calm stretches with few edges, and others with many.
            let dense = (epoch / 40) % 2 == 1;
            match rng.random_range(0..10) {
                0 => held.retain(|element, _| match *element {
                    Element::Node(n) => n != NodeId(a),
                    Element::Edge(x, y) => x != NodeId(a) && y != NodeId(a),
                }),
                1 | 2 => drop(held.insert(node(a), 1)),
                kind @ 3..6 if (dense || kind == 3) && a != b => {
                    held.extend([(node(a), 1), (node(b), 1)]);
                    *held.entry(edge(a.min(b), a.max(b))).or_default() += 1;
                }
                _ => {
                    let edges = held.range(edge(a, 0)..).next().map(|(element, _)| *element);
                    if let Some(count) = edges.and_then(|edge| held.get_mut(&edge)) {
                        *count -= 1;
                    }
                }
            }
            held.retain(|_, count| *count > 0);
        }
        let all: BTreeSet<Element> = before.keys().chain(held.keys()).copied().collect();
        let count = |of: &BTreeMap<Element, Diff>, element| of.get(element).copied().unwrap_or(0);
        let diffs = all.iter().map(|element| (*element, count(&held, element) - count(&before, element)));
        log.push(diffs.filter(|(_, diff)| *diff != 0).collect());
    }
    log
}

#[test]
fn random_churn_keeps_the_partition_right() {
    for (seed, nodes, batch) in [(1, 12, 3), (2, 40, 6), (3, 40, 40), (4, 200, 25)] {
        let mut checked = Checked::default();
        let mut most = 0;
        for changes in churn(seed, nodes, 400, batch) {
            checked.apply(&changes);
            most = most.max(checked.labels.values().collect::<BTreeSet<_>>().len());
        }
        assert!(most > 3, "never more than {most} classes");
    }
}

#[test]
fn a_chain_cut_in_the_middle_makes_two_classes() {
    let mut checked = Checked::default();
    checked.apply(&coming((0..1000).map(node)));
    checked.apply(&coming((1..1000).map(|n| edge(n - 1, n))));
    assert_eq!(checked.apply(&[(edge(499, 500), -1)]), 500);
    assert_eq!(checked.apply(&[(edge(899, 900), -1)]), 100, "the smaller side is relabelled");
    assert_eq!(checked.apply(&[(edge(100, 950), 1)]), 100, "the smaller side is relabelled");
    assert_eq!(checked.apply(&[(edge(499, 500), 1), (edge(100, 950), -1)]), 500);
}

#[test]
fn a_star_loses_one_leaf_at_a_time_and_then_its_hub() {
    let mut checked = Checked::default();
    checked.apply(&coming((0..=300).map(node).chain((1..=300).map(|n| edge(0, n)))));
    for leaf in 1..=100 {
        assert_eq!(checked.apply(&[(edge(0, leaf), -1)]), 1);
    }
    let hub = (101..=300).map(|n| (edge(0, n), -1)).chain([(node(0), -1)]);
    checked.apply(&hub.collect::<Vec<_>>());
    assert_eq!(checked.labels.values().collect::<BTreeSet<_>>().len(), 300);
}

#[test]
fn one_giant_component_survives_the_loss_of_redundant_edges() {
    let mut checked = Checked::default();
    let ring = (0..2000).map(|n| edge(n, (n + 1) % 2000));
    let chords = (0..2000)
        .map(|n| edge(n, (n * 7 + 3) % 2000))
        .filter(|e| !matches!(e, Element::Edge(a, b) if a == b));
    let edges: BTreeSet<Element> = ring.chain(chords).collect();
    checked.apply(&coming((0..2000).map(node)));
    checked.apply(&coming(edges));
    assert_eq!(checked.apply(&[(edge(10, 11), -1), (edge(1000, 1001), -1)]), 0);
}

/// Takes edges of a shape away and puts them back, a few at a time.
fn edges_come_and_go(seed: u64, shape: impl IntoIterator<Item = (u64, u64)>) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let shape: BTreeSet<Element> = shape.into_iter().map(|(a, b)| edge(a.min(b), a.max(b))).collect();
    let shape: Vec<Element> = shape.into_iter().collect();
    let mut checked = Checked::default();
    checked.apply(&coming(shape.iter().copied()));
    let nodes = shape.iter().flat_map(|element| match element {
        Element::Edge(a, b) => [node(a.0), node(b.0)],
        Element::Node(_) => [*element; 2],
    });
    checked.apply(&coming(nodes.collect::<BTreeSet<_>>()));
    let mut gone: Vec<Element> = Vec::new();
    for _ in 0..60 {
        let mut changes: BTreeMap<Element, Diff> = BTreeMap::new();
        for _ in 0..rng.random_range(1..4) {
            if gone.len() < 3 || rng.random_bool(0.5) {
                let element = shape[rng.random_range(0..shape.len())];
                if !gone.contains(&element) && changes.insert(element, -1).is_none() {
                    gone.push(element);
                }
            } else {
                let element = gone.swap_remove(rng.random_range(0..gone.len()));
                *changes.entry(element).or_default() += 1;
            }
        }
        changes.retain(|_, diff| *diff != 0);
        checked.apply(&changes.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn long_detours_are_found() {
    edges_come_and_go(51, (0..3000).map(|n| (n, (n + 1) % 3000)));
    edges_come_and_go(52, (0..1000).flat_map(|n| [(2 * n, 2 * n + 1), (n, (n + 2) % 2000)]));
    // Rings of cliques, joined once, twice and five times from one to the next: only what joins them comes and goes
    // often enough to matter when cliques are pairs.
    for (seed, size, joins) in [(53, 2, 1), (54, 3, 2), (55, 6, 5)] {
        let around = 300;
        let within = |c: u64| (0..size).flat_map(move |a| (0..a).map(move |b| (c * size + a, c * size + b)));
        let onwards =
            |c: u64| (0..joins).map(move |j| (c * size + j, (c + 1) % around * size + (j + 1) % size));
        edges_come_and_go(seed, (0..around).flat_map(|c| within(c).chain(onwards(c))));
    }
}

#[test]
fn a_detour_past_many_edges_is_found_by_what_the_sketches_name() {
    // Two thick halves, joined by two edges far from each other.
    let half =
        |from: u64| (0..4000).flat_map(move |n| [1, 2, 5].map(|step| (from + n, from + (n + step) % 4000)));
    let joins = [(100, 4100), (2100, 6100)];
    let mut checked = Checked::default();
    checked.apply(&coming((0..8000).map(node)));
    checked.apply(&coming(half(0).chain(half(4000)).chain(joins).map(|(a, b)| edge(a.min(b), a.max(b)))));
    for _ in 0..3 {
        for (a, b) in joins {
            assert_eq!(checked.apply(&[(edge(a, b), -1)]), 0);
            checked.apply(&[(edge(a, b), 1)]);
        }
    }
    checked.apply(&[(edge(100, 4100), -1)]);
    assert_eq!(checked.apply(&[(edge(2100, 6100), -1)]), 4000);
}

#[test]
fn an_edge_of_both_kinds_goes_when_both_are_gone() {
    let mut checked = Checked::default();
    checked.apply(&[(node(1), 1), (node(2), 1), (edge(1, 2), 2)]);
    assert_eq!(checked.apply(&[(edge(1, 2), -1)]), 0);
    assert_eq!(checked.apply(&[(edge(1, 2), -1)]), 1);
}

#[test]
fn an_edge_connects_where_its_ends_are_not_nodes_yet() {
    let mut checked = Checked::default();
    assert_eq!(checked.apply(&coming([edge(1, 2), edge(3, 2), node(1)])), 1);
    checked.apply(&[(node(3), 1), (node(4), 1)]);
    assert_eq!(checked.labels[&NodeId(1)], checked.labels[&NodeId(3)]);
    checked.apply(&[(edge(1, 2), -1), (node(2), 1)]);
}

#[test]
fn what_is_gone_takes_no_memory() {
    let log = churn(9, 40, 300, 10);
    let mut checked = Checked::default();
    checked.apply_all(&log);
    let rest: Vec<_> = checked.held.iter().map(|(element, count)| (*element, -count)).collect();
    checked.apply(&rest);
    assert!(checked.labels.is_empty());
    assert_eq!(checked.connectivity.vertices(), 0);
}

#[test]
fn a_restarted_graph_keeps_its_labels() {
    let mut checked = Checked::default();
    checked.apply_all(&churn(6, 60, 200, 10));
    let stored: HashMap<NodeId, ClassId> = checked.labels.clone().into_iter().collect();
    assert!(stored.values().collect::<BTreeSet<_>>().len() > 3);
    let mut restarted =
        Checked { connectivity: Connectivity::with_hints(Arc::new(stored)), ..Checked::default() };
    restarted.apply(&checked.held.clone().into_iter().collect::<Vec<_>>());
    assert_eq!(restarted.labels, checked.labels);
    restarted.apply(&[(node(1000), 1)]);
    let new = restarted.labels[&NodeId(1000)];
    assert!(checked.labels.values().all(|label| *label < new));
}

#[test]
fn of_two_components_with_one_stored_label_one_takes_it() {
    let hints = [(1, 7), (2, 7), (3, 7), (4, 5)].map(|(n, label)| (NodeId(n), ClassId(label)));
    let mut checked =
        Checked { connectivity: Connectivity::with_hints(Arc::new(hints.into())), ..Checked::default() };
    checked.apply(&coming([node(1), node(2), node(3), node(4), edge(1, 3), edge(2, 4)]));
    assert_eq!(checked.labels[&NodeId(1)], ClassId(7));
    assert!(checked.labels[&NodeId(2)] > ClassId(7));
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ours(NodeId, ClassId),
    Propagated(NodeId, NodeId),
}

/// Our labels and differential's, by one run.
fn run(workers: usize, in_flight: usize, log: &Log<Element>) -> Vec<BTreeSet<Label>> {
    replay(workers, in_flight, log, |elements| {
        let nodes = elements.clone().flat_map(|element| match element {
            Element::Node(node) => Some(node),
            Element::Edge(..) => None,
        });
        let edges = elements.flat_map(|element| match element {
            Element::Node(_) => None,
            Element::Edge(a, b) => Some((a, b)),
        });
        let both_ways = edges.clone().concat(edges.clone().map(|(a, b)| (b, a)));
        let ends = both_ways.clone().map(|(a, _)| a).concat(nodes.clone()).distinct();
        let propagated = propagate(both_ways, ends.map(|node| (node, node))).semijoin(nodes.clone());
        classes(nodes, edges, Arc::default())
            .map(|(node, label)| Label::Ours(node, label))
            .concat(propagated.map(|(node, label)| Label::Propagated(node, label)))
    })
}

fn equal_at_every_epoch(workers: usize, in_flight: usize, log: &Log<Element>) {
    let mut held: BTreeMap<Element, Diff> = BTreeMap::new();
    for (changes, labels) in log.iter().zip(run(workers, in_flight, log)) {
        changes.iter().for_each(|(element, diff)| *held.entry(*element).or_default() += diff);
        let (mut ours, mut propagated) = (Labels::new(), Labels::new());
        for label in labels {
            match label {
                Label::Ours(node, label) => assert_eq!(ours.insert(node, label), None),
                Label::Propagated(node, least) => drop(propagated.insert(node, ClassId(least.0))),
            }
        }
        assert!(same_partition(&ours, &propagated), "{ours:?} is not {propagated:?}");
        assert!(same_partition(&ours, &union_find(&held)));
    }
}

#[test]
fn classes_equal_union_find_and_propagation_on_any_number_of_workers() {
    equal_at_every_epoch(1, 1, &churn(41, 30, 200, 6));
    equal_at_every_epoch(2, 1, &churn(42, 30, 200, 6));
    equal_at_every_epoch(3, 5, &churn(43, 30, 200, 6));
}

#[test]
fn partitions_differ_when_a_class_is_split_or_merged() {
    let labels = |of: &[u64]| -> Labels {
        of.iter().enumerate().map(|(n, label)| (NodeId(n as u64), ClassId(*label))).collect()
    };
    assert!(same_partition(&labels(&[1, 1, 2]), &labels(&[9, 9, 3])));
    assert!(!same_partition(&labels(&[1, 1, 2]), &labels(&[9, 8, 3])));
    assert!(!same_partition(&labels(&[1, 1, 2]), &labels(&[9, 9, 9])));
    assert!(!same_partition(&labels(&[1, 1, 2]), &labels(&[9, 9])));
}
