//! Inter-instance edges: two nodes that share a child cluster.

use differential_dataflow::VecCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::collection::{Collection, Export, History, Labels, member};
use crate::recompute::relations;
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// Two nodes, the smaller first.
#[derive(Clone, Copy, Debug)]
pub struct Inter;

type Edge = (NodeId, NodeId);

impl Collection for Inter {
    type Record = Edge;
    type Key = Edge;
    type Value = ();

    const NAME: &'static str = "inter";
    const TABLE: Table = Table::Edges;

    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Edge, Diff> {
        graph.closure.inter.clone()
    }

    fn parts(edge: &Edge) -> (&Edge, &()) {
        (edge, &())
    }

    fn join(edge: Edge, (): ()) -> Edge {
        edge
    }

    fn home((a, _): &Edge) -> NodeId {
        *a
    }

    fn nodes((a, b): &Edge, (): &(), see: &mut dyn FnMut(NodeId)) {
        see(*a);
        see(*b);
    }

    fn key_bytes((a, b): &Edge) -> Vec<u8> {
        key::nodes(&[*a, *b])
    }

    fn value_bytes((): &()) -> Vec<u8> {
        Vec::new()
    }

    fn read_key(bytes: &[u8]) -> Option<Edge> {
        (bytes.len() == 16).then_some((NodeId(key::u64_at(bytes, 0)?), NodeId(key::u64_at(bytes, 8)?)))
    }

    fn read_value(_: &[u8]) -> Option<()> {
        Some(())
    }

    fn labels() -> Labels<Self> {
        Labels::Meant
    }

    fn history() -> History<Self> {
        History::Replaced
    }

    /// With the intra-instance edges, which follow from the nodes, in one table.
    fn export() -> Export<Self> {
        Export::Table {
            file: "edges.tsv",
            columns: &["a", "b", "kind"],
            rows: |edges, context, show| {
                let (mut inter, mut intra) = (0, 0);
                for ((a, b), ()) in edges {
                    show(&[a, b, &"inter"])?;
                    inter += 1;
                }
                for views in context.nodes.chunk_by(|a, b| a.track() == b.track()) {
                    for (at, a) in views.iter().enumerate() {
                        for b in &views[at + 1..] {
                            show(&[a, b, &"intra"])?;
                            intra += 1;
                        }
                    }
                }
                Ok(vec![("inter", inter), ("intra", intra)])
            },
        }
    }

    /// Clusters are not needed after.
    fn recompute(work: &mut Work<'_>) -> Vec<(Edge, ())> {
        let clusters = std::mem::take(&mut work.clusters);
        relations::inter(&clusters).into_iter().map(|edge| (edge, ())).collect()
    }

    fn leave(all: Vec<(Edge, ())>, work: &mut Work<'_>) {
        work.inter = all.into_iter().map(|(edge, ())| edge).collect();
    }

    fn difference((a, b): &Edge, found: Option<&()>, _: Option<&()>) -> String {
        member(&format!("edge {a} - {b}"), found.is_some())
    }
}
