//! What is drawn to train on: positives, negatives, and the view of the graph that both come from.

use std::collections::HashSet;

use kinetograph::train::feed::{Delta, coalesce};
use kinetograph::train::replay::{Buffer, Policy};
use kinetograph::train::triplet::{Batch, Mining};
use kinetograph::train::view::{Kind, View};
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{ClassId, GroupId};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg32;

use super::{node, pair, slice};

#[test]
fn draws_are_seven_transitive_to_two_intra_and_turn_both_ways() {
    let (mut view, mut buffer) = (View::default(), Buffer::new(Policy::Reservoir, 1000, 9));
    buffer.follow(&view.apply(&slice(0, 0, 200)));
    let draws: Vec<_> = (0..9000).map(|_| buffer.draw().unwrap()).collect();
    let transitive = draws.iter().filter(|(kind, _)| *kind == Kind::Transitive).count();
    assert!((6850..7150).contains(&transitive), "{transitive} of 9000, not 7000");
    let forward = draws.iter().filter(|(_, (a, b))| a < b).count();
    assert!((4300..4700).contains(&forward), "{forward} of 9000, not 4500");
}

#[test]
fn a_reservoir_stays_uniform_through_retractions() {
    // Sixty positives come, every third goes, thirty more come: each that is left is kept equally often.
    let mut kept = std::collections::BTreeMap::new();
    let rounds = 3000;
    for seed in 0..rounds {
        let (mut view, mut buffer) = (View::default(), Buffer::new(Policy::Reservoir, 13, seed));
        let pairs = |from: u64, to: u64, diff: i8, by: usize| Delta {
            pairs: (from..to).step_by(by).map(|i| (pair(i, i + 1000), diff)).collect(),
            ..Delta::default()
        };
        for delta in [pairs(0, 60, 1, 1), pairs(0, 60, -1, 3), pairs(60, 90, 1, 1)] {
            buffer.follow(&view.apply(&delta));
        }
        buffer.save().0.kept.iter().for_each(|p| *kept.entry(*p).or_insert(0u32) += 1);
    }
    assert_eq!(kept.len(), 70);
    let mean = f64::from(kept.values().sum::<u32>()) / 70.0;
    let worst = kept.values().map(|c| (f64::from(*c) - mean).abs() / mean.sqrt()).fold(0.0, f64::max);
    assert!(worst < 4.5, "one positive is {worst:.1} deviations off the mean of {mean}");
}

#[test]
fn negatives_are_always_valid() {
    let mut rng = Pcg32::seed_from_u64(11);
    let mut skipped = 0;
    for round in 0..40 {
        // Random groups, classes and pairs: the rule itself is what is checked, written out a second time.
        let mut delta = Delta::default();
        let (mut group_of, mut class_of) =
            (std::collections::HashMap::new(), std::collections::HashMap::new());
        let nodes: Vec<NodeId> = (0..20u64).flat_map(|t| [node(t, 0), node(t, 1)]).collect();
        for n in &nodes {
            let (group, class) =
                (rng.random_range(0..3), rng.random_range(0..if round % 4 == 0 { 1 } else { 3 }));
            group_of.insert(*n, group);
            class_of.insert(*n, class);
            delta.nodes.push((*n, 1));
            delta.groups.push((*n, GroupId(group), 1));
            delta.classes.push((*n, ClassId(class), 1));
        }
        let mut pairs = HashSet::new();
        for _ in 0..60 {
            let (a, b) = (rng.random_range(0..19u64), 19);
            let (a, b) = (a, rng.random_range(a + 1..=b));
            if pairs.insert((node(a, 1), node(b, 1))) {
                delta.pairs.push((pair(a, b), 1));
            }
        }
        let valid = |end: NodeId, n: NodeId| {
            group_of[&end] != group_of[&n]
                && class_of[&end] != class_of[&n]
                && end.track() != n.track()
                && !pairs.contains(&(end.min(n), end.max(n)))
        };
        let mut view = View::default();
        let mut buffer = Buffer::new(Policy::Reservoir, 100, round);
        buffer.follow(&view.apply(&delta));
        let drawn: Vec<_> = (0..5).map(|_| buffer.draw().unwrap()).collect();
        let batch = Batch::new(&view, &drawn, 4, &mut rng);
        let none =
            drawn.iter().filter(|(_, (a, p))| !nodes.iter().any(|n| valid(*a, *n) && valid(*p, *n))).count();
        assert_eq!(batch.no_negative, none);
        skipped += none;
        let n = batch.nodes.len();
        let distances: Vec<f32> = (0..n * n).map(|_| rng.random()).collect();
        for hard in [0, 2] {
            let mining = Mining { negatives: 4, hard, hardest: 4 };
            let (triplets, hard_count) = batch.triplets(&distances, mining, &mut rng);
            for t in &triplets {
                let [a, p, n] = [t.anchor, t.positive, t.negative].map(|at| batch.nodes[at]);
                assert!(valid(a, n) && valid(p, n), "{n} against {a} and {p}");
            }
            for (i, drawn) in batch.pairs.iter().enumerate() {
                let own: Vec<_> = triplets.iter().filter(|t| t.anchor == drawn.anchor).collect();
                let distinct: HashSet<_> = own.iter().map(|t| batch.nodes[t.negative]).collect();
                assert_eq!(own.len(), drawn.candidates.len().min(4), "pair {i}");
                assert_eq!(distinct.len(), own.len());
                let mut near = drawn.candidates.clone();
                near.sort_by(|a, b| {
                    distances[drawn.anchor * n + a].total_cmp(&distances[drawn.anchor * n + b])
                });
                let of_hardest = own.iter().filter(|t| near.iter().take(4).any(|c| *c == t.negative)).count();
                assert!(of_hardest >= hard.min(own.len()));
            }
            assert_eq!(hard_count > 0, hard > 0 && !triplets.is_empty());
        }
    }
    assert!(skipped > 0, "some graphs of one class must leave no negative");
}

#[test]
fn deltas_coalesce_to_what_is_left_and_the_view_follows_moves() {
    let mut second = Delta { epoch: 1, ..Delta::default() };
    second.groups.extend([(node(0, 0), GroupId(9), 1), (node(0, 0), GroupId(0), -1)]);
    second.pairs.push((pair(0, 4), -1));
    let mut by_parts = View::default();
    by_parts.apply(&slice(0, 0, 8));
    let changes = by_parts.apply(&second);
    assert_eq!(changes.went, [(Kind::Transitive, (node(0, 1), node(4, 1)))]);
    let mut at_once = View::default();
    at_once.apply(&coalesce([&slice(0, 0, 8), &second]));
    let mut orders = [by_parts.order().0, at_once.order().0];
    orders.iter_mut().for_each(|o| o.sort());
    assert_eq!(orders[0], orders[1]);
    assert_eq!((by_parts.epoch(), by_parts.transitive()), (at_once.epoch(), at_once.transitive()));
    // Node (0,0) left group 0, so a node of class 1 is still a negative and one of its own class is none.
    assert!(by_parts.is_negative((node(0, 0), node(0, 1)), node(1, 0)));
    assert!(!by_parts.is_negative((node(0, 0), node(0, 1)), node(4, 0)));
}
