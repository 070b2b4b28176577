//! Classes: the connected components over both kinds of edge.

use differential_dataflow::VecCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::ClassId;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::collection::{Collection, Export, History, Labels};
use crate::recompute::relations;
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// Node to class.
#[derive(Clone, Copy, Debug)]
pub struct Classes;

impl Collection for Classes {
    type Record = (NodeId, ClassId);
    type Key = NodeId;
    type Value = ClassId;

    const NAME: &'static str = "classes";
    const TABLE: Table = Table::Classes;

    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Self::Record, Diff> {
        graph.closure.classes.clone()
    }

    fn parts(record: &Self::Record) -> (&NodeId, &ClassId) {
        (&record.0, &record.1)
    }

    fn join(node: NodeId, class: ClassId) -> Self::Record {
        (node, class)
    }

    fn home(node: &NodeId) -> NodeId {
        *node
    }

    /// A label is a number and names nobody.
    fn nodes(node: &NodeId, _: &ClassId, see: &mut dyn FnMut(NodeId)) {
        see(*node);
    }

    fn key_bytes(node: &NodeId) -> Vec<u8> {
        key::node(*node)
    }

    fn value_bytes(class: &ClassId) -> Vec<u8> {
        class.0.to_be_bytes().to_vec()
    }

    fn read_key(bytes: &[u8]) -> Option<NodeId> {
        key::node_at(bytes)
    }

    fn read_value(bytes: &[u8]) -> Option<ClassId> {
        key::u64_at(bytes, 0).map(ClassId)
    }

    fn labels() -> Labels<Self> {
        Labels::Opaque { named: |node| ClassId(node.0) }
    }

    fn history() -> History<Self> {
        History::Delta { of: |delta| &delta.classes, of_mut: |delta| &mut delta.classes }
    }

    fn export() -> Export<Self> {
        Export::Column { name: "class", key: |node| node, text: |class| class.0.to_string() }
    }

    fn recompute(work: &mut Work<'_>) -> Vec<(NodeId, ClassId)> {
        let nodes: Vec<NodeId> = work.tracks.values().flatten().copied().collect();
        let classes = relations::classes(&nodes, &work.tracks, &work.inter);
        classes.into_iter().map(|(node, smallest)| (node, ClassId(smallest.0))).collect()
    }

    fn difference(node: &NodeId, found: Option<&ClassId>, right: Option<&ClassId>) -> String {
        match (found, right) {
            (Some(found), Some(right)) => {
                format!(
                    "node {node}: in the class that begins with {}, expected that of {}",
                    found.0, right.0
                )
            }
            (None, _) => format!("node {node}: has no class"),
            (_, None) => format!("node {node}: has a class and is not in the table of nodes"),
        }
    }
}
