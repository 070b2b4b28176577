//! The relations that follow from the lists, from scratch and the plain way. Nodes are numbered by their place in the ascending order of ids.

use std::collections::BTreeMap;

use kinetograph_dataflows::id::{NodeId, TrackId};
use kinetograph_dataflows::index::node::{CellId, Cluster, List, Pair, PairKind};
use kinetograph_dataflows::relations::pairs::rank;

use super::cores::on_all_cores;

/// Nodes whose cliques are searched at a time.
const TOGETHER: usize = 256;

/// Who is in whose neighbours both ways, the neighbours of a node being its lists merged to `k`: for each of `ids`
/// (ascending) the numbers of the others, ascending.
pub fn mutual(ids: &[NodeId], lists: &[((NodeId, CellId), List)], k: usize) -> Vec<Vec<u32>> {
    let number = |node: &NodeId| ids.binary_search(node).ok().map(|at| at as u32);
    let mut near: Vec<Vec<u32>> = vec![Vec::new(); ids.len()];
    let mut lists = lists.iter().peekable();
    while let Some(((node, _), list)) = lists.next() {
        let mut merged = list.clone();
        while let Some((_, list)) = lists.next_if(|((next, _), _)| next == node) {
            merged.extend(list);
        }
        merged.sort_unstable();
        if let Some(at) = number(node) {
            let near = &mut near[at as usize];
            near.extend(merged.iter().take(k).filter_map(|entry| number(&entry.node)));
            near.sort_unstable();
        }
    }
    let both = |a: u32, b: u32| near[b as usize].binary_search(&a).is_ok();
    let of = |(a, of_a): (usize, &Vec<u32>)| of_a.iter().copied().filter(|b| both(a as u32, *b)).collect();
    near.iter().enumerate().map(of).collect()
}

/// The maximal cliques of at least `min_cluster` (and two) nodes of `mutual`, sorted.
pub fn clusters(
    ids: &[NodeId],
    mutual: &[Vec<u32>],
    min_cluster: usize,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<Cluster> {
    let starts: Vec<usize> = (0..ids.len()).step_by(TOGETHER).collect();
    let from = |start: &usize| {
        let mut found = Vec::new();
        for node in *start..(start + TOGETHER).min(ids.len()) {
            // Each clique is found from its smallest member; smaller nodes around can only show that it is not maximal.
            let (smaller, larger) = mutual[node].iter().copied().partition(|n| (*n as usize) < node);
            let mut search = Search { mutual, min_cluster: min_cluster.max(2), found: Vec::new() };
            search.grow(&mut vec![node as u32], larger, smaller);
            found.extend(search.found);
        }
        found
    };
    let done = |chunks: usize| done((chunks * TOGETHER).min(ids.len()));
    let cliques = on_all_cores(&starts, from, &done).into_iter().flatten();
    let mut clusters: Vec<Cluster> = cliques
        .map(|mut clique: Vec<u32>| {
            clique.sort_unstable();
            clique.into_iter().map(|node| ids[node as usize]).collect()
        })
        .collect();
    clusters.sort_unstable();
    clusters
}

struct Search<'m> {
    mutual: &'m [Vec<u32>],
    min_cluster: usize,
    found: Vec<Vec<u32>>,
}

impl Search<'_> {
    /// Adds each of `open` to `clique` in turn; `closed` are nodes that would fit too but were tried already.
    fn grow(&mut self, clique: &mut Vec<u32>, mut open: Vec<u32>, mut closed: Vec<u32>) {
        if open.is_empty() {
            if closed.is_empty() && clique.len() >= self.min_cluster {
                self.found.push(clique.clone());
            }
            return;
        }
        // A maximal clique without the pivot has a node that the pivot does not know: only those need a turn.
        let known = |node: &u32| open.iter().filter(|other| self.know(*node, **other)).count();
        let Some(pivot) = open.iter().chain(&closed).copied().max_by_key(known) else { return };
        let turns: Vec<u32> = open.iter().copied().filter(|node| !self.know(pivot, *node)).collect();
        for node in turns {
            if clique.len() + open.len() < self.min_cluster {
                break;
            }
            let around = |set: &[u32]| set.iter().copied().filter(|other| self.know(node, *other)).collect();
            let (open_around, closed_around) = (around(&open), around(&closed));
            clique.push(node);
            self.grow(clique, open_around, closed_around);
            clique.pop();
            open.retain(|other| *other != node);
            closed.push(node);
        }
    }

    fn know(&self, a: u32, b: u32) -> bool {
        self.mutual[a as usize].binary_search(&b).is_ok()
    }
}

