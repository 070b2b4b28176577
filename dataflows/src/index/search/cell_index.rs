//! One cell: the rows stored in it, the queries that look into it, and each query's best rows. Plain data, no timely.
//!
//! A node that is both row and query has one place. The score is symmetric to the bit, so each pair of nodes is met
//! once and serves both. What is new in an epoch moves to the end; then the cell's proposer proposes which pairs of that end
//! with all before it may change a list.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashSet;

use super::gone::Gone;
use super::inherited::InheritedLists;
use super::members::{Before, Body, Head, Member, Members, Role};
use super::rules::Rules;
use super::top_k::TopK;
use crate::id::NodeId;
use crate::index::kernels::Limits;
use crate::index::kernels::threads::on_threads;
use crate::index::node::{List, Neighbour, Row};
use crate::index::partition::cells::Query;
use crate::index::quantize::Basis;
use crate::index::quantize::{Projecting, Projection};

/// Says what an epoch changes in a cell. What goes, goes before anything comes: a node may do both.
#[derive(Debug, Default)]
pub(super) struct CellChanges {
    pub(super) gone_rows: Vec<NodeId>,
    pub(super) gone_queries: Vec<NodeId>,
    pub(super) new_rows: Vec<Arc<Row>>,
    pub(super) new_queries: Vec<Query>,
}

/// Says what an epoch's changes did to the lists.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Queries whose list changed, ascending: before and after, `None` where there is no such query.
    pub(super) lists: Vec<(NodeId, Option<List>, Option<List>)>,
    /// Scores computed.
    pub(super) scored: u64,
    /// Nodes left out, because their vectors have another length than those in the cell.
    pub(super) refused: Vec<NodeId>,
}

/// The change of one node in an epoch.
#[derive(Debug, Default)]
struct NodeChange {
    row_gone: bool,
    query_gone: bool,
    row: Option<Arc<Row>>,
    query: Option<Query>,
}

/// Members a cell has before it is worth choosing a projection.
const PROJECT_FROM: usize = 512;

/// Values of rows that go, above which it is quicker to look into every list than to have those proposed that are to be looked into: measured
/// in cells of 2,400 rows of 128 values, where it is even at 20 rows that go. In tests a few rows have more.
const LOOK_INTO_LISTS: usize = if cfg!(test) { 24 } else { 2 * 1024 };

/// Rows of a new cell that are asked for in what others left, to find whose they were.
const ROWS_ASKED_FOR: usize = 64;

/// Lists that are worth a thread of their own to compare with what they were. In tests any two are.
const LISTS_WORTH_A_THREAD: usize = if cfg!(test) { 2 } else { 1 << 11 };

#[derive(Debug)]
pub(super) struct CellIndex {
    pub(super) rules: Rules,
    /// d.
    length: usize,
    pub(super) members: Members,
    /// What the proposer multiplies; whole vectors when there is none.
    projection: Option<Projection>,
    /// How many members there were when that was chosen.
    projected_at: usize,
}

