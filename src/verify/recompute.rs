//! The graph from scratch, the plain way: every score computed, every clique searched, one node after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kinetograph_dataflows::graph::codebook::Codebook;
use kinetograph_dataflows::graph::node::{CellId, Cluster, List, Neighbour, Pair, PairKind};
use kinetograph_dataflows::graph::score::score;
use kinetograph_dataflows::id::{NodeId, TrackId};

use super::rules::Rules;

/// A node that takes part in the graph.
#[derive(Clone, Debug)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// Presentation time of its frame, nanoseconds.
    pub pts_ns: u64,
    /// d values; all members have the same d.
    pub vector: Arc<[f32]>,
    /// The cell that stores it.
    pub cell: CellId,
}

/// Members whose lists are made together.
const TOGETHER: usize = 16;

/// Lists by node and cell.
pub type Lists = BTreeMap<(NodeId, CellId), List>;

/// `f` of every item, in the order of the items, on all cores. `done` hears how many are finished.
pub fn on_all_cores<T: Sync, R: Send>(
    items: &[T],
    f: impl Fn(&T) -> R + Sync,
    done: &(dyn Fn(usize) + Sync),
) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<BTreeMap<usize, R>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let result = f(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).insert(at, result);
                    done(finished.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

/// Whether `a` and `b` may be neighbours.
pub fn eligible(a: &Member, b: &Member, separation_ns: u64) -> bool {
    a.id.track() != b.id.track()
        && (a.id.source() != b.id.source() || a.pts_ns.abs_diff(b.pts_ns) > separation_ns)
}

/// The `k` nearest eligible members in each cell that a member looks into.
pub fn lists(members: &[Member], codebook: &Codebook, rules: &Rules, done: &(dyn Fn(usize) + Sync)) -> Lists {
    let mut stored: BTreeMap<CellId, Vec<&Member>> = BTreeMap::new();
    for member in members {
        stored.entry(member.cell).or_default().push(member);
    }
    stored.retain(|_, rows| rows.len() >= rules.min_cell);
    // A row is met with some members at a time: it is then read from memory once for all of them.
    let of_some = |some: &&[Member]| -> Lists {
        let looks: Vec<_> = some.iter().map(|m| codebook.looks_into(&m.vector, rules.look_into)).collect();
        let mut lists = Lists::new();
        for cell in looks.iter().flatten() {
            let lookers: Vec<&Member> =
                some.iter().zip(&looks).filter(|(_, looks)| looks.contains(cell)).map(|(m, _)| m).collect();
            if lists.contains_key(&(lookers[0].id, *cell)) {
                continue;
            }
            let mut found = vec![List::new(); lookers.len()];
            for row in stored.get(cell).map(Vec::as_slice).unwrap_or_default() {
                for (member, list) in lookers.iter().zip(&mut found) {
                    if eligible(member, row, rules.separation_ns) {
                        list.push(Neighbour { score: score(&member.vector, &row.vector), node: row.id });
                    }
                }
            }
            for (member, mut list) in lookers.into_iter().zip(found) {
                list.sort_unstable();
                list.truncate(rules.k);
                lists.insert((member.id, *cell), list);
            }
        }
        lists
    };
    let some: Vec<&[Member]> = members.chunks(TOGETHER).collect();
    let done = |chunks: usize| done((chunks * TOGETHER).min(members.len()));
    on_all_cores(&some, of_some, &done).into_iter().flatten().collect()
}

/// Who is in whose neighbours both ways, the neighbours of a node being its lists merged to `k`.
pub fn mutual(lists: &Lists, k: usize) -> BTreeMap<NodeId, BTreeSet<NodeId>> {
    let mut merged: BTreeMap<NodeId, List> = BTreeMap::new();
    for ((node, _), list) in lists {
        merged.entry(*node).or_default().extend(list);
    }
    let mut nearest: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for (node, mut list) in merged {
        list.sort_unstable();
        nearest.insert(node, list.iter().take(k).map(|n| n.node).collect());
    }
    let both = |a: &NodeId, b: &NodeId| nearest.get(b).is_some_and(|of_b| of_b.contains(a));
    nearest.iter().map(|(a, of_a)| (*a, of_a.iter().filter(|b| both(a, b)).copied().collect())).collect()
}

/// The maximal cliques of at least `min_cluster` nodes.
pub fn clusters(mutual: &BTreeMap<NodeId, BTreeSet<NodeId>>, min_cluster: usize) -> BTreeSet<Cluster> {
    let mut found = BTreeSet::new();
    for (node, around) in mutual {
        // Each clique is found from its smallest member; smaller nodes around can only show that it is not maximal.
        let (smaller, larger) = around.iter().copied().partition(|n| n < node);
        grow(mutual, &mut vec![*node], larger, smaller, min_cluster.max(1), &mut found);
    }
    found
}

/// Adds each of `open` to `clique` in turn; `closed` are nodes that would fit too but were tried already.
fn grow(
    mutual: &BTreeMap<NodeId, BTreeSet<NodeId>>,
    clique: &mut Vec<NodeId>,
    mut open: BTreeSet<NodeId>,
    mut closed: BTreeSet<NodeId>,
    min_cluster: usize,
    found: &mut BTreeSet<Cluster>,
) {
    if open.is_empty() {
        if closed.is_empty() && clique.len() >= min_cluster {
            let mut cluster = clique.clone();
            cluster.sort_unstable();
            found.insert(cluster);
        }
        return;
    }
    // A maximal clique without the pivot has a node that the pivot does not know: only those need a turn.
    let known = |node: &NodeId| (&open & &mutual[node]).len();
    let Some(pivot) = open.iter().chain(&closed).copied().max_by_key(known) else { return };
    for node in &open.clone() - &mutual[&pivot] {
        if clique.len() + open.len() < min_cluster {
            break;
        }
        let around = &mutual[&node];
        clique.push(node);
        grow(mutual, clique, &open & around, &closed & around, min_cluster, found);
        clique.pop();
        open.remove(&node);
        closed.insert(node);
    }
}

/// The pairs of nodes that share a cluster, the smaller first.
pub fn inter(clusters: &BTreeSet<Cluster>) -> BTreeSet<(NodeId, NodeId)> {
    let mut edges = BTreeSet::new();
    for cluster in clusters {
        for (at, a) in cluster.iter().enumerate() {
            edges.extend(cluster[at + 1..].iter().map(|b| (*a.min(b), *a.max(b))));
        }
    }
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

/// Every transitive pair with every reason for it.
pub fn pairs(inter: &BTreeSet<(NodeId, NodeId)>, tracks: &BTreeMap<TrackId, Vec<NodeId>>) -> BTreeSet<Pair> {
    let views = |node: NodeId| tracks.get(&node.track()).map(Vec::as_slice).unwrap_or_default();
    let mut pairs = BTreeSet::new();
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
                pairs.insert(Pair { a, b, kind, via_a, via_b });
            }
        }
    }
    pairs
}

/// Each node's class, named by its smallest member.
pub fn classes(
    tracks: &BTreeMap<TrackId, Vec<NodeId>>,
    inter: &BTreeSet<(NodeId, NodeId)>,
) -> BTreeMap<NodeId, NodeId> {
    let mut parent: BTreeMap<NodeId, NodeId> = tracks.values().flatten().map(|n| (*n, *n)).collect();
    let intra = tracks.values().flat_map(|views| views.windows(2).map(|w| (w[0], w[1])));
    for (a, b) in intra.chain(inter.iter().copied()) {
        if parent.contains_key(&a) && parent.contains_key(&b) {
            let (a, b) = (root(&mut parent, a), root(&mut parent, b));
            parent.insert(a.max(b), a.min(b));
        }
    }
    let nodes: Vec<NodeId> = parent.keys().copied().collect();
    nodes.into_iter().map(|node| (node, root(&mut parent, node))).collect()
}

fn root(parent: &mut BTreeMap<NodeId, NodeId>, mut node: NodeId) -> NodeId {
    while parent[&node] != node {
        let above = parent[&parent[&node]];
        parent.insert(node, above);
        node = above;
    }
    node
}
