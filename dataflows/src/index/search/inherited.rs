//! The lists that a cell which divides leaves to those that take its rows: who was there, and each query's best rows.

use hashbrown::{HashMap, HashSet};

use super::members::{Body, Member, Role};
use super::top_k::TopK;
use crate::id::NodeId;
use crate::index::kernels::vector::Vector;

/// The members of a cell, as they were before all of them left it in one epoch.
#[derive(Debug)]
pub(super) struct InheritedLists {
    members: HashMap<NodeId, Former>,
}

#[derive(Debug)]
struct Former {
    pts_ns: u64,
    vector: Vector,
    row: bool,
    /// Of a query: complete over the cell's rows as far as it goes.
    best: Option<TopK>,
}

impl Former {
    /// Returns true when a member is the one that left, and no other of the same name.
    fn is(&self, member: &Member) -> bool {
        self.pts_ns == member.head.pts_ns && self.vector.is(&member.body.vector)
    }
}

impl InheritedLists {
    pub(super) fn of(members: Vec<Member>) -> Self {
        let left = |Member { head, body: Body { best, vector } }: Member| {
            let best = (head.query == Role::Old).then_some(best);
            (head.id, Former { pts_ns: head.pts_ns, vector, row: head.row == Role::Old, best })
        };
        InheritedLists { members: members.into_iter().map(left).collect() }
    }

    /// Returns whether the node was stored in the cell.
    pub(super) fn has_row(&self, node: NodeId) -> bool {
        self.members.get(&node).is_some_and(|left| left.row)
    }

    /// Gives the members that arrive in an empty cell what they had in this one: a row that was stored here is old to the queries that
    /// were, and a query that has `k` of the arriving rows left, or all there are, knows the old rows. Members that are old in all they
    /// are come first; each pair with one of the others is still to be met.
    pub(super) fn pass_on(&self, arrivals: Vec<Member>, k: usize) -> (Vec<Member>, Vec<Member>) {
        let known = |member: &Member| self.members.get(&member.head.id).filter(|left| left.is(member));
        let moved =
            |member: &&Member| member.head.row == Role::New && known(member).is_some_and(|left| left.row);
        let moved: HashSet<NodeId> = arrivals.iter().filter(moved).map(|member| member.head.id).collect();
        let pass_on = |mut member: Member| {
            if moved.contains(&member.head.id) {
                member.head.row = Role::Old;
            }
            if member.head.query == Role::New
                && let Some(best) = known(&member).and_then(|left| left.best.as_ref())
                && let Some(best) = best.over(|node| moved.contains(&node), k)
            {
                (member.head.query, member.body.best) = (Role::Old, best);
            }
            member
        };
        let old = |role: Role| matches!(role, Role::Not | Role::Old);
        arrivals.into_iter().map(pass_on).partition(|Member { head, .. }| old(head.row) && old(head.query))
    }
}
