//! Groups: the coarse cluster that supplies a node with negatives.

use differential_dataflow::VecCollection;
use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::GroupId;
use kinetograph_dataflows::time::{Diff, Epoch};
use kinetograph_dataflows::wire::Derived;

use super::collection::{Collection, Export, History, Labels};
use crate::recompute::cores::on_all_cores;
use crate::recompute::nearest::Member;
use crate::recompute::work::Work;
use crate::store::{Table, key};

/// Nodes looked at at a time.
const TOGETHER: usize = 1024;

/// Node to group.
#[derive(Clone, Copy, Debug)]
pub struct Groups;

impl Collection for Groups {
    type Record = (NodeId, GroupId);
    type Key = NodeId;
    type Value = GroupId;

    const NAME: &'static str = "groups";
    const TABLE: Table = Table::Groups;

    fn stream<'s>(graph: &Derived<'s>) -> VecCollection<'s, Epoch, Self::Record, Diff> {
        graph.neighbours.groups.clone()
    }

    fn parts(record: &Self::Record) -> (&NodeId, &GroupId) {
        (&record.0, &record.1)
    }

    fn join(node: NodeId, group: GroupId) -> Self::Record {
        (node, group)
    }

    fn home(node: &NodeId) -> NodeId {
        *node
    }

    fn nodes(node: &NodeId, _: &GroupId, see: &mut dyn FnMut(NodeId)) {
        see(*node);
    }

    fn key_bytes(node: &NodeId) -> Vec<u8> {
        key::node(*node)
    }

    fn value_bytes(group: &GroupId) -> Vec<u8> {
        group.0.to_be_bytes().to_vec()
    }

    fn read_key(bytes: &[u8]) -> Option<NodeId> {
        key::node_at(bytes)
    }

    fn read_value(bytes: &[u8]) -> Option<GroupId> {
        key::u32_at(bytes, 0).map(GroupId)
    }

    fn labels() -> Labels<Self> {
        Labels::Meant
    }

    fn history() -> History<Self> {
        History::Delta { of: |delta| &delta.groups, of_mut: |delta| &mut delta.groups }
    }

    fn export() -> Export<Self> {
        Export::Column { name: "group", key: |node| node, text: |group| group.0.to_string() }
    }

    fn recompute(work: &mut Work<'_>) -> Vec<(NodeId, GroupId)> {
        let chunks: Vec<&[Member]> = work.members.chunks(TOGETHER).collect();
        let groups = |some: &&[Member]| -> Vec<(NodeId, GroupId)> {
            some.iter().map(|member| (member.id, work.codebook.group(&member.vector.values()))).collect()
        };
        on_all_cores(&chunks, groups, &|_| {}).into_iter().flatten().collect()
    }

    fn difference(node: &NodeId, found: Option<&GroupId>, right: Option<&GroupId>) -> String {
        super::collection::label("group", *node, found.map(|group| group.0), right.map(|group| group.0))
    }
}
