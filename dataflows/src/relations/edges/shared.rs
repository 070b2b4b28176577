//! The number of clusters that two nodes share.

use crate::id::NodeId;
use crate::index::node::Edge;
use crate::packed::blocks::Blocks;
use crate::packed::ids::{pull, push};
use crate::time::Diff;

/// Says how many clusters there are to each edge, at its smaller node. The nodes that a node shares a cluster with are in
/// its list, so they are few.
#[derive(Default)]
pub(super) struct Shared {
    /// By the smaller node: the larger ones, sorted, each as the difference of its id and how many.
    of: Blocks,
    bytes: Vec<u8>,
}

impl Shared {
    /// Applies one step's net changes of the number of clusters, sorted, and returns the edges that come and go.
    pub(super) fn apply(&mut self, changes: &[(Edge, Diff)]) -> Vec<(Edge, Diff)> {
        let mut net = Vec::new();
        for of_node in changes.chunk_by(|(x, _), (y, _)| x.0 == y.0) {
            let a = of_node[0].0.0;
            let mut before = counts(self.of.get(a.0)).peekable();
            let mut last = 0;
            self.bytes.clear();
            let mut keep = |b: NodeId, count: Diff| {
                if count != 0 {
                    push(&mut self.bytes, b.0 - last);
                    push(&mut self.bytes, count as u64);
                    last = b.0;
                }
            };
            for ((_, b), diff) in of_node {
                while let Some((other, count)) = before.next_if(|(other, _)| other < b) {
                    keep(other, count);
                }
                let had = before.next_if(|(other, _)| other == b).map_or(0, |(_, count)| count);
                keep(*b, had + diff);
                let (was, is) = (Diff::from(had > 0), Diff::from(had + diff > 0));
                net.extend((was != is).then_some(((a, *b), is - was)));
            }
            before.for_each(|(other, count)| keep(other, count));
            self.of.set(a.0, &self.bytes);
        }
        net
    }
}

fn counts(mut bytes: &[u8]) -> impl Iterator<Item = (NodeId, Diff)> + '_ {
    let mut last = 0;
    std::iter::from_fn(move || {
        last += pull(&mut bytes)?;
        Some((NodeId(last), pull(&mut bytes)? as Diff))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_there_while_a_cluster_is() {
        let mut shared = Shared::default();
        let mut step = |changes: &[(u64, u64, Diff)]| -> Vec<(u64, u64, Diff)> {
            let changes: Vec<_> = changes.iter().map(|(a, b, d)| ((NodeId(*a), NodeId(*b)), *d)).collect();
            shared.apply(&changes).into_iter().map(|((a, b), diff)| (a.0, b.0, diff)).collect()
        };
        assert_eq!(step(&[(1, 5, 2), (1, 900, 1), (2, 5, 1)]), [(1, 5, 1), (1, 900, 1), (2, 5, 1)]);
        assert_eq!(step(&[(1, 3, 300), (1, 5, -1), (1, 900, -1)]), [(1, 3, 1), (1, 900, -1)]);
        // Of changes that come out of turn, too, nothing is lost.
        assert_eq!(step(&[(1, 5, -2), (1, 7, 1), (2, 5, -1)]), [(1, 5, -1), (1, 7, 1), (2, 5, -1)]);
        assert_eq!(step(&[(1, 3, -300), (1, 5, 1), (1, 7, -1)]), [(1, 3, -1), (1, 7, -1)]);
        assert_eq!(shared.of.len(), 0);
    }
}
