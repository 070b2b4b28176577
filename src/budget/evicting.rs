//! Which tracks go: a function of what a closed epoch holds and of what is already going. So nothing of the policy's
//! own is kept: a restart that feeds it the stored nodes and lists, and what was decided and is still to come, decides
//! as if it had never stopped.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kinetograph_dataflows::id::{NodeId, TrackId};
use kinetograph_dataflows::index::kernels::score::Score;
use kinetograph_dataflows::index::node::{CellId, List};
use kinetograph_dataflows::time::Diff;

use super::Policy;

/// Who goes first: the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The epoch that brought the track.
    Came(u64),
    /// The score of the nearest neighbour that stays, of the view for which it is least.
    Nearest(Score),
    /// A view of it resembles nothing that stays, as far as its lists tell.
    Alone,
}

/// The tracks of a graph in the order in which they would go.
#[derive(Clone, Debug)]
pub struct Evicting {
    policy: Policy,
    /// Nodes that may stay.
    budget: usize,
    tracks: HashMap<TrackId, Track>,
    /// Lists by cell. Only [`Policy::Redundant`] looks at them.
    lists: HashMap<NodeId, BTreeMap<CellId, List>>,
    /// The tracks that stay. A rank may be too early by neighbours that have been told to go since: whoever takes a
    /// track from here ranks it anew.
    queue: BTreeSet<(Rank, TrackId)>,
    /// Tracks told to go that have not gone yet.
    going: HashSet<TrackId>,
    /// Nodes of the tracks in `queue`.
    staying: usize,
}

#[derive(Clone, Debug)]
struct Track {
    came: u64,
    views: Vec<NodeId>,
    /// As it stands in the queue.
    rank: Rank,
}

impl Evicting {
    /// Without nodes, for a budget of so many of them.
    pub fn new(policy: Policy, budget: usize) -> Self {
        Evicting {
            policy,
            budget,
            tracks: HashMap::new(),
            lists: HashMap::new(),
            queue: BTreeSet::new(),
            going: HashSet::new(),
            staying: 0,
        }
    }

    /// `node` came in `epoch`.
    pub fn came(&mut self, node: NodeId, epoch: u64) {
        let id = node.track();
        let new = || Track { came: epoch, views: Vec::new(), rank: Rank::Alone };
        let track = self.tracks.entry(id).or_insert_with(new);
        track.views.push(node);
        if !self.going.contains(&id) {
            self.staying += 1;
            self.rank_anew(id);
        }
    }

    /// `node` is no more.
    pub fn went(&mut self, node: NodeId) {
        let id = node.track();
        self.lists.remove(&node);
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.views.retain(|view| *view != node);
        let (rank, empty, stays) = (track.rank, track.views.is_empty(), !self.going.contains(&id));
        if stays {
            self.staying -= 1;
        }
        if empty {
            self.queue.remove(&(rank, id));
            self.going.remove(&id);
            self.tracks.remove(&id);
        } else if stays {
            self.rank_anew(id);
        }
    }

