//! The mutual neighbours of each node, and who has to hear that they changed.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::index::node::Edge;
use crate::packed::blocks::Blocks;
use crate::packed::ids::{ids, push_ids};
use crate::time::Diff;

/// Says what a node hears of a changed one, itself or a mutual neighbour: the neighbours that it gained (difference 1) or
/// lost (-1). One that has just become a neighbour tells all that it has; one that is no neighbour any more, nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct News {
    /// Who hears it.
    pub(super) to: NodeId,
    /// Whom it is about.
    pub(super) about: NodeId,
    /// Sorted.
    pub(super) neighbours: Vec<NodeId>,
}

/// The mutual neighbours of some nodes.
#[derive(Default)]
pub(super) struct Adjacency {
    /// Each node's, sorted: [`ids`].
    of: Blocks,
    bytes: Vec<u8>,
}

impl Adjacency {
    /// Applies one step's net changes of edges, each given both ways round, sorted, and returns the news of it.
    pub(super) fn apply(&mut self, changes: &[(Edge, Diff)]) -> Vec<(News, Diff)> {
        let mut news = Vec::new();
        for around in changes.chunk_by(|(x, _), (y, _)| x.0 == y.0) {
            let about = around[0].0.0;
            let ends = |comes: bool| around.iter().filter(move |c| (c.1 > 0) == comes).map(|c| c.0.1);
            let (gained, lost): (Vec<NodeId>, Vec<NodeId>) = (ends(true).collect(), ends(false).collect());
            let stay = ids(self.of.get(about.0)).filter(|node| lost.binary_search(node).is_err());
            let stay: Vec<NodeId> = stay.collect();
            let mut after: Vec<NodeId> = stay.iter().chain(&gained).copied().collect();
            after.sort_unstable();
            for to in stay.into_iter().chain([about]) {
                let tell = |neighbours: &[NodeId]| News { to, about, neighbours: neighbours.to_vec() };
                news.extend((!gained.is_empty()).then(|| (tell(&gained), 1)));
                news.extend((!lost.is_empty()).then(|| (tell(&lost), -1)));
            }
            news.extend(gained.iter().map(|to| (News { to: *to, about, neighbours: after.clone() }, 1)));
            self.bytes.clear();
            push_ids(&mut self.bytes, after);
            self.of.set(about.0, &self.bytes);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(adjacency: &mut Adjacency, edges: &[((u64, u64), Diff)]) -> Vec<(u64, u64, Vec<u64>, Diff)> {
        let mut changes: Vec<(Edge, Diff)> = edges
            .iter()
            .flat_map(|((a, b), diff)| {
                [(NodeId(*a), NodeId(*b)), (NodeId(*b), NodeId(*a))].map(|e| (e, *diff))
            })
            .collect();
        changes.sort_unstable();
        let plain = |(news, diff): (News, Diff)| {
            (news.to.0, news.about.0, news.neighbours.iter().map(|n| n.0).collect(), diff)
        };
        let mut told: Vec<_> = adjacency.apply(&changes).into_iter().map(plain).collect();
        told.sort_unstable();
        told
    }

    #[test]
    fn a_new_neighbour_hears_all_and_an_old_one_the_difference() {
        let mut adjacency = Adjacency::default();
        step(&mut adjacency, &[((1, 2), 1)]);
        let told = step(&mut adjacency, &[((1, 3), 1)]);
        assert_eq!(
            told,
            [
                (1, 1, vec![3], 1),
                (1, 3, vec![1], 1),
                (2, 1, vec![3], 1),
                (3, 1, vec![2, 3], 1),
                (3, 3, vec![1], 1)
            ]
        );
        let told = step(&mut adjacency, &[((1, 2), -1)]);
        assert_eq!(told, [(1, 1, vec![2], -1), (2, 2, vec![1], -1), (3, 1, vec![2], -1)]);
        step(&mut adjacency, &[((1, 3), -1)]);
        assert_eq!(adjacency.of.len(), 0);
    }
}
