//! One cell: the rows stored in it, the queries that look into it, and each query's best rows. Plain data, no timely.
//!
//! A node that is both row and query has one slot. The score is symmetric to the bit, so each pair of nodes is scored
//! once and serves both. What is new in an epoch moves to the end of the matrix; then one blocked product of that end
//! with all before it brings every list up to date.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::cells::Query;
use super::super::node::{List, Neighbour, Row};
use super::super::score::{Score, scores};
use super::best::Best;
use crate::id::NodeId;

/// Rows scored against one vector at a time: with 512 values each they stay in a processor's cache.
const BLOCK: usize = 32;

/// What lists in a cell follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Entries of a list.
    pub(super) k: usize,
    /// T, nanoseconds.
    pub(super) separation_ns: u64,
    /// With fewer rows the cell's lists are empty.
    pub(super) min_rows: usize,
}

impl Rules {
    /// Whether two nodes may be neighbours: of different tracks and, when of one source, further apart than T.
    pub(super) fn eligible(&self, a: (NodeId, u64), b: (NodeId, u64)) -> bool {
        a.0.track() != b.0.track() && (a.0.source() != b.0.source() || a.1.abs_diff(b.1) > self.separation_ns)
    }
}

/// What an epoch changes in a cell. What goes, goes before anything comes: a node may do both.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) gone_rows: Vec<NodeId>,
    pub(super) gone_queries: Vec<NodeId>,
    pub(super) new_rows: Vec<Arc<Row>>,
    pub(super) new_queries: Vec<Query>,
}

/// What an epoch's changes did to the lists.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Queries whose list changed, ascending: before and after, `None` where there is no such query.
    pub(super) lists: Vec<(NodeId, Option<List>, Option<List>)>,
    /// Scores computed.
    pub(super) scored: u64,
    /// Nodes left out, because their vectors have another length than those in the cell.
    pub(super) refused: Vec<NodeId>,
}

/// What a node is to the cell, and since when.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Not,
    Old,
    New,
    /// A query that brings its list along: no row of this epoch is offered to it.
    Known,
}

#[derive(Clone, Debug)]
struct Member {
    id: NodeId,
    pts_ns: u64,
    row: Role,
    query: Role,
    best: Best,
}

impl Member {
    /// Whether `row` is to be offered to this query.
    fn wants(&self, row: &Member) -> bool {
        match self.query {
            Role::New => row.row != Role::Not,
            Role::Old => row.row == Role::New,
            Role::Not | Role::Known => false,
        }
    }
}

#[derive(Debug, Default)]
struct Change {
    row_gone: bool,
    query_gone: bool,
    row: Option<Arc<Row>>,
    query: Option<Query>,
}

/// The lists before an epoch, of the queries it touches.
type Before = BTreeMap<NodeId, Option<List>>;

#[derive(Debug)]
pub(super) struct CellIndex {
    rules: Rules,
    /// d.
    length: usize,
    /// n x d, row-major.
    matrix: Vec<f32>,
    /// n, in the order of `matrix`.
    members: Vec<Member>,
    /// n: a score below this changes nothing for the member's list.
    floors: Vec<f32>,
    slots: HashMap<NodeId, usize>,
    rows: usize,
}