/// The pairs of nodes that share a cluster, the smaller first, sorted.
pub fn inter(clusters: &[Cluster]) -> Vec<(NodeId, NodeId)> {
    let mut edges = Vec::new();
    for cluster in clusters {
        for (at, a) in cluster.iter().enumerate() {
            edges.extend(cluster[at + 1..].iter().map(|b| (*a.min(b), *a.max(b))));
        }
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// The views of each track, ascending.
pub fn tracks(nodes: impl IntoIterator<Item = NodeId>) -> BTreeMap<TrackId, Vec<NodeId>> {
    let mut tracks: BTreeMap<TrackId, Vec<NodeId>> = BTreeMap::new();
    for node in nodes {
        tracks.entry(node.track()).or_default().push(node);
    }
    tracks.values_mut().for_each(|views| views.sort_unstable());
    tracks
}

/// Every transitive pair with every reason for it, sorted.
pub fn pairs(inter: &[(NodeId, NodeId)], tracks: &BTreeMap<TrackId, Vec<NodeId>>) -> Vec<Pair> {
    let views = |node: NodeId| tracks.get(&node.track()).map(Vec::as_slice).unwrap_or_default();
    let mut pairs = Vec::new();
    for &(via_a, via_b) in inter {
        for &a in views(via_a) {
            for &b in views(via_b) {
                let kind = match (a != via_a, b != via_b) {
                    (true, true) => PairKind::BothMoved,
                    (true, false) => PairKind::AMoved,
                    (false, true) => PairKind::BMoved,
                    (false, false) => continue,
                };
                // Ids of one track lie together, so a < b whenever via_a < via_b.
                pairs.push(Pair { a, b, kind, via_a, via_b });
            }
        }
    }
    pairs.sort_unstable();
    pairs
}

/// The pairs of which neither node has `most` others that come before them by [`rank`].
pub fn at_most(pairs: Vec<Pair>, most: usize) -> Vec<Pair> {
    let mut by_rank: Vec<(u64, Pair)> = pairs.into_iter().map(|pair| (rank(&pair), pair)).collect();
    by_rank.sort_unstable();
    let mut seen: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut among_first = |node: NodeId| {
        let count = seen.entry(node).or_default();
        *count += 1;
        *count <= most
    };
    // Both ends are asked: each counts the pair whether or not the other keeps it.
    by_rank.retain(|(_, pair)| among_first(pair.a) & among_first(pair.b));
    let mut kept: Vec<Pair> = by_rank.into_iter().map(|(_, pair)| pair).collect();
    kept.sort_unstable();
    kept
}

/// Each node's class, named by its smallest member. `ids` ascend.
pub fn classes(
    ids: &[NodeId],
    tracks: &BTreeMap<TrackId, Vec<NodeId>>,
    inter: &[(NodeId, NodeId)],
) -> BTreeMap<NodeId, NodeId> {
    let number = |node: &NodeId| ids.binary_search(node).ok().map(|at| at as u32);
    let mut parents: Vec<u32> = (0..ids.len() as u32).collect();
    let intra = tracks.values().flat_map(|views| views.windows(2).map(|w| (w[0], w[1])));
    for (a, b) in intra.chain(inter.iter().copied()) {
        if let (Some(a), Some(b)) = (number(&a), number(&b)) {
            let (a, b) = (root(&mut parents, a), root(&mut parents, b));
            parents[a.max(b) as usize] = a.min(b);
        }
    }
    let mut class = |at: usize| ids[root(&mut parents, at as u32) as usize];
    ids.iter().enumerate().map(|(at, id)| (*id, class(at))).collect()
}

fn root(parents: &mut [u32], mut node: u32) -> u32 {
    while parents[node as usize] != node {
        let above = parents[parents[node as usize] as usize];
        parents[node as usize] = above;
        node = above;
    }
    node
}
