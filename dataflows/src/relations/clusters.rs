//! Child clusters: the maximal sets of nodes, each in every other's neighbours.
//!
//! Two nodes are mutual when each is in the other's list; a cluster is a maximal clique of that graph. A list holds
//! at most k nodes, so the cliques through a node are found among its own mutual neighbours (Bron and Kerbosch 1973),
//! and a change of lists can only make or break cliques through an end of a changed mutual edge.

mod adjacency;
mod cliques;
mod egos;
mod mutual;

use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::VecCollection;
use differential_dataflow::consolidation::consolidate;
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::{Exchange, Pipeline};

use self::adjacency::{Adjacency, News};
use self::egos::Egos;
use self::mutual::{Entry, Lists, place};
use crate::by_epoch::by_epoch;
use crate::id::NodeId;
use crate::index::node::Edge;
use crate::index::node::{Cluster, List};
use crate::time::{Diff, Epoch};

/// Says what makes a set of mutual neighbours a cluster, and how much of what follows is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The fewest nodes of a cluster; below 2 counts as 2. The paper's clusters have more than 4 (section 3.2).
    pub min_cluster: usize,
    /// The most transitive pairs a node keeps, reasons counted apart; 0 for all of them. Of more, those of least
    /// [`rank`](super::pairs::rank) are kept, and a pair is kept if both its nodes keep it.
    pub max_pairs_per_node: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { min_cluster: 5, max_pairs_per_node: 0 }
    }
}

/// The clusters of `neighbours`, which holds one list a node. Only who is in a list matters, not the scores.
///
/// A node's list, its mutual neighbours and the edges among those are kept by one worker. What crosses is each changed
/// entry to its two nodes, and each change of a node's mutual neighbours to those neighbours: a change costs in the
/// order of k squared, whatever the size of the graph.
pub fn clusters<'s>(
    neighbours: VecCollection<'s, Epoch, (NodeId, List), Diff>,
    settings: &Settings,
) -> VecCollection<'s, Epoch, Cluster, Diff> {
    let both_ways = mutual(neighbours).flat_map(|(a, b)| [(a, b), (b, a)]);
    let mut adjacency = Adjacency::default();
    let at = Exchange::new(place(|edge: &Edge| edge.0));
    let news = by_epoch(both_ways, at, "Adjacency", move |changes| adjacency.apply(&changes));

    let mut egos = Egos::new(settings.min_cluster);
    let to = Exchange::new(place(|news: &News| news.to));
    by_epoch(news, to, "Clusters", move |news| egos.apply(&news))
}

/// The mutual edges of `neighbours`, the smaller node first.
///
/// An entry that changes goes to both its nodes. Each keeps its own list only, so that a node which is in very many
/// lists costs no more than another.
pub fn mutual<'s>(
    neighbours: VecCollection<'s, Epoch, (NodeId, List), Diff>,
) -> VecCollection<'s, Epoch, Edge, Diff> {
    let lists = neighbours.map(|(node, list)| (node, list.iter().map(|n| n.node).collect::<Vec<_>>()));
    // Most of a list stays when one entry changes: what cancels does not travel.
    let entries = by_epoch(lists, Pipeline, "ListEntries", |lists| {
        let entries = lists.into_iter().flat_map(|((node, list), diff)| {
            let others = list.into_iter().filter(move |other| *other != node);
            others.map(move |other| ((node, other), diff))
        });
        let mut entries: Vec<(Edge, Diff)> = entries.collect();
        consolidate(&mut entries);
        entries
    });
    let entries = entries.flat_map(|(owner, neighbour)| Entry::seen_by_both(owner, neighbour));
    let mut lists = Lists::default();
    let at = Exchange::new(place(|entry: &Entry| entry.at));
    by_epoch(entries, at, "MutualNeighbours", move |changes| lists.apply(&changes))
}

/// The clusters of `lists`, from scratch: Bron and Kerbosch's first algorithm over the whole mutual graph.
pub fn recompute(lists: &BTreeMap<NodeId, List>, settings: &Settings) -> BTreeSet<Cluster> {
    let lists_b = |a: &NodeId, b: &NodeId| lists.get(a).is_some_and(|l| l.iter().any(|n| n.node == *b));
    let mut graph: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    for (a, list) in lists {
        let mutual = list.iter().map(|n| n.node).filter(|b| b != a && lists_b(b, a)).collect();
        graph.insert(*a, mutual);
    }
    let mut found = BTreeSet::new();
    let all = graph.keys().copied().collect();
    enumerate(&graph, &mut Vec::new(), all, BTreeSet::new(), &mut found);
    found.retain(|cluster| cluster.len() >= settings.min_cluster.max(2));
    found
}

fn enumerate(
    graph: &BTreeMap<NodeId, BTreeSet<NodeId>>,
    clique: &mut Vec<NodeId>,
    mut candidates: BTreeSet<NodeId>,
    mut excluded: BTreeSet<NodeId>,
    found: &mut BTreeSet<Cluster>,
) {
    if candidates.is_empty() && excluded.is_empty() {
        let mut cluster = clique.clone();
        cluster.sort_unstable();
        found.insert(cluster);
    }
    while let Some(node) = candidates.pop_first() {
        let beside = &graph[&node];
        clique.push(node);
        enumerate(graph, clique, &candidates & beside, &excluded & beside, found);
        clique.pop();
        excluded.insert(node);
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::index::kernels::score::Score;
    use crate::index::node::Neighbour;

    /// Every subset of at most 9 nodes, by the definition.
    fn by_definition(edges: &BTreeSet<(u64, u64)>, nodes: u64, min: usize) -> BTreeSet<Cluster> {
        let members = |set: u32| (0..nodes).filter(move |n| set >> n & 1 == 1);
        let clique = |set: u32| {
            members(set).all(|a| members(set).all(|b| a == b || edges.contains(&(a.min(b), a.max(b)))))
        };
        (1u32..1 << nodes)
            .filter(|set| set.count_ones() as usize >= min && clique(*set))
            .filter(|set| (0..nodes).all(|n| set >> n & 1 == 1 || !clique(set | 1 << n)))
            .map(|set| members(set).map(NodeId).collect())
            .collect()
    }

    #[test]
    fn the_recompute_finds_exactly_the_maximal_cliques() {
        let mut rng = Pcg64::seed_from_u64(7);
        for round in 0..60 {
            let nodes = rng.random_range(1..=9u64);
            let density = f64::from(round % 10) / 10.0 + 0.05;
            let mut edges = BTreeSet::new();
            let mut lists: BTreeMap<NodeId, List> = BTreeMap::new();
            for a in 0..nodes {
                for b in (0..nodes).filter(|b| *b != a) {
                    if rng.random_bool(density.sqrt().min(1.0)) {
                        lists
                            .entry(NodeId(a))
                            .or_default()
                            .push(Neighbour { score: Score(0.0), node: NodeId(b) });
                        if a > b && lists[&NodeId(b)].iter().any(|n| n.node == NodeId(a)) {
                            edges.insert((b, a));
                        }
                    } else {
                        lists.entry(NodeId(a)).or_default();
                    }
                }
            }
            for min in 2..5 {
                let settings = Settings { min_cluster: min, ..Settings::default() };
                assert_eq!(recompute(&lists, &settings), by_definition(&edges, nodes, min));
            }
        }
    }
}