impl CellIndex {
    pub(super) fn new(rules: Rules) -> Self {
        CellIndex {
            rules,
            length: 0,
            matrix: Vec::new(),
            members: Vec::new(),
            floors: Vec::new(),
            slots: HashMap::new(),
            rows: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Carries out one epoch's changes.
    pub(super) fn apply(&mut self, changes: Changes) -> Outcome {
        let mut outcome = Outcome::default();
        let was_open = self.rows >= self.rules.min_rows;
        let gone: HashSet<NodeId> = changes.gone_rows.iter().copied().collect();
        let mut before = Before::new();
        let by_node = self.by_node(changes, &mut outcome.refused);
        let mut arrivals = Vec::new();
        for (id, change) in by_node {
            self.remember(id, &mut before);
            arrivals.extend(self.change(id, change));
        }
        if !gone.is_empty() {
            self.forget(&gone, &mut arrivals, &mut before);
        }

        // Known queries come first, so that no pair of two of them is scored.
        arrivals.sort_by_key(|(member, _)| member.query != Role::Known);
        let old = self.members.len();
        for (member, vector) in arrivals {
            self.slots.insert(member.id, self.members.len());
            self.matrix.extend_from_slice(&vector);
            self.members.push(member);
        }
        self.rows = self.members.iter().filter(|m| m.row != Role::Not).count();
        let open = self.rows >= self.rules.min_rows;
        if open != was_open {
            self.turn(open, &mut before);
        }
        if open {
            outcome.scored = self.offer_all(if was_open { old } else { 0 }, old, &mut before);
        } else {
            self.members[old..].iter_mut().for_each(|m| m.best = Best::new());
        }

        for member in &mut self.members {
            for role in [&mut member.row, &mut member.query] {
                if *role != Role::Not {
                    *role = Role::Old;
                }
            }
        }
        for (id, before) in before {
            let after = self.list(id);
            if before != after {
                outcome.lists.push((id, before, after));
            }
        }
        outcome
    }

    /// The list of a query; `None` when it does not look into this cell.
    fn list(&self, id: NodeId) -> Option<List> {
        let member = self.slots.get(&id).map(|slot| &self.members[*slot])?;
        (member.query != Role::Not).then(|| member.best.list(self.rules.k).to_vec())
    }

    fn remember(&self, id: NodeId, before: &mut Before) {
        before.entry(id).or_insert_with(|| self.list(id));
    }

    fn by_node(&mut self, changes: Changes, refused: &mut Vec<NodeId>) -> BTreeMap<NodeId, Change> {
        if self.members.is_empty() {
            let rows = changes.new_rows.iter().chain(changes.new_queries.iter().map(|q| &q.row));
            self.length = rows.min_by_key(|r| r.id).map_or(0, |r| r.vector.len());
        }
        let mut by_node: BTreeMap<NodeId, Change> = BTreeMap::new();
        for id in changes.gone_rows {
            by_node.entry(id).or_default().row_gone = true;
        }
        for id in changes.gone_queries {
            by_node.entry(id).or_default().query_gone = true;
        }
        let mut fits = |row: &Row| {
            let fits = row.vector.len() == self.length;
            if !fits {
                refused.push(row.id);
            }
            fits
        };
        for row in changes.new_rows.into_iter().filter(|row| fits(row)) {
            let id = row.id;
            by_node.entry(id).or_default().row = Some(row);
        }
        for query in changes.new_queries.into_iter().filter(|query| fits(&query.row)) {
            let id = query.row.id;
            by_node.entry(id).or_default().query = Some(query);
        }
        by_node
    }

    /// Carries out a node's change: in its slot when it only loses a role. When it gains one, it is taken out, to be put
    /// at the end.
    fn change(&mut self, id: NodeId, change: Change) -> Option<(Member, Arc<[f32]>)> {
        let slot = self.slots.get(&id).copied();
        let old = slot.map(|slot| &mut self.members[slot]);
        let (old_row, old_query) = old.as_ref().map_or((Role::Not, Role::Not), |m| (m.row, m.query));
        let row = match (&change.row, change.row_gone) {
            (Some(_), _) => Role::New,
            (None, true) => Role::Not,
            (None, false) => old_row,
        };
        let query = match (&change.query, change.query_gone) {
            (Some(query), _) if query.known.is_some() => Role::Known,
            (Some(_), _) => Role::New,
            (None, true) => Role::Not,
            (None, false) => old_query,
        };
        let gained = change.row.or_else(|| change.query.as_ref().map(|q| q.row.clone()));
        match (gained, old) {
            (Some(gained), old) => {
                let best = match change.query.and_then(|q| q.known) {
                    Some(known) => Best::known(known, self.rules.k),
                    None if query == Role::Old => old.map_or_else(Best::new, |m| m.best.clone()),
                    None => Best::new(),
                };
                if let Some(slot) = slot {
                    self.take(slot);
                }
                Some((Member { id, pts_ns: gained.pts_ns, row, query, best }, gained.vector.clone()))
            }
            (None, Some(old)) => {
                (old.row, old.query) = (row, query);
                if query == Role::Not {
                    old.best = Best::new();
                }
                if let (Role::Not, Role::Not, Some(slot)) = (row, query, slot) {
                    self.take(slot);
                }
                None
            }
            (None, None) => None,
        }
    }

    /// Takes the rows that are gone out of the lists. A query left with too few starts anew, among the arrivals.
    fn forget(
        &mut self,
        gone: &HashSet<NodeId>,
        arrivals: &mut Vec<(Member, Arc<[f32]>)>,
        before: &mut Before,
    ) {
        let k = self.rules.k;
        for (member, _) in arrivals.iter_mut().filter(|(m, _)| m.query == Role::Old) {
            if !member.best.remove(|node| gone.contains(&node), k) {
                (member.query, member.best) = (Role::New, Best::new());
            }
        }
        let mut short = Vec::new();
        for slot in 0..self.members.len() {
            if self.members[slot].best.has(|node| gone.contains(&node)) {
                let id = self.members[slot].id;
                self.remember(id, before);
                if !self.members[slot].best.remove(|node| gone.contains(&node), k) {
                    short.push(id);
                }
            }
        }
        for id in short {
            if let Some(slot) = self.slots.get(&id).copied() {
                let (member, vector) = self.take(slot);
                arrivals.push((Member { query: Role::New, best: Best::new(), ..member }, vector));
            }
        }
    }

    /// The cell has reached the rows it takes to give lists, or has lost them.
    fn turn(&mut self, open: bool, before: &mut Before) {
        for slot in 0..self.members.len() {
            if matches!(self.members[slot].query, Role::Old | Role::New) {
                self.remember(self.members[slot].id, before);
                self.members[slot].best = Best::new();
                if open {
                    self.members[slot].query = Role::New;
                }
            }
        }
    }

    /// Scores each member from `first` on with all before it, and offers each to the other. `old` members are not new.
    fn offer_all(&mut self, first: usize, old: usize, before: &mut Before) -> u64 {
        let d = self.length;
        self.floors.clear();
        let floors = self.members.iter().map(|m| match m.query {
            Role::Old | Role::New => m.best.floor(self.rules.k),
            Role::Not | Role::Known => f32::INFINITY,
        });
        self.floors.extend(floors);
        let mut scored = 0;
        let mut block_scores = [0.0f32; BLOCK];
        for block in (0..self.members.len()).step_by(BLOCK) {
            for at in first.max(block + 1)..self.members.len() {
                let end = if self.members[at].query == Role::Known { at.min(old) } else { at };
                let end = end.min(block + BLOCK);
                if end <= block {
                    continue;
                }
                let block_scores = &mut block_scores[..end - block];
                scores(&self.matrix[at * d..(at + 1) * d], &self.matrix[block * d..end * d], block_scores);
                scored += (end - block) as u64;
                let floor = self.floors[at];
                for (other, score) in (block..end).zip(block_scores) {
                    if *score >= floor || *score >= self.floors[other] {
                        self.offer(at, other, *score, before);
                        self.offer(other, at, *score, before);
                    }
                }
            }
        }
        scored
    }

    /// Offers the row at `row` to the query at `query`.
    fn offer(&mut self, query: usize, row: usize, score: f32, before: &mut Before) {
        let (to, from) = (&self.members[query], &self.members[row]);
        if score >= self.floors[query]
            && to.wants(from)
            && self.rules.eligible((to.id, to.pts_ns), (from.id, from.pts_ns))
        {
            let (id, neighbour) = (to.id, Neighbour { score: Score(score), node: from.id });
            self.remember(id, before);
            self.members[query].best.offer(neighbour, self.rules.k);
            self.floors[query] = self.members[query].best.floor(self.rules.k);
        }
    }

    /// Takes a member out; the last one takes its slot.
    fn take(&mut self, slot: usize) -> (Member, Arc<[f32]>) {
        let d = self.length;
        let vector = self.matrix[slot * d..(slot + 1) * d].into();
        let last = self.members.len() - 1;
        self.matrix.copy_within(last * d.., slot * d);
        self.matrix.truncate(last * d);
        let member = self.members.swap_remove(slot);
        self.slots.remove(&member.id);
        if let Some(moved) = self.members.get(slot) {
            self.slots.insert(moved.id, slot);
        }
        (member, vector)
    }
}
