//! The whole closure against its recomputes, at every epoch, under random changes of the neighbours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::classes;
use super::closure::closure;
use super::clusters;
use super::clusters::Settings;
use super::edges::{recompute_degrees, recompute_inter, recompute_intra};
use super::pairs;
use crate::id::{NodeId, SourceId, TrackId};
use crate::index::kernels::score::Score;
use crate::index::node::Edge;
use crate::index::node::{ClassId, Cluster, List, Neighbour, Pair, PairKind};
use crate::replay::{Log, replay};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Given {
    Node(NodeId),
    List(NodeId, List),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Follows {
    Cluster(Cluster),
    Inter(Edge),
    Intra(Edge),
    Degree(NodeId, u32),
    Pair(Pair),
    Class(NodeId, ClassId),
}

fn run(workers: usize, in_flight: usize, log: &Log<Given>, settings: &Settings) -> Vec<BTreeSet<Follows>> {
    let settings = settings.clone();
    replay(workers, in_flight, log, move |given| {
        let nodes = given.clone().flat_map(|given| match given {
            Given::Node(node) => Some(node),
            Given::List(..) => None,
        });
        let neighbours = given.flat_map(|given| match given {
            Given::Node(_) => None,
            Given::List(node, list) => Some((node, list)),
        });
        let hints = Arc::new(HashMap::new());
        let all = closure(nodes, neighbours, hints, &settings);
        all.clusters
            .map(Follows::Cluster)
            .concat(all.inter.map(Follows::Inter))
            .concat(all.intra.map(Follows::Intra))
            .concat(all.degrees.map(|(node, degree)| Follows::Degree(node, degree)))
            .concat(all.pairs.map(Follows::Pair))
            .concat(all.classes.map(|(node, class)| Follows::Class(node, class)))
    })
}

/// What follows, sorted out by collection.
#[derive(Clone, Debug, Default, PartialEq)]
struct Contents {
    clusters: BTreeSet<Cluster>,
    inter: BTreeSet<Edge>,
    intra: BTreeSet<Edge>,
    degrees: BTreeMap<NodeId, u32>,
    pairs: BTreeSet<Pair>,
    classes: BTreeMap<NodeId, ClassId>,
}

impl Contents {
    fn of(follows: &BTreeSet<Follows>) -> Self {
        let mut contents = Contents::default();
        for record in follows.iter().cloned() {
            let new = match record {
                Follows::Cluster(cluster) => contents.clusters.insert(cluster),
                Follows::Inter(edge) => contents.inter.insert(edge),
                Follows::Intra(edge) => contents.intra.insert(edge),
                Follows::Degree(node, degree) => contents.degrees.insert(node, degree).is_none(),
                Follows::Pair(pair) => contents.pairs.insert(pair),
                Follows::Class(node, class) => contents.classes.insert(node, class).is_none(),
            };
            assert!(new, "a node of two classes or degrees");
        }
        contents
    }
}

/// What is given at one epoch.
#[derive(Clone, Default)]
struct World {
    nodes: BTreeSet<NodeId>,
    lists: BTreeMap<NodeId, List>,
}

impl World {
    fn recompute(&self, settings: &Settings) -> Contents {
        let clusters = clusters::recompute(&self.lists, settings);
        let inter = recompute_inter(&clusters);
        let intra = recompute_intra(&self.nodes);
        let mut pairs = pairs::recompute(&self.nodes, &inter);
        if settings.max_pairs_per_node > 0 {
            pairs = pairs::recompute_at_most(&pairs, settings.max_pairs_per_node);
        }
        let classes = classes::recompute(&self.nodes, &(&inter | &intra));
        let degrees = recompute_degrees(&inter);
        Contents { clusters, inter, intra, degrees, pairs, classes }
    }

    fn given(&self) -> BTreeSet<Given> {
        let lists = self.lists.iter().map(|(node, list)| Given::List(*node, list.clone()));
        self.nodes.iter().copied().map(Given::Node).chain(lists).collect()
    }

    fn retire(&mut self, retired: impl Fn(NodeId) -> bool) {
        self.nodes.retain(|node| !retired(*node));
        self.lists.retain(|node, _| !retired(*node));
        self.lists.values_mut().for_each(|list| list.retain(|n| !retired(n.node)));
    }

    /// Gives `node` a list of the first ten of `others` that are nodes.
    fn put(&mut self, node: NodeId, others: impl IntoIterator<Item = NodeId>, score: f32) {
        let mut list = List::new();
        for other in others {
            if other != node && self.nodes.contains(&other) && list.iter().all(|n| n.node != other) {
                list.push(Neighbour { score: Score(score), node: other });
            }
        }
        list.truncate(10);
        list.sort_unstable();
        self.nodes.insert(node);
        self.lists.insert(node, list);
    }
}

/// The changes between worlds, from an empty one to the first and on.
fn log(worlds: &[World]) -> Log<Given> {
    let mut before = BTreeSet::new();
    let mut log = Log::new();
    for world in worlds {
        let after = world.given();
        let gone = before.difference(&after).map(|given: &Given| (given.clone(), -1));
        log.push(gone.chain(after.difference(&before).map(|given| (given.clone(), 1))).collect());
        before = after;
    }
    log
}

fn node(track: u64, view: usize) -> NodeId {
    TrackId::new(SourceId((track % 3) as u32), track % 2, track).and_then(|t| t.node(view)).unwrap()
}

fn some(universe: &[NodeId], count: usize, rng: &mut Pcg64) -> Vec<NodeId> {
    (0..count).filter_map(|_| universe.choose(rng).copied()).collect()
}

/// Worlds that come out of each other by a few changes, over 40 or so nodes with dense groups planted among them.
fn random_worlds(seed: u64, rounds: usize) -> Vec<World> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let universe: Vec<NodeId> =
        (0..18).flat_map(|track| (0..rng.random_range(1..=4)).map(move |view| node(track, view))).collect();
    let groups: Vec<Vec<NodeId>> = (0..9).map(|_| some(&universe, 7, &mut rng)).collect();
    let mut world = World::default();
    let mut worlds = Vec::new();
    for _ in 0..rounds {
        for _ in 0..rng.random_range(1..=5) {
            let node = *universe.choose(&mut rng).unwrap();
            match rng.random_range(0..12) {
                0 => world.retire(|n| n == node),
                1 => world.retire(|n| n.track() == node.track()),
                2 => {
                    // A whole group comes at once: both entries of its mutual edges in one epoch.
                    let group: Vec<NodeId> = groups.choose(&mut rng).cloned().unwrap_or_default();
                    world.nodes.extend(&group);
                    group.iter().for_each(|node| world.put(*node, group.clone(), 0.5));
                }
                3 => {
                    if let Some(list) = world.lists.get_mut(&node).filter(|list| !list.is_empty()) {
                        list.remove(rng.random_range(0..list.len()));
                    }
                }
                _ => {
                    let mut others: Vec<NodeId> =
                        groups.iter().filter(|g| g.contains(&node)).flatten().copied().collect();
                    others.retain(|_| rng.random_bool(0.95));
                    others.extend(some(&universe, 3, &mut rng));
                    world.put(node, others, rng.random_range(0..20) as f32 / 20.0);
                }
            }
        }
        worlds.push(world.clone());
    }
    worlds
}

