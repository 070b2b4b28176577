//! Degrees: how many inter-instance edges a node has. A hub has a great many.

use differential_dataflow::VecCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::collection::{Collection, Export, History, Labels};
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// Node to degree, of the nodes that have an edge.
#[derive(Clone, Copy, Debug)]
pub struct Degrees;

impl Collection for Degrees {
    type Record = (NodeId, u32);
    type Key = NodeId;
    type Value = u32;

    const NAME: &'static str = "degrees";
    const TABLE: Table = Table::Degrees;

    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Self::Record, Diff> {
        graph.closure.degrees.clone()
    }

    fn parts(record: &Self::Record) -> (&NodeId, &u32) {
        (&record.0, &record.1)
    }

    fn join(node: NodeId, degree: u32) -> Self::Record {
        (node, degree)
    }

    fn home(node: &NodeId) -> NodeId {
        *node
    }

    fn nodes(node: &NodeId, _: &u32, see: &mut dyn FnMut(NodeId)) {
        see(*node);
    }

    fn key_bytes(node: &NodeId) -> Vec<u8> {
        key::node(*node)
    }

    fn value_bytes(degree: &u32) -> Vec<u8> {
        degree.to_be_bytes().to_vec()
    }

    fn read_key(bytes: &[u8]) -> Option<NodeId> {
        key::node_at(bytes)
    }

    fn read_value(bytes: &[u8]) -> Option<u32> {
        key::u32_at(bytes, 0)
    }

    fn labels() -> Labels<Self> {
        Labels::Meant
    }

    fn history() -> History<Self> {
        History::Replaced
    }

    fn export() -> Export<Self> {
        Export::Table {
            file: "degrees.tsv",
            columns: &["node", "degree"],
            rows: |degrees, _, show| {
                let mut count = 0;
                for (node, degree) in degrees {
                    show(&[node, degree])?;
                    count += 1;
                }
                Ok(vec![("degrees", count)])
            },
        }
    }

    fn recompute(work: &mut Work<'_>) -> Vec<(NodeId, u32)> {
        let mut ends: Vec<NodeId> = work.inter.iter().flat_map(|(a, b)| [*a, *b]).collect();
        ends.sort_unstable();
        ends.chunk_by(|a, b| a == b).map(|of_node| (of_node[0], of_node.len() as u32)).collect()
    }

    fn difference(node: &NodeId, found: Option<&u32>, right: Option<&u32>) -> String {
        let edges = |degree: Option<&u32>| degree.copied().unwrap_or_default();
        format!("node {node}: has {} inter edges, expected {}", edges(found), edges(right))
    }
}
