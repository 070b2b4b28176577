//! Pairs alone against their recompute: tracks of many views, that come and go with their edges or before them.

use std::collections::BTreeSet;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::{pairs, recompute};
use crate::id::{NodeId, SourceId, TrackId};
use crate::index::node::Edge;
use crate::replay::{Log, replay};
use crate::time::Diff;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Given {
    View(NodeId),
    Inter(NodeId, NodeId),
}

#[derive(Clone, Default)]
struct World {
    nodes: BTreeSet<NodeId>,
    inter: BTreeSet<Edge>,
}

impl World {
    fn given(&self) -> BTreeSet<Given> {
        let inter = self.inter.iter().map(|(a, b)| Given::Inter(*a, *b));
        self.nodes.iter().copied().map(Given::View).chain(inter).collect()
    }

    fn retire(&mut self, gone: impl Fn(NodeId) -> bool) {
        self.nodes.retain(|node| !gone(*node));
        self.inter.retain(|(a, b)| !gone(*a) && !gone(*b));
    }

    /// An edge, and its ends.
    fn join(&mut self, a: NodeId, b: NodeId) {
        self.nodes.extend([a, b]);
        if a != b {
            self.inter.insert((a.min(b), a.max(b)));
        }
    }
}

fn worlds(seed: u64, rounds: usize) -> Vec<World> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let views = |track: u64| [2, 5, 14, 23][track as usize % 4];
    let universe: Vec<NodeId> = (0..8)
        .map(|track| TrackId::new(SourceId(track as u32 % 2), 0, track).unwrap())
        .flat_map(|track| (0..views(track.0)).map(move |view| track.node(view).unwrap()))
        .collect();
    let mut world = World::default();
    let step = |_| {
        for _ in 0..rng.random_range(1..=6) {
            let [a, b] = [0; 2].map(|_| *universe.choose(&mut rng).unwrap());
            match rng.random_range(0..16) {
                0 => world.retire(|node| node.track() == a.track()),
                1 | 2 => world.retire(|node| node == a),
                3 => {
                    // A whole track comes at once, with an edge to one that may be new, too.
                    world.nodes.extend(universe.iter().filter(|node| node.track() == a.track()));
                    world.join(a, b);
                }
                4..7 => drop(world.nodes.insert(a)),
                7..10 => {
                    let edge = world.inter.iter().nth(rng.random_range(0..=world.inter.len())).copied();
                    edge.map(|edge| world.inter.remove(&edge));
                }
                _ => world.join(a, b),
            }
        }
        world.clone()
    };
    (0..rounds).map(step).collect()
}

fn incremental_equals_batch(workers: usize, in_flight: usize, seed: u64) {
    let worlds = worlds(seed, 250);
    let (mut before, mut log) = (BTreeSet::new(), Log::new());
    for world in &worlds {
        let after = world.given();
        let gone = before.difference(&after).map(|given: &Given| (given.clone(), -1 as Diff));
        log.push(gone.chain(after.difference(&before).map(|given| (given.clone(), 1))).collect());
        before = after;
    }
    let held = replay(workers, in_flight, &log, |given| {
        let nodes = given.clone().flat_map(|given| match given {
            Given::View(node) => Some(node),
            Given::Inter(..) => None,
        });
        let inter = given.flat_map(|given| match given {
            Given::View(_) => None,
            Given::Inter(a, b) => Some((a, b)),
        });
        pairs(inter, nodes)
    });
    let mut most = 0;
    for (world, held) in worlds.iter().zip(held) {
        assert_eq!(held, recompute(&world.nodes, &world.inter));
        most = most.max(held.len());
    }
    assert!(most > 500, "never more than {most} pairs");
}

#[test]
fn pairs_of_tracks_of_many_views_equal_their_recompute() {
    incremental_equals_batch(1, 1, 61);
    incremental_equals_batch(1, 7, 62);
    incremental_equals_batch(2, 1, 63);
    incremental_equals_batch(2, 9, 64);
    incremental_equals_batch(3, 4, 65);
}
