//! The census tells what stands out: the node that joins the most clusters, the one with the most pairs, and how much of the graph is in
//! one class. A limit for pairs is [`max_pairs_per_node`](super::clusters::Settings::max_pairs_per_node).

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::index::node::{ClassId, Cluster, Pair};

/// The largest of each kind. Of equally large ones, that of the smallest id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Census {
    /// The node that is in the most clusters, and in how many.
    pub hub: Option<(NodeId, usize)>,
    /// The node with the most pairs, reasons counted apart, and how many.
    pub most_pairs: Option<(NodeId, usize)>,
    /// The largest class, and how many nodes it has.
    pub largest_class: Option<(ClassId, usize)>,
    /// The largest class's share of all nodes, 0 without nodes.
    pub largest_class_share: f64,
}

/// Counts what a graph holds.
pub fn census<'g>(
    clusters: impl IntoIterator<Item = &'g Cluster>,
    pairs: impl IntoIterator<Item = &'g Pair>,
    classes: impl IntoIterator<Item = (NodeId, ClassId)>,
) -> Census {
    let (largest_class, nodes) = most(classes.into_iter().map(|(_, class)| class));
    Census {
        hub: most(clusters.into_iter().flatten().copied()).0,
        most_pairs: most(pairs.into_iter().flat_map(|pair| [pair.a, pair.b])).0,
        largest_class,
        largest_class_share: largest_class.map_or(0.0, |(_, size)| size as f64 / nodes as f64),
    }
}

/// Returns what comes most often, with how often, and how many there are in all.
fn most<T: Copy + Eq + Hash + Ord>(all: impl Iterator<Item = T>) -> (Option<(T, usize)>, usize) {
    let mut counts: HashMap<T, usize> = HashMap::new();
    all.for_each(|one| *counts.entry(one).or_default() += 1);
    let total = counts.values().sum();
    (counts.into_iter().max_by_key(|(one, count)| (*count, std::cmp::Reverse(*one))), total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::node::PairKind;

    #[test]
    fn a_hub_and_a_giant_class_stand_out() {
        let nodes = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Cluster>();
        let clusters = [nodes(&[1, 2, 3]), nodes(&[3, 4, 5]), nodes(&[3, 6, 7])];
        let pair = |a, b| Pair {
            a: NodeId(a),
            b: NodeId(b),
            kind: PairKind::BothMoved,
            via_a: NodeId(1),
            via_b: NodeId(9),
        };
        let classes = (1..=8).map(|n| (NodeId(n), ClassId(if n < 7 { 4 } else { n })));
        let found = census(&clusters, &[pair(1, 5), pair(2, 5), pair(2, 6)], classes);
        let expected = Census {
            hub: Some((NodeId(3), 3)),
            most_pairs: Some((NodeId(2), 2)),
            largest_class: Some((ClassId(4), 6)),
            largest_class_share: 0.75,
        };
        assert_eq!(found, expected);
        assert_eq!(census(&[], &[], []), Census::default());
    }
}
