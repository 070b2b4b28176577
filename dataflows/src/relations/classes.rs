//! Classes: the connected components over both kinds of edge, which is the full transitive closure.

mod connectivity;
mod detour;
mod forest;
mod incidence;
mod sketch;
#[cfg(test)]
mod tests;
mod tours;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use differential_dataflow::VecCollection;
use timely::dataflow::channels::pact::Exchange;

pub use self::connectivity::{Connectivity, Element};
use crate::by_epoch::by_epoch;
use crate::id::NodeId;
use crate::index::node::ClassId;
use crate::index::node::Edge;
use crate::time::{Diff, Epoch};

/// The class of each of `nodes` under `edges`, in which an edge may come several times (as one of each kind, say). A
/// node without edges is a class of its own. At each epoch only the nodes whose label changed are emitted.
///
/// `hints` are labels known from before a restart. Components of the first epoch take up the label of their smallest
/// node that has one (when two would take the same, the one with the smaller such node does), and later labels are
/// greater than all hints.
///
/// All edges meet on worker 0: one worker keeps up with far more edge changes than the others produce.
pub fn classes<'s>(
    nodes: VecCollection<'s, Epoch, NodeId, Diff>,
    edges: VecCollection<'s, Epoch, Edge, Diff>,
    hints: Arc<HashMap<NodeId, ClassId>>,
) -> VecCollection<'s, Epoch, (NodeId, ClassId), Diff> {
    let elements = nodes.map(Element::Node).concat(edges.map(|(a, b)| Element::Edge(a, b)));
    let mut connectivity = Connectivity::with_hints(hints);
    let to_worker_0 = Exchange::new(|_: &(Element, Epoch, Diff)| 0);
    by_epoch(elements, to_worker_0, "Classes", move |changes| connectivity.apply(&changes))
}

/// The classes of `nodes` under `edges`, from scratch (union-find).
pub fn recompute(nodes: &BTreeSet<NodeId>, edges: &BTreeSet<Edge>) -> BTreeMap<NodeId, ClassId> {
    let mut parents: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    for (a, b) in edges {
        let (a, b) = (root(&mut parents, *a), root(&mut parents, *b));
        if a != b {
            parents.insert(a.max(b), a.min(b));
        }
    }
    nodes.iter().map(|node| (*node, ClassId(root(&mut parents, *node).0))).collect()
}

/// Returns whether two labellings have the same nodes and the same classes, whatever the labels.
pub fn same_partition(a: &BTreeMap<NodeId, ClassId>, b: &BTreeMap<NodeId, ClassId>) -> bool {
    let mut to_b: HashMap<ClassId, ClassId> = HashMap::new();
    let mut to_a: HashMap<ClassId, ClassId> = HashMap::new();
    a.len() == b.len()
        && a.iter().zip(b).all(|((node_a, in_a), (node_b, in_b))| {
            node_a == node_b
                && to_b.entry(*in_a).or_insert(*in_b) == in_b
                && to_a.entry(*in_b).or_insert(*in_a) == in_a
        })
}

fn root(parents: &mut BTreeMap<NodeId, NodeId>, node: NodeId) -> NodeId {
    let mut top = node;
    while let Some(parent) = parents.get(&top) {
        top = *parent;
    }
    let mut at = node;
    while at != top
        && let Some(parent) = parents.insert(at, top)
    {
        at = parent;
    }
    top
}