    /// Follows changes of lists; of a list that goes and comes, going is first.
    pub fn lists<'l>(&mut self, changes: impl IntoIterator<Item = (NodeId, CellId, &'l List, Diff)>) {
        if self.policy != Policy::Redundant {
            return;
        }
        let mut touched = BTreeSet::new();
        for (node, cell, list, diff) in changes {
            let lists = self.lists.entry(node).or_default();
            match diff {
                ..0 => drop(lists.remove(&cell)),
                _ => drop(lists.insert(cell, list.clone())),
            }
            if lists.is_empty() {
                self.lists.remove(&node);
            }
            touched.insert(node.track());
        }
        touched.into_iter().for_each(|track| self.rank_anew(track));
    }

    /// `nodes` were told to go before.
    pub fn going(&mut self, nodes: &[NodeId]) {
        for id in nodes.iter().map(|node| node.track()) {
            let Some(track) = self.tracks.get(&id) else { continue };
            if self.going.insert(id) {
                self.queue.remove(&(track.rank, id));
                self.staying -= track.views.len();
            }
        }
    }

    /// The nodes that are to go, ascending: one track after the other, each the first in order given those before it,
    /// until what stays is within the budget. They count as going from then on.
    pub fn decide(&mut self) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        while self.staying > self.budget
            && let Some((rank, id)) = self.queue.pop_first()
        {
            // What was too early in the queue moves back; what is rightly first goes.
            let now = self.rank(id);
            let Some(track) = self.tracks.get_mut(&id) else { continue };
            if now != rank {
                track.rank = now;
                self.queue.insert((now, id));
                continue;
            }
            self.going.insert(id);
            self.staying -= track.views.len();
            nodes.extend(&track.views);
        }
        nodes.sort_unstable();
        nodes
    }

    fn rank(&self, id: TrackId) -> Rank {
        let Some(track) = self.tracks.get(&id) else { return Rank::Alone };
        match self.policy {
            Policy::Oldest => Rank::Came(track.came),
            // Of ranks the larger goes later, and of scores the smaller is the larger in order.
            Policy::Redundant => track.views.iter().map(|v| self.nearest(*v)).max().unwrap_or(Rank::Alone),
        }
    }

    /// Returns the score of the nearest neighbour of `view` that is not going.
    fn nearest(&self, view: NodeId) -> Rank {
        let lists = self.lists.get(&view).into_iter().flat_map(BTreeMap::values);
        let staying =
            |list: &List| list.iter().find(|n| !self.going.contains(&n.node.track())).map(|n| n.score);
        lists.filter_map(staying).min().map_or(Rank::Alone, Rank::Nearest)
    }

    fn rank_anew(&mut self, id: TrackId) {
        if self.going.contains(&id) {
            return;
        }
        let now = self.rank(id);
        let Some(track) = self.tracks.get_mut(&id) else { return };
        self.queue.remove(&(track.rank, id));
        track.rank = now;
        self.queue.insert((now, id));
    }
}

#[cfg(test)]
mod tests {
    use kinetograph_dataflows::id::SourceId;
    use kinetograph_dataflows::index::node::Neighbour;
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    /// The graph at a closed epoch.
    #[derive(Clone, Default)]
    struct Graph {
        nodes: BTreeMap<NodeId, u64>,
        lists: BTreeMap<(NodeId, CellId), List>,
        going: BTreeSet<NodeId>,
    }

    /// The plain way: ranks every track that stays, takes the first, and begins again.
    fn recompute(graph: &Graph, policy: Policy, budget: usize) -> Vec<NodeId> {
        let mut going = graph.going.clone();
        loop {
            let stays = || graph.nodes.iter().filter(|(n, _)| !going.contains(n));
            if stays().count() <= budget {
                break;
            }
            let mut order: BTreeMap<TrackId, (u64, f32)> = BTreeMap::new();
            for (node, epoch) in stays() {
                let near = graph.lists.iter().filter(|((n, _), _)| n == node).flat_map(|(_, list)| list);
                let near = near.filter(|n| !going.contains(&n.node)).map(|n| n.score.0);
                let nearest = near.fold(f32::NEG_INFINITY, f32::max);
                let at = order.entry(node.track()).or_insert((*epoch, f32::INFINITY));
                at.1 = at.1.min(nearest);
            }
            let first = order.iter().min_by(|(a, (came_a, near_a)), (b, (came_b, near_b))| match policy {
                Policy::Oldest => came_a.cmp(came_b).then(a.cmp(b)),
                Policy::Redundant => near_b.total_cmp(near_a).then(a.cmp(b)),
            });
            let first = *first.unwrap().0;
            going.extend(graph.nodes.keys().filter(|n| n.track() == first));
        }
        going.difference(&graph.going).copied().collect()
    }