impl CellIndex {
    pub(super) fn new(rules: Rules) -> Self {
        let members = Members::new(rules.k, rules.proposer(0, None));
        CellIndex { rules, length: 0, members, projection: None, projected_at: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns whether `changes` take all members away and bring none: the cell divides, or becomes part of another.
    pub(super) fn dissolves(&self, changes: &CellChanges) -> bool {
        let CellChanges { gone_rows, gone_queries, new_rows, new_queries } = changes;
        let none_comes = new_rows.is_empty() && new_queries.is_empty();
        if !none_comes || self.members.rows() == 0 || gone_rows.len() < self.members.rows() {
            return false;
        }
        let [rows, queries] =
            [gone_rows, gone_queries].map(|gone| gone.iter().copied().collect::<HashSet<NodeId>>());
        let goes = |role: Role, id: NodeId, gone: &HashSet<NodeId>| role == Role::Not || gone.contains(&id);
        let mut heads = self.members.heads.iter();
        heads.all(|head| goes(head.row, head.id, &rows) && goes(head.query, head.id, &queries))
    }

    /// Takes all members out at once. What is left of them is for the cells that take them in.
    pub(super) fn dissolve(&mut self) -> (Outcome, InheritedLists) {
        let emptied = Members::new(self.rules.k, self.rules.proposer(0, None));
        let members: Vec<Member> = std::mem::replace(&mut self.members, emptied).into_members().collect();
        let list = |Member { head, body }: &Member| {
            Some((head.id, Some(body.list(head, self.rules.k)?.to_vec()), None))
        };
        let mut lists: Vec<_> = members.iter().filter_map(list).collect();
        lists.sort_unstable_by_key(|(id, ..)| *id);
        (Outcome { lists, ..Outcome::default() }, InheritedLists::of(members))
    }

    /// Carries out one epoch's changes. `basis` is what the worker has learnt of its vectors. A cell without members may inherit
    /// the lists of that of `left` that has most of its rows, as far as some of them tell.
    pub(super) fn apply(
        &mut self,
        changes: CellChanges,
        basis: Option<&Arc<Basis>>,
        left: &[InheritedLists],
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let fresh = self.is_empty() && self.rules.min_rows == 0;
        let some = changes.new_rows.iter().step_by(changes.new_rows.len().div_ceil(ROWS_ASKED_FOR).max(1));
        let of_rows = |lists: &&InheritedLists| some.clone().filter(|row| lists.has_row(row.id)).count();
        let inherited = left.iter().filter(|_| fresh).max_by_key(of_rows);
        let was_open = self.members.rows() >= self.rules.min_rows;
        let gone: Gone = changes.gone_rows.iter().copied().collect();
        let listing = if gone.is_empty() { Vec::new() } else { self.listing(&gone) };
        let mut before = Before::default();
        let by_node = self.by_node(changes, &mut outcome.refused);
        let mut arrivals = Vec::new();
        for (id, change) in by_node {
            self.remember(id, &mut before);
            arrivals.extend(self.change(id, change));
        }
        if !gone.is_empty() {
            self.forget(&gone, listing, &mut arrivals, &mut before);
        }

        if let Some(inherited) = inherited {
            let (settled, others) = inherited.pass_on(arrivals, self.rules.k);
            self.members.append(settled, self.rules.threads);
            arrivals = others;
        }

        // Known queries come first, so that no pair of two of them is scored.
        arrivals.sort_by_key(|member| member.head.query != Role::Known);
        let old = self.members.len();
        self.members.append(arrivals, self.rules.threads);
        if let Some(basis) = basis {
            self.project(basis);
        }
        let open = self.members.rows() >= self.rules.min_rows;
        if open != was_open {
            self.turn(open, &mut before);
        }
        if open {
            for id in before.by_id.keys() {
                if let Some(at) = self.members.place(*id) {
                    self.members.heads[at].remembered = true;
                }
            }
            outcome.scored = self.offer_all(old, !was_open, &mut before.offered);
        }
        self.settle(if was_open { old } else { 0 }, open);
        outcome.lists = self.changed(before);
        outcome
    }

    /// The lists that are not as they were.
    fn changed(&mut self, before: Before) -> Vec<(NodeId, Option<List>, Option<List>)> {
        let Before { by_id, offered } = before;
        let of_offered = |(id, at, list)| (id, Some(at), Some(list));
        let mut before: Vec<(NodeId, Option<usize>, Option<List>)> =
            offered.into_iter().map(of_offered).collect();
        before.extend(by_id.into_iter().map(|(id, list)| (id, self.members.place(id), list)));
        for at in before.iter().filter_map(|(_, at, _)| *at) {
            self.members.heads[at].remembered = false;
        }
        let members = &self.members;
        let after = on_threads(self.rules.threads, LISTS_WORTH_A_THREAD, &before, |(_, at, before)| {
            let after = at.and_then(|at| members.list(at));
            (after != before.as_deref()).then(|| after.map(<[Neighbour]>::to_vec))
        });
        let changed = before.into_iter().zip(after);
        let mut changed: Vec<_> =
            changed.filter_map(|((id, _, before), after)| Some((id, before, after?))).collect();
        changed.sort_unstable_by_key(|(id, ..)| *id);
        changed
    }

    /// What was new, from place `first` on, is old from now on.
    fn settle(&mut self, first: usize, open: bool) {
        for at in first..self.members.len() {
            let head = &mut self.members.heads[at];
            for role in [&mut head.row, &mut head.query] {
                if *role != Role::Not {
                    *role = Role::Old;
                }
            }
            if !open {
                self.members.bodies[at].best = TopK::new();
            }
            self.members.set_threshold(at);
        }
    }

    fn remember(&self, id: NodeId, before: &mut Before) {
        let list = || self.members.list(self.members.place(id)?).map(<[Neighbour]>::to_vec);
        before.by_id.entry(id).or_insert_with(list);
    }

    fn by_node(&mut self, changes: CellChanges, refused: &mut Vec<NodeId>) -> BTreeMap<NodeId, NodeChange> {
        if self.is_empty() {
            let rows = changes.new_rows.iter().chain(changes.new_queries.iter().map(|q| &q.row));
            self.length = rows.min_by_key(|r| r.id).map_or(0, |r| r.vector.len());
            self.members = Members::new(self.rules.k, self.rules.proposer(self.length, None));
            (self.projection, self.projected_at) = (None, 0);
        }
        let mut by_node: BTreeMap<NodeId, NodeChange> = BTreeMap::new();
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

    /// Carries out a node's change: in its place when it only loses a role. When it gains one, it is taken out, to be put
    /// at the end.
    fn change(&mut self, id: NodeId, change: NodeChange) -> Option<Member> {
        let place = self.members.place(id);
        let old = place.map(|at| self.members.heads[at]);
        let (old_row, old_query) = old.map_or((Role::Not, Role::Not), |head| (head.row, head.query));
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
        let old = place.filter(|_| gained.is_some() || (row, query) == (Role::Not, Role::Not));
        let old = old.map(|at| self.members.take(at));
        match (gained, place) {
            (Some(node), _) => {
                let best = match (change.query.and_then(|q| q.known), old) {
                    (Some(known), _) => TopK::known(known, self.rules.k),
                    (None, Some(old)) if query == Role::Old => old.body.best,
                    _ => TopK::new(),
                };
                let head = Head { id, pts_ns: node.pts_ns, row, query, remembered: false };
                Some(Member { head, body: Body { best, vector: node.vector.clone() } })
            }
            (None, Some(at)) if old.is_none() => {
                self.members.set_roles(at, row, query);
                None
            }
            _ => None,
        }
    }

    /// Queries that have one of the rows in their lists that will be `gone`. Where few go, those are proposed that are to be looked into: a row
    /// of a list scores no less than the list's last one.
    fn listing(&self, gone: &Gone) -> Vec<NodeId> {
        let Members { heads, bodies, proposer, thresholds, .. } = &self.members;
        let has = |(_, body): &(&Head, &Body)| body.best.has(|node| gone.has(node));
        let members = heads.iter().zip(bodies);
        if gone.len() * proposer.values() > LOOK_INTO_LISTS {
            return members.filter(has).map(|(head, _)| head.id).collect();
        }
        let places = gone.iter().filter_map(|id| self.members.place(id));
        let limits = Limits { rows: heads.len(), threshold: f32::INFINITY };
        let mut queries = proposer.queries(&places.map(|at| (at, limits)).collect::<Vec<_>>());
        let mut reached = vec![false; heads.len()];
        let (mut candidates, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            from = proposer.propose(&mut queries, at, thresholds, &mut candidates);
            candidates.drain(..).for_each(|pair| reached[pair.row] = true);
        }
        let reached = members.zip(reached).filter(|(_, reached)| *reached).map(|(member, _)| member);
        reached.filter(has).map(|(head, _)| head.id).collect()
    }

    /// Takes the rows that are gone out of the lists of the queries `listing`. A query left with too few starts anew, among the arrivals.
    fn forget(&mut self, gone: &Gone, listing: Vec<NodeId>, arrivals: &mut Vec<Member>, before: &mut Before) {
        let k = self.rules.k;
        for Member { head, body } in arrivals.iter_mut().filter(|member| member.head.query == Role::Old) {
            if !body.best.remove(|node| gone.has(node), k) {
                (head.query, body.best) = (Role::New, TopK::new());
            }
        }
        for id in listing {
            let Some(at) = self.members.place(id) else { continue };
            self.remember(id, before);
            if !self.members.bodies[at].best.remove(|node| gone.has(node), k) {
                let mut member = self.members.take(at);
                (member.head.query, member.body.best) = (Role::New, TopK::new());
                arrivals.push(member);
            }
        }
    }

    /// The cell has reached the rows it takes to give lists, or has lost them.
    fn turn(&mut self, open: bool, before: &mut Before) {
        for at in 0..self.members.len() {
            let Head { id, query, .. } = self.members.heads[at];
            if matches!(query, Role::Old | Role::New) {
                self.remember(id, before);
                self.members.bodies[at].best = TopK::new();
                if open {
                    self.members.heads[at].query = Role::New;
                }
                self.members.set_threshold(at);
            }
        }
    }

    /// Chooses what the proposer multiplies, when there are members enough and twice as many as the last time.
    fn project(&mut self, basis: &Arc<Basis>) {
        let members = self.members.len();
        let from = match self.rules.projecting {
            Projecting::Never => return,
            Projecting::Measured => PROJECT_FROM,
            Projecting::First(_) | Projecting::Twice(..) => 1,
        };
        if basis.d() != self.length || members < from.max(2 * self.projected_at) {
            return;
        }
        self.projected_at = members;
        let projection = match self.rules.projecting {
            Projecting::First(count) => Some(Projection::new(basis, count, count)),
            Projecting::Twice(count, reranked) => Some(Projection::new(basis, count, reranked)),
            _ => {
                let sample: Vec<_> = self.sample(Projection::sample(members)).collect();
                let sample: Vec<&[f32]> = sample.iter().map(|values| &**values).collect();
                let Rules { storage, kernel, full, .. } = self.rules;
                Projection::choose(basis, &sample, storage, kernel, members, full)
            }
        };
        let same = match (&projection, &self.projection) {
            (Some(new), Some(old)) => new.is(old),
            (None, None) => true,
            _ => false,
        };
        if !same {
            let proposer = self.rules.proposer(self.length, projection.clone());
            self.members.propose_by(proposer, self.rules.threads);
            self.projection = projection;
        }
    }

    /// Returns how many members there are.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// At most `count` members' vectors, evenly over all.
    pub(super) fn sample(&self, count: usize) -> impl Iterator<Item = Cow<'_, [f32]>> {
        let step = self.len().div_ceil(count.max(1)).max(1);
        self.members.bodies.iter().step_by(step).map(|body| body.vector.values())
    }
}
