//! The mutual-neighbour graph, kept up to date, and the cliques that a batch of changes makes and breaks.

use std::collections::{BTreeSet, HashMap};

use differential_dataflow::consolidation::consolidate;

use super::cliques::Ego;
use crate::graph::Diff;
use crate::graph::node::Cluster;
use crate::id::NodeId;

/// Who is in whose list.
pub(super) struct MutualGraph {
    min_cluster: usize,
    /// Each node's list: the nodes in it with how often, sorted by node.
    lists: HashMap<NodeId, Vec<(NodeId, Diff)>>,
}

impl MutualGraph {
    /// No lists; clusters will have at least `min_cluster` nodes, and at least 2.
    pub(super) fn new(min_cluster: usize) -> Self {
        MutualGraph { min_cluster: min_cluster.max(2), lists: HashMap::new() }
    }

    /// Applies `changes`, net entries (owner, neighbour) of lists, and returns the net changes of the clusters whose
    /// smallest touched member is `mine`. Touched are the ends of changed mutual edges: a clique that comes, goes,
    /// or stops or starts being maximal has one.
    pub(super) fn apply(
        &mut self,
        changes: &[((NodeId, NodeId), Diff)],
        mine: impl Fn(&NodeId) -> bool,
    ) -> Vec<(Cluster, Diff)> {
        let changes: Vec<_> = changes.iter().filter(|((a, b), _)| a != b).collect();
        // The reverse entry is there before or after: it is now, or one of the changes brings it.
        let comes: BTreeSet<(NodeId, NodeId)> =
            changes.iter().filter(|(_, diff)| *diff > 0).map(|(entry, _)| *entry).collect();
        let touched: BTreeSet<NodeId> = changes
            .iter()
            .filter(|((a, b), _)| comes.contains(&(*b, *a)) || self.lists_entry(*b, *a))
            .flat_map(|((a, b), _)| [*a, *b])
            .collect();

        let mut net = Vec::new();
        for node in touched.iter().filter(|node| mine(node)) {
            self.through(*node, &touched, |cluster| net.push((cluster, -1)));
        }
        for ((a, b), diff) in changes {
            self.count(*a, *b, *diff);
        }
        for node in touched.iter().filter(|node| mine(node)) {
            self.through(*node, &touched, |cluster| net.push((cluster, 1)));
        }
        consolidate(&mut net);
        net
    }

    /// The clusters through `node` without a smaller touched member.
    fn through(&self, node: NodeId, touched: &BTreeSet<NodeId>, mut emit: impl FnMut(Cluster)) {
        let own = self.lists.get(&node).map_or(&[][..], Vec::as_slice);
        let mut members: Vec<(NodeId, &[(NodeId, Diff)])> = Vec::with_capacity(own.len());
        for (other, count) in own {
            if *count > 0
                && let Some(list) = self.lists.get(other)
                && holds(list, node)
            {
                members.push((*other, list));
            }
        }
        if members.len() + 1 < self.min_cluster {
            return;
        }
        let ego = Ego::new(members.len(), |a, b| {
            holds(members[a].1, members[b].0) && holds(members[b].1, members[a].0)
        });
        let smaller: Vec<usize> =
            (0..members.len()).filter(|i| members[*i].0 < node && touched.contains(&members[*i].0)).collect();
        ego.cliques(&smaller, self.min_cluster - 1, |clique| {
            let mut cluster: Cluster = clique.iter().map(|i| members[*i].0).chain([node]).collect();
            cluster.sort_unstable();
            emit(cluster);
        });
    }

    fn lists_entry(&self, owner: NodeId, neighbour: NodeId) -> bool {
        self.lists.get(&owner).is_some_and(|list| holds(list, neighbour))
    }

    fn count(&mut self, owner: NodeId, neighbour: NodeId, diff: Diff) {
        let list = self.lists.entry(owner).or_default();
        match list.binary_search_by_key(&neighbour, |(node, _)| *node) {
            Ok(at) => {
                list[at].1 += diff;
                if list[at].1 == 0 {
                    list.remove(at);
                }
            }
            Err(at) => list.insert(at, (neighbour, diff)),
        }
        if list.is_empty() {
            self.lists.remove(&owner);
        }
    }
}

fn holds(list: &[(NodeId, Diff)], node: NodeId) -> bool {
    list.binary_search_by_key(&node, |(node, _)| *node).is_ok_and(|at| list[at].1 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries of lists in which all of `nodes` have each other.
    fn all_of(nodes: &[u64], diff: Diff) -> Vec<((NodeId, NodeId), Diff)> {
        let pairs = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (NodeId(*a), NodeId(*b))));
        pairs.filter(|(a, b)| a != b).map(|entry| (entry, diff)).collect()
    }

    fn cluster(nodes: &[u64]) -> Cluster {
        nodes.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_cluster_that_grows_takes_the_place_of_the_smaller_one() {
        let mut graph = MutualGraph::new(3);
        assert_eq!(graph.apply(&all_of(&[2, 3, 4], 1), |_| true), [(cluster(&[2, 3, 4]), 1)]);
        let mut joins = all_of(&[1, 2, 3, 4], 1);
        joins.retain(|((a, b), _)| *a == NodeId(1) || *b == NodeId(1));
        let grown = [(cluster(&[1, 2, 3, 4]), 1), (cluster(&[2, 3, 4]), -1)];
        assert_eq!(graph.apply(&joins, |_| true), grown);
    }

    #[test]
    fn one_sided_interest_makes_no_cluster() {
        let mut graph = MutualGraph::new(3);
        let mut entries = all_of(&[1, 2, 3], 1);
        entries.retain(|(entry, _)| *entry != (NodeId(3), NodeId(1)));
        assert_eq!(graph.apply(&entries, |_| true), []);
        assert_eq!(graph.apply(&[((NodeId(3), NodeId(1)), 1)], |_| true), [(cluster(&[1, 2, 3]), 1)]);
        assert_eq!(graph.apply(&[((NodeId(2), NodeId(1)), -1)], |_| true), [(cluster(&[1, 2, 3]), -1)]);
    }

    #[test]
    fn lists_that_are_gone_take_no_memory() {
        let mut graph = MutualGraph::new(3);
        graph.apply(&all_of(&[1, 2, 3], 1), |_| true);
        graph.apply(&all_of(&[1, 2, 3], -1), |_| true);
        assert!(graph.lists.is_empty());
    }
}