fn of_at_least(min_cluster: usize) -> Settings {
    Settings { min_cluster, ..Settings::default() }
}

fn incremental_equals_batch(workers: usize, in_flight: usize, seed: u64, min_cluster: usize, least: usize) {
    rounds_equal_batch(workers, in_flight, seed, 250, &of_at_least(min_cluster), least);
}

fn rounds_equal_batch(
    workers: usize,
    in_flight: usize,
    seed: u64,
    rounds: usize,
    settings: &Settings,
    least: usize,
) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let worlds = random_worlds(seed, rounds);
    let mut log = log(&worlds);
    // Noise that is nothing once an epoch is closed.
    for changes in &mut log {
        if let Some((given, _)) = changes.choose(&mut rng).cloned() {
            let at = rng.random_range(0..=changes.len());
            changes.insert(at, (given.clone(), 1));
            changes.push((given, -1));
        }
    }
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for (world, follows) in worlds.iter().zip(run(workers, in_flight, &log, settings)) {
        let mut got = Contents::of(&follows);
        let want = world.recompute(settings);
        let labels = std::mem::replace(&mut got.classes, want.classes.clone());
        assert!(classes::same_partition(&labels, &want.classes), "{labels:?} is not {:?}", want.classes);
        assert_eq!(got, want);
        assert!(got.pairs.iter().all(|pair| pair.a < pair.b));
        seen[0].extend(got.clusters.into_iter().map(|cluster| (cluster, None)));
        seen[1].extend(got.pairs.into_iter().map(|pair| (Vec::new(), Some(pair))));
    }
    let seen = seen.map(|set| set.len());
    assert!(seen.iter().all(|count| *count >= least), "too little happened: {seen:?}");
}

#[test]
fn the_closure_equals_its_recompute_on_one_worker() {
    incremental_equals_batch(1, 1, 11, 3, 100);
    incremental_equals_batch(1, 8, 12, 5, 20);
}

#[test]
fn the_closure_equals_its_recompute_on_two_workers() {
    incremental_equals_batch(2, 1, 21, 5, 20);
    incremental_equals_batch(2, 6, 22, 3, 100);
}

#[test]
fn the_closure_equals_its_recompute_on_three_workers() {
    incremental_equals_batch(3, 1, 31, 4, 30);
    incremental_equals_batch(3, 9, 32, 2, 100);
}

#[test]
fn a_limit_on_the_pairs_of_a_node_keeps_the_same_ones_whatever_the_order() {
    for (workers, in_flight, most) in [(1, 1, 1), (2, 1, 5), (3, 7, 12)] {
        let settings = Settings { min_cluster: 3, max_pairs_per_node: most };
        rounds_equal_batch(workers, in_flight, 40 + most as u64, 120, &settings, 20);
    }
}

