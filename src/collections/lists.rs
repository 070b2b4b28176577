//! Lists: the nearest eligible nodes of each node in each cell it looks into.

use differential_dataflow::VecCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::{CellId, List};
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::collection::{Collection, Export, History, Labels};
use crate::recompute::nearest;
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// Node and cell to list.
#[derive(Clone, Copy, Debug)]
pub struct Lists;

impl Collection for Lists {
    type Record = ((NodeId, CellId), List);
    type Key = (NodeId, CellId);
    type Value = List;

    const NAME: &'static str = "lists";
    const TABLE: Table = Table::Lists;
    const SPACE_IN_DIGEST: bool = true;

    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Self::Record, Diff> {
        graph.neighbours.lists.clone()
    }

    fn parts(record: &Self::Record) -> (&Self::Key, &List) {
        (&record.0, &record.1)
    }

    fn join(key: Self::Key, list: List) -> Self::Record {
        (key, list)
    }

    fn home((node, _): &Self::Key) -> NodeId {
        *node
    }

    fn nodes((node, _): &Self::Key, list: &List, see: &mut dyn FnMut(NodeId)) {
        see(*node);
        list.iter().for_each(|entry| see(entry.node));
    }

    fn key_bytes((node, cell): &Self::Key) -> Vec<u8> {
        [&node.0.to_be_bytes()[..], &cell.0.to_be_bytes()].concat()
    }

    fn value_bytes(list: &List) -> Vec<u8> {
        // A list is plain numbers; postcard fails only on types whose length is unknown.
        postcard::to_stdvec(list).expect("a list always has an encoding")
    }

    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let cell = CellId(key::u32_at(bytes, 8)?);
        (bytes.len() == 12).then_some((NodeId(key::u64_at(bytes, 0)?), cell))
    }

    fn read_value(bytes: &[u8]) -> Option<List> {
        postcard::from_bytes(bytes).ok()
    }

    fn labels() -> Labels<Self> {
        Labels::Meant
    }

    fn history() -> History<Self> {
        History::Replaced
    }

    /// The neighbours of each node: its lists, which follow each other, merged.
    fn export() -> Export<Self> {
        let columns = &["node", "rank", "neighbour", "score"];
        Export::Table {
            file: "neighbours.tsv",
            columns,
            rows: |lists, context, show| {
                let (mut lists, mut rows) = (lists.peekable(), 0);
                while let Some(((node, _), list)) = lists.next() {
                    let mut merged = list.clone();
                    while let Some((_, list)) = lists.next_if(|((next, _), _)| next == node) {
                        merged.extend(list);
                    }
                    merged.sort_unstable();
                    for (at, entry) in merged.iter().take(context.k).enumerate() {
                        show(&[node, &(at + 1), &entry.node, &entry.score.0])?;
                        rows += 1;
                    }
                }
                Ok(vec![("neighbours", rows)])
            },
        }
    }

    /// Vectors are not needed after.
    fn recompute(work: &mut Work<'_>) -> Vec<(Self::Key, List)> {
        let members = std::mem::take(&mut work.members);
        let take = |node, cell, list: List| (!list.is_empty()).then_some(((node, cell), list));
        let mut lists = nearest::lists(&members, work.codebook, work.rules, take, &|done, all| {
            (work.progress)(Self::NAME, done, all);
        });
        lists.sort_unstable_by_key(|(key, _)| *key);
        lists
    }

    fn leave(all: Vec<(Self::Key, List)>, work: &mut Work<'_>) {
        work.lists = all;
    }

    fn is_void(list: &List) -> bool {
        list.is_empty()
    }

    fn difference((node, cell): &Self::Key, found: Option<&List>, right: Option<&List>) -> String {
        let none = List::new();
        let (found, right) = (found.unwrap_or(&none), right.unwrap_or(&none));
        let at = (0..found.len().max(right.len())).find(|i| found.get(*i) != right.get(*i)).unwrap_or(0);
        let list = format!("node {node}: list in cell {}", cell.0);
        match (found.get(at), right.get(at)) {
            (Some(f), Some(r)) if f.node == r.node => {
                format!("{list} scores {} at rank {} {}, expected {}", f.node, at + 1, f.score.0, r.score.0)
            }
            (Some(f), Some(r)) => format!("{list} has {} at rank {}, expected {}", f.node, at + 1, r.node),
            (Some(f), None) => format!("{list} has {} at rank {}, expected its end", f.node, at + 1),
            (None, r) => {
                let r = r.map_or_else(String::new, |r| r.node.to_string());
                format!("{list} ends before rank {}, expected {r}", at + 1)
            }
        }
    }
}
