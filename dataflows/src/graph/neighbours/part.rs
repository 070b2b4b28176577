//! Members of a cell and their rows in panels, place by place.

use std::sync::Arc;

use super::super::node::Row;
use super::super::product::bound::lowered;
use super::super::product::{Panels, ROWS, Storage};
use super::best::Best;
use crate::id::NodeId;

/// What a node is to the cell, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    Not,
    Old,
    New,
    /// A query that brings its list along: no row of this epoch is offered to it.
    Known,
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: NodeId,
    pub(super) pts_ns: u64,
    pub(super) row: Role,
    pub(super) query: Role,
    pub(super) best: Best,
    /// Its vector, for canonical scores.
    pub(super) node: Arc<Row>,
}

impl Member {
    /// Whether `row` is to be offered to this query.
    pub(super) fn wants(&self, row: &Member) -> bool {
        match self.query {
            Role::New => row.row != Role::Not,
            Role::Old => row.row == Role::New,
            Role::Not | Role::Known => false,
        }
    }

    /// A canonical score below this changes nothing for the member's list.
    pub(super) fn floor(&self, k: usize) -> f32 {
        match self.query {
            Role::Old | Role::New => self.best.floor(k),
            Role::Not | Role::Known => f32::INFINITY,
        }
    }
}

/// Some of a cell's members; a member's place is that of its row in the panels.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) members: Vec<Member>,
    pub(super) panels: Panels,
    /// For each place in the panels its member's floor, lowered by the error of fast scores. Where no member is, nothing
    /// gets in.
    pub(super) floors: Vec<f32>,
}

impl Part {
    pub(super) fn new(d: usize, storage: Storage) -> Self {
        Part { members: Vec::new(), panels: Panels::new(d, storage), floors: Vec::new() }
    }

    /// Puts a member at the end, its floor not yet set. Returns how far its stored row is from its vector.
    pub(super) fn push(&mut self, member: Member) -> f64 {
        let off = self.panels.push(&member.node.vector);
        self.members.push(member);
        self.floors.resize(self.panels.panels() * ROWS, f32::INFINITY);
        off
    }

    /// Takes a member out; the last one takes its place.
    pub(super) fn swap_remove(&mut self, at: usize) -> Member {
        let member = self.members.swap_remove(at);
        self.panels.swap_remove(at);
        self.floors[at] = self.floors[self.members.len()];
        self.floors[self.members.len()] = f32::INFINITY;
        self.floors.truncate(self.panels.panels() * ROWS);
        member
    }

    /// Brings a member's floor up to date.
    pub(super) fn set_floor(&mut self, at: usize, k: usize, error: f32) {
        self.floors[at] = lowered(self.members[at].floor(k), error);
    }
}
