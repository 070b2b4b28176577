//! Cells: the leaf of the codebook that stores each node.

use differential_dataflow::VecCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::CellId;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::collection::{Collection, Export, History, Labels};
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// Node to cell.
#[derive(Clone, Copy, Debug)]
pub struct Cells;

impl Collection for Cells {
    type Record = (NodeId, CellId);
    type Key = NodeId;
    type Value = CellId;

    const NAME: &'static str = "cells";
    const TABLE: Table = Table::Cells;

    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Self::Record, Diff> {
        graph.neighbours.cells.clone()
    }

    fn parts(record: &Self::Record) -> (&NodeId, &CellId) {
        (&record.0, &record.1)
    }

    fn join(node: NodeId, cell: CellId) -> Self::Record {
        (node, cell)
    }

    fn home(node: &NodeId) -> NodeId {
        *node
    }

    fn nodes(node: &NodeId, _: &CellId, see: &mut dyn FnMut(NodeId)) {
        see(*node);
    }

    fn key_bytes(node: &NodeId) -> Vec<u8> {
        key::node(*node)
    }

    fn value_bytes(cell: &CellId) -> Vec<u8> {
        cell.0.to_be_bytes().to_vec()
    }

    fn read_key(bytes: &[u8]) -> Option<NodeId> {
        key::node_at(bytes)
    }

    fn read_value(bytes: &[u8]) -> Option<CellId> {
        key::u32_at(bytes, 0).map(CellId)
    }

    fn labels() -> Labels<Self> {
        Labels::Meant
    }

    fn history() -> History<Self> {
        History::Replaced
    }

    fn export() -> Export<Self> {
        Export::Column { name: "cell", key: |node| node, text: |cell| cell.0.to_string() }
    }

    fn recompute(work: &mut Work<'_>) -> Vec<(NodeId, CellId)> {
        work.members.iter().map(|member| (member.id, member.cell)).collect()
    }

    fn difference(node: &NodeId, found: Option<&CellId>, right: Option<&CellId>) -> String {
        super::collection::label("cell", *node, found.map(|cell| cell.0), right.map(|cell| cell.0))
    }
}