#[test]
fn a_limit_is_kept_by_every_node_and_a_wide_one_changes_nothing() {
    let world = random_worlds(8, 60).pop().unwrap();
    let all = world.recompute(&of_at_least(2)).pairs;
    let of =
        |pairs: &BTreeSet<Pair>, node: NodeId| pairs.iter().filter(|p| p.a == node || p.b == node).count();
    let most = world.nodes.iter().map(|node| of(&all, *node)).max().unwrap();
    assert!(most > 10);
    assert_eq!(pairs::recompute_at_most(&all, most), all);
    let few = pairs::recompute_at_most(&all, 4);
    assert!(!few.is_empty() && world.nodes.iter().all(|node| of(&few, *node) <= 4));
}

/// The long form is `make soak-graph`. `KINETOGRAPH_SOAK_FROM` is a part to go on from (of 500 rounds, each with a seed
/// of its own).
#[test]
fn soak() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let rounds = number("KINETOGRAPH_SOAK_ROUNDS", 300);
    let from = number("KINETOGRAPH_SOAK_FROM", 0);
    let mut done = from * 500;
    for part in from.. {
        if done >= rounds {
            break;
        }
        let part_rounds = (rounds - done).min(500);
        let (workers, in_flight) = (1 + part % 3, 1 + part % 5);
        let max_pairs_per_node = if part % 4 == 3 { 6 } else { 0 };
        let settings = Settings { min_cluster: 2 + part % 4, max_pairs_per_node };
        rounds_equal_batch(workers, in_flight, 1000 + part as u64, part_rounds, &settings, 0);
        done += part_rounds;
        println!(
            "part {part}: {done} of {rounds} rounds, the last {part_rounds} on {workers} workers: no difference"
        );
    }
}

#[test]
fn the_same_log_gives_the_same_labels_on_any_number_of_workers() {
    let log = log(&random_worlds(5, 60));
    let one = run(1, 1, &log, &of_at_least(4));
    assert_eq!(one, run(2, 1, &log, &of_at_least(4)));
    assert_eq!(one, run(3, 4, &log, &of_at_least(4)));
}

/// Four nodes of four tracks in each other's lists, and another view of each track that is in no list.
fn four_tracks() -> World {
    let cluster = [1, 2, 3, 4].map(|track| node(track, 0));
    let others = [1, 2, 3, 4].map(|track| node(track, 1));
    let mut world = World { nodes: cluster.into_iter().chain(others).collect(), lists: BTreeMap::new() };
    cluster.iter().for_each(|node| world.put(*node, cluster, 0.5));
    others.iter().for_each(|node| world.put(*node, [], 0.5));
    world
}

#[test]
fn a_retracted_track_takes_its_pairs_along() {
    let before = four_tracks();
    let track = node(2, 0).track();
    let mut after = before.clone();
    after.retire(|node| node.track() == track);
    let epochs: Vec<Contents> =
        run(2, 1, &log(&[before, after]), &of_at_least(3)).iter().map(Contents::of).collect();
    let of_track = |pair: &&Pair| pair.a.track() == track || pair.b.track() == track;
    assert_eq!(epochs[0].pairs.len(), 6 * 3);
    assert_eq!(epochs[0].pairs.iter().filter(of_track).count(), 3 * 3);
    let left: BTreeSet<Pair> = epochs[0].pairs.iter().filter(|pair| !of_track(pair)).copied().collect();
    assert_eq!(epochs[1].pairs, left);
    assert_eq!(epochs[1].classes.len(), 6);
}

#[test]
fn a_pair_stays_while_it_has_a_reason() {
    // A' and B' are views of tracks whose views A-B and C-D (C of A's track, D of B's) are each on an edge.
    let [a, c, a2] = [0, 1, 2].map(|view| node(1, view));
    let [b, d, b2] = [0, 1, 2].map(|view| node(2, view));
    let mut both = World { nodes: [a, b, c, d, a2, b2].into(), lists: BTreeMap::new() };
    for (x, y) in [(a, b), (b, a), (c, d), (d, c)] {
        both.put(x, [y], 0.5);
    }
    let mut one = both.clone();
    one.put(c, [], 0.5);
    let mut none = one.clone();
    none.put(b, [], 0.5);
    let (first, second) = (a.min(b), a.max(b));
    let (low, high) = if first == a { (a2, b2) } else { (b2, a2) };
    let epochs = run(3, 1, &log(&[both, one, none]), &of_at_least(2));
    let reasons = |epoch: usize| {
        let pairs = Contents::of(&epochs[epoch]).pairs.into_iter();
        pairs.filter(|pair| (pair.a, pair.b) == (low, high)).collect::<Vec<_>>()
    };
    assert_eq!(reasons(0).len(), 2);
    let left = Pair { a: low, b: high, kind: PairKind::BothMoved, via_a: first, via_b: second };
    assert_eq!(reasons(1), [left]);
    assert!(reasons(2).is_empty());
}