    /// A graph at random changes epoch by epoch; what was decided goes some epochs later.
    fn run(policy: Policy, seed: u64) {
        const DELAY: u64 = 3;
        let (budget, mut rng) = (40, Pcg64::seed_from_u64(seed));
        let (mut graph, mut evicting) = (Graph::default(), Evicting::new(policy, budget));
        let mut told: BTreeMap<u64, Vec<NodeId>> = BTreeMap::new();
        let (mut next, mut gone) = (0, 0);
        for epoch in 1..200 {
            let retired = told.remove(&epoch).unwrap_or_default();
            for _ in 0..rng.random_range(0..4) {
                let track = TrackId::new(SourceId(next % 3), 0, u64::from(next)).unwrap();
                next += 1;
                for view in 0..rng.random_range(1..4) {
                    let node = track.node(view).unwrap();
                    graph.nodes.insert(node, epoch);
                    evicting.came(node, epoch);
                }
            }
            graph.nodes.retain(|n, _| !retired.contains(n));
            graph.going.retain(|n| !retired.contains(n));
            let ids: Vec<NodeId> = graph.nodes.keys().copied().collect();
            let mut changes: Vec<(NodeId, CellId, List, Diff)> = Vec::new();
            for ((node, cell), list) in &mut graph.lists {
                if list.iter().any(|n| retired.contains(&n.node)) {
                    changes.push((*node, *cell, list.clone(), -1));
                    list.retain(|n| !retired.contains(&n.node));
                    changes.push((*node, *cell, list.clone(), 1));
                }
            }
            for node in &ids {
                if rng.random_bool(0.5) {
                    continue;
                }
                let cell = CellId(rng.random_range(0..2));
                let length = rng.random_range(0..6);
                let mut list: List = (0..length)
                    .map(|_| Neighbour {
                        // Few distinct scores: ties must be decided the same way.
                        score: Score(rng.random_range(0..8) as f32 / 8.0),
                        node: ids[rng.random_range(0..ids.len())],
                    })
                    .collect();
                list.sort_unstable();
                if let Some(old) = graph.lists.insert((*node, cell), list.clone()) {
                    changes.push((*node, cell, old, -1));
                }
                changes.push((*node, cell, list, 1));
            }
            let lost = |(node, _): &(NodeId, CellId)| !graph.nodes.contains_key(node);
            let left: Vec<_> = graph.lists.keys().copied().filter(lost).collect();
            for at in left {
                let old = graph.lists.remove(&at).unwrap();
                changes.push((at.0, at.1, old, -1));
            }
            evicting.lists(changes.iter().map(|(n, c, l, d)| (*n, *c, l, *d)));
            retired.iter().for_each(|node| evicting.went(*node));
            gone += retired.len();

            let expected = recompute(&graph, policy, budget);
            let mut restarted = Evicting::new(policy, budget);
            graph.nodes.iter().for_each(|(n, e)| restarted.came(*n, *e));
            restarted.lists(graph.lists.iter().map(|((n, c), l)| (*n, *c, l, 1)));
            restarted.going(&graph.going.iter().copied().collect::<Vec<_>>());
            assert_eq!(
                restarted.decide(),
                expected,
                "{policy:?}, seed {seed}, epoch {epoch}: after a restart"
            );
            assert_eq!(evicting.decide(), expected, "{policy:?}, seed {seed}, epoch {epoch}");
            graph.going.extend(&expected);
            if !expected.is_empty() {
                told.insert(epoch + DELAY, expected);
            }
        }
        assert!(gone > 200, "{gone} nodes went: the test shows too little");
    }

    #[test]
    fn what_goes_is_what_a_plain_recompute_says_also_after_a_restart() {
        for seed in 0..20 {
            run(Policy::Oldest, seed);
            run(Policy::Redundant, seed);
        }
    }

    #[test]
    fn of_two_that_resemble_each_other_one_stays() {
        let node = |track| TrackId::new(SourceId(0), 0, track).and_then(|t| t.node(0)).unwrap();
        let mut evicting = Evicting::new(Policy::Redundant, 2);
        let list = |other, score| vec![Neighbour { score: Score(score), node: node(other) }];
        let lists = [list(1, 0.9), list(0, 0.9), list(1, 0.5), list(1, 0.4)];
        (0..4).for_each(|track| evicting.came(node(track), track));
        evicting.lists((0..4).zip(&lists).map(|(track, list)| (node(track), CellId(0), list, 1)));
        // Once node 0 goes, nothing is like node 1 any more.
        assert_eq!(evicting.decide(), [node(0), node(2)]);
    }
}
