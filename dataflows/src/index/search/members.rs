//! Members of a cell, place by place: what each is to the cell, its list, and its row in the proposer.

use hashbrown::HashMap;

use super::top_k::TopK;
use crate::id::NodeId;
use crate::index::kernels::vector::Vector;
use crate::index::node::{List, Neighbour};
use crate::index::quantize::Proposer;

/// Says what a node is to the cell, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    Not,
    Old,
    New,
    /// A query that brings its list along: no row of this epoch is offered to it.
    Known,
}

/// A node of the cell, before it has a place and after it has left it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) head: Head,
    pub(super) body: Body,
}

/// Says what says whether two members are to meet. In places of its own: it is looked at for each pair that is proposed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) id: NodeId,
    pub(super) pts_ns: u64,
    pub(super) row: Role,
    pub(super) query: Role,
    /// Says whether the list is remembered as it was before this epoch.
    pub(super) remembered: bool,
}

/// Says what is read when they do.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) best: TopK,
    /// For canonical scores.
    pub(super) vector: Vector,
}

impl Head {
    /// Returns whether `row` is to be offered to this query.
    pub(super) fn wants(&self, row: &Head) -> bool {
        match self.query {
            Role::New => row.row != Role::Not,
            Role::Old => row.row == Role::New,
            Role::Not | Role::Known => false,
        }
    }
}

impl Body {
    /// The list of the member with this `head`; `None` when it does not probe the cell.
    pub(super) fn list(&self, head: &Head, k: usize) -> Option<&[Neighbour]> {
        (head.query != Role::Not).then(|| self.best.list(k))
    }

    /// A canonical score below this changes nothing for that list.
    pub(super) fn kth_score(&self, head: &Head, k: usize) -> f32 {
        match head.query {
            Role::Old | Role::New => self.best.kth_score(k),
            Role::Not | Role::Known => f32::INFINITY,
        }
    }
}

/// A cell's members. A member's place is that of its row.
#[derive(Debug)]
pub(super) struct Members {
    /// Entries of a list.
    k: usize,
    pub(super) heads: Vec<Head>,
    pub(super) bodies: Vec<Body>,
    pub(super) proposer: Box<dyn Proposer>,
    /// For each place of the proposer what the fast score of a row reaches that may enter its member's list. Where no member is, nothing
    /// gets in.
    pub(super) thresholds: Vec<f32>,
    places: HashMap<NodeId, usize>,
    /// How many of them are rows.
    rows: usize,
}

/// Members that get their places together.
const TOGETHER: usize = 1024;

impl Members {
    /// None yet; `proposer` has no rows.
    pub(super) fn new(k: usize, proposer: Box<dyn Proposer>) -> Self {
        let (heads, bodies, thresholds) = (Vec::new(), Vec::new(), Vec::new());
        Members { k, heads, bodies, proposer, thresholds, places: HashMap::new(), rows: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Returns how many of them are rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Where a node is.
    pub(super) fn place(&self, id: NodeId) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// All of them, place by place.
    pub(super) fn into_members(self) -> impl Iterator<Item = Member> {
        self.heads.into_iter().zip(self.bodies).map(|(head, body)| Member { head, body })
    }

    /// The list of the member at a place; `None` when it does not probe the cell.
    pub(super) fn list(&self, at: usize) -> Option<&[Neighbour]> {
        self.bodies[at].list(&self.heads[at], self.k)
    }

    /// Puts members at the end, one after the other.
    pub(super) fn append(&mut self, members: Vec<Member>, threads: usize) {
        let mut members = members.into_iter();
        while !members.as_slice().is_empty() {
            let soon = &members.as_slice()[..members.len().min(TOGETHER)];
            let vectors: Vec<&Vector> = soon.iter().map(|member| &member.body.vector).collect();
            let (error, count) = (self.proposer.error(), vectors.len());
            self.proposer.append(&vectors, threads);
            self.thresholds.resize(self.proposer.places(), f32::INFINITY);
            let first = self.len();
            for Member { head, body } in members.by_ref().take(count) {
                self.rows += usize::from(head.row != Role::Not);
                self.places.insert(head.id, self.heads.len());
                self.heads.push(head);
                self.bodies.push(body);
            }
            let from = if self.proposer.error() == error { first } else { 0 };
            (from..self.len()).for_each(|at| self.set_threshold(at));
        }
    }

    /// Puts every member's row into `proposer`, which takes the place of the one that is there.
    pub(super) fn propose_by(&mut self, mut proposer: Box<dyn Proposer>, threads: usize) {
        for bodies in self.bodies.chunks(TOGETHER) {
            proposer.append(&bodies.iter().map(|body| &body.vector).collect::<Vec<_>>(), threads);
        }
        self.proposer = proposer;
        (0..self.len()).for_each(|at| self.set_threshold(at));
    }

    /// Takes a member out; the last one takes its place.
    pub(super) fn take(&mut self, at: usize) -> Member {
        let member = Member { head: self.heads.swap_remove(at), body: self.bodies.swap_remove(at) };
        self.proposer.swap_remove(at);
        let last = self.len();
        self.thresholds[at] = self.thresholds[last];
        self.thresholds[last] = f32::INFINITY;
        self.thresholds.truncate(self.proposer.places());
        self.places.remove(&member.head.id);
        self.rows -= usize::from(member.head.row != Role::Not);
        if let Some(moved) = self.heads.get(at) {
            self.places.insert(moved.id, at);
        }
        member
    }

    /// Gives a member that loses a role those that it keeps.
    pub(super) fn set_roles(&mut self, at: usize, row: Role, query: Role) {
        let head = &mut self.heads[at];
        self.rows -= usize::from(head.row != Role::Not && row == Role::Not);
        (head.row, head.query) = (row, query);
        if query == Role::Not {
            self.bodies[at].best = TopK::new();
        }
        self.set_threshold(at);
    }

    /// Brings a member's threshold up to date.
    pub(super) fn set_threshold(&mut self, at: usize) {
        let kth_score = self.bodies[at].kth_score(&self.heads[at], self.k);
        self.thresholds[at] = self.proposer.threshold(kth_score);
    }
}

/// The lists before an epoch, of the queries it touches. A list is remembered before the first thing that may change it.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// Of members that may come, go or move meanwhile; `None` where there was no such query.
    pub(super) by_id: HashMap<NodeId, Option<List>>,
    /// Of old queries that only had rows offered, with their places.
    pub(super) offered: Vec<(NodeId, usize, List)>,
}
