//! Mutual neighbours: who is in whose list, both ways.

use differential_dataflow::{ExchangeData, Hashable};
use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::index::node::Edge;
use crate::packed::blocks::Blocks;
use crate::packed::ids::{ids, push_ids};
use crate::time::Diff;

/// An entry of a list, as one of its two nodes sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The node that sees it.
    pub(super) at: NodeId,
    /// The node at its other end.
    pub(super) other: NodeId,
    /// Says whether `at` lists `other`; else `other` lists `at`.
    pub(super) own: bool,
}

impl Entry {
    /// The entry `neighbour` of `owner`'s list, as both see it.
    pub(super) fn seen_by_both(owner: NodeId, neighbour: NodeId) -> [Self; 2] {
        [Entry { at: owner, other: neighbour, own: true }, Entry { at: neighbour, other: owner, own: false }]
    }
}

/// The lists of some nodes, and which of their entries are returned.
///
/// Only a node's own list is kept: whether another node lists it is told by that node whenever it changes its mind, so
/// a node that is in very many lists costs no more than another.
#[derive(Default)]
pub(super) struct Lists {
    /// Each node's list, sorted by node: [`ids`].
    of: Blocks,
    /// The list that is worked on, and its bytes.
    list: Vec<NodeId>,
    bytes: Vec<u8>,
}

impl Lists {
    /// Applies one step's net changes of entries, sorted, and returns the mutual edges that come and go. An edge with
    /// both entries changed is told by its smaller end.
    pub(super) fn apply(&mut self, changes: &[(Entry, Diff)]) -> Vec<(Edge, Diff)> {
        let mut net = Vec::new();
        for of_node in changes.chunk_by(|(x, _), (y, _)| x.at == y.at) {
            let at = of_node[0].0.at;
            self.list.clear();
            self.list.extend(ids(self.of.get(at.0)));
            for seen in of_node.chunk_by(|(x, _), (y, _)| x.other == y.other) {
                let other = seen[0].0.other;
                let diff = |own| seen.iter().filter(|(entry, _)| entry.own == own).map(|c| c.1).sum();
                let (own, returned): (Diff, Diff) = (diff(true), diff(false));
                let listed_after = if own == 0 { self.list.binary_search(&other).is_ok() } else { own > 0 };
                let listed_before = if own == 0 { listed_after } else { own < 0 };
                if own != 0 {
                    match self.list.binary_search(&other) {
                        Err(place) if listed_after => self.list.insert(place, other),
                        Ok(place) if !listed_after => drop(self.list.remove(place)),
                        _ => {}
                    }
                }
                if returned != 0 && (own == 0 || at < other) {
                    let before = listed_before && returned < 0;
                    let after = listed_after && returned > 0;
                    if before != after {
                        net.push(((at.min(other), at.max(other)), Diff::from(after) - Diff::from(before)));
                    }
                }
            }
            if of_node.iter().any(|(entry, _)| entry.own) {
                self.bytes.clear();
                push_ids(&mut self.bytes, self.list.iter().copied());
                self.of.set(at.0, &self.bytes);
            }
        }
        net
    }
}

/// Where the records of a node are kept.
pub(super) fn place<D: ExchangeData>(
    node: impl Fn(&D) -> NodeId + 'static,
) -> impl Fn(&(D, crate::time::Epoch, Diff)) -> u64 + 'static {
    move |(record, ..)| node(record).hashed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One step of lists that gain and lose entries.
    fn step(lists: &mut Lists, entries: &[((u64, u64), Diff)]) -> Vec<((u64, u64), Diff)> {
        let both = |(a, b): (u64, u64)| Entry::seen_by_both(NodeId(a), NodeId(b));
        let mut changes: Vec<(Entry, Diff)> =
            entries.iter().flat_map(|(entry, diff)| both(*entry).map(|seen| (seen, *diff))).collect();
        changes.sort_unstable();
        lists.apply(&changes).into_iter().map(|((a, b), diff)| ((a.0, b.0), diff)).collect()
    }

    #[test]
    fn an_edge_is_mutual_while_both_entries_are_there() {
        let mut lists = Lists::default();
        assert_eq!(step(&mut lists, &[((2, 1), 1)]), []);
        assert_eq!(step(&mut lists, &[((1, 2), 1)]), [((1, 2), 1)]);
        assert_eq!(step(&mut lists, &[((2, 1), -1)]), [((1, 2), -1)]);
        assert_eq!(step(&mut lists, &[((2, 1), 1), ((1, 2), -1)]), []);
        assert_eq!(step(&mut lists, &[((1, 2), 1)]), [((1, 2), 1)]);
        assert_eq!(step(&mut lists, &[((1, 2), -1), ((2, 1), -1)]), [((1, 2), -1)]);
        assert_eq!(step(&mut lists, &[((1, 2), 1), ((2, 1), 1)]), [((1, 2), 1)]);
    }

    #[test]
    fn lists_that_are_gone_take_no_memory() {
        let mut lists = Lists::default();
        step(&mut lists, &[((1, 2), 1), ((2, 1), 1), ((3, 1), 1)]);
        step(&mut lists, &[((1, 2), -1), ((2, 1), -1), ((3, 1), -1)]);
        assert_eq!(lists.of.len(), 0);
    }
}
