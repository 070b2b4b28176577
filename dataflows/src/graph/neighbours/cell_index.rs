//! One cell: the rows stored in it, the queries that look into it, and each query's best rows. Plain data, no timely.
//!
//! A node that is both row and query has one place. The score is symmetric to the bit, so each pair of nodes is met
//! once and serves both. What is new in an epoch moves to the end; then a blocked product of that end
//! with all before it proposes what may change a list.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::super::cells::Query;
use super::super::node::{List, Neighbour, Row};
use super::super::product::{Basis, Late, Sketch, Sketching};
use super::super::vector::Vector;
use super::before::{Before, Offered};
use super::best::Best;
use super::gone::Gone;
use super::heritage::Heritage;
use super::offers::News;
use super::part::{Body, Head, Member, Part, Reach, Role, SHADES_AT_ONCE, Shade};
use super::rules::Rules;
use super::threads::on_threads;
use crate::id::NodeId;

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

#[derive(Debug, Default)]
struct Change {
    row_gone: bool,
    query_gone: bool,
    row: Option<Arc<Row>>,
    query: Option<Query>,
}

/// Members a cell has before it is worth choosing what the product sees of them.
const SKETCH_FROM: usize = 512;

/// Values of rows that go, above which it is quicker to look into every list than to let the product say which ones to look into: measured
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
    pub(super) length: usize,
    pub(super) part: Part,
    places: HashMap<NodeId, usize>,
    rows: usize,
    /// What the product sees of the members.
    pub(super) sketch: Sketch,
    /// How many members there were when that was chosen.
    sketched_at: usize,
    reach: Reach,
    /// How far a fast score can be below the canonical one; with whole vectors, above it too.
    pub(super) error: f32,
    /// How far what a second look gives can be below the canonical score.
    pub(super) second_error: f64,
}

impl CellIndex {
    pub(super) fn new(rules: Rules) -> Self {
        CellIndex {
            rules,
            length: 0,
            part: Part::new(0, &rules),
            places: HashMap::new(),
            rows: 0,
            sketch: Sketch::Whole,
            sketched_at: 0,
            reach: Reach::default(),
            error: 0.0,
            second_error: 0.0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether `changes` take all members away and bring none: the cell divides, or becomes part of another.
    pub(super) fn dissolves(&self, changes: &Changes) -> bool {
        let Changes { gone_rows, gone_queries, new_rows, new_queries } = changes;
        let none_comes = new_rows.is_empty() && new_queries.is_empty();
        if !none_comes || self.rows == 0 || gone_rows.len() < self.rows {
            return false;
        }
        let [rows, queries] =
            [gone_rows, gone_queries].map(|gone| gone.iter().copied().collect::<HashSet<NodeId>>());
        let goes = |role: Role, id: NodeId, gone: &HashSet<NodeId>| role == Role::Not || gone.contains(&id);
        let mut heads = self.part.heads.iter();
        heads.all(|head| goes(head.row, head.id, &rows) && goes(head.query, head.id, &queries))
    }

    /// Takes all members out at once. What is left of them is for the cells that take them in.
    pub(super) fn dissolve(&mut self) -> (Outcome, Heritage) {
        let part = std::mem::replace(&mut self.part, Part::new(0, &self.rules));
        (self.places, self.rows) = (HashMap::new(), 0);
        let members: Vec<Member> = part.into_members().collect();
        let list = |Member { head, body }: &Member| {
            Some((head.id, Some(body.list(head, self.rules.k)?.to_vec()), None))
        };
        let mut lists: Vec<_> = members.iter().filter_map(list).collect();
        lists.sort_unstable_by_key(|(id, ..)| *id);
        (Outcome { lists, ..Outcome::default() }, Heritage::of(members))
    }

    /// Carries out one epoch's changes. `basis` is what the worker has learnt of its vectors. A cell without members may have
    /// lists from that of `heritages` that has most of its rows, as far as some of them tell.
    pub(super) fn apply(
        &mut self,
        changes: Changes,
        basis: Option<&Arc<Basis>>,
        heritages: &[Heritage],
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let fresh = self.is_empty() && self.rules.min_rows == 0;
        let heritages = heritages.iter().filter(|_| fresh);
        let some = changes.new_rows.iter().step_by(changes.new_rows.len().div_ceil(ROWS_ASKED_FOR).max(1));
        let of_rows = |heritage: &&Heritage| some.clone().filter(|row| heritage.has_row(row.id)).count();
        let heritage = heritages.max_by_key(of_rows);
        let was_open = self.rows >= self.rules.min_rows;
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

        if let Some(heritage) = heritage {
            let (settled, others) = heritage.pass_on(arrivals, self.rules.k);
            self.put_all(settled);
            arrivals = others;
        }

        // Known queries come first, so that no pair of two of them is scored.
        arrivals.sort_by_key(|member| member.head.query != Role::Known);
        let old = self.part.len();
        self.put_all(arrivals);
        if let Some(basis) = basis {
            self.sketch(basis);
        }
        let open = self.rows >= self.rules.min_rows;
        if open != was_open {
            self.turn(open, &mut before);
        }
        let news = News { old, all: !was_open };
        if open {
            for id in before.by_id.keys() {
                if let Some(at) = self.places.get(id) {
                    self.part.heads[*at].remembered = true;
                }
            }
            outcome.scored = self.offer_all(&news, &mut before.offered);
        }
        self.settle(&news, open);
        outcome.lists = self.changed(before);
        outcome
    }

    /// The lists that are not as they were.
    fn changed(&mut self, before: Before) -> Vec<(NodeId, Option<List>, Option<List>)> {
        let Before { by_id, offered } = before;
        let of_offered = |Offered { id, at, list }| (id, Some(at), Some(list));
        let mut before: Vec<(NodeId, Option<usize>, Option<List>)> =
            offered.into_iter().map(of_offered).collect();
        before.extend(by_id.into_iter().map(|(id, list)| (id, self.places.get(&id).copied(), list)));
        for at in before.iter().filter_map(|(_, at, _)| *at) {
            self.part.heads[at].remembered = false;
        }
        let Part { heads, bodies, .. } = &self.part;
        let k = self.rules.k;
        let after = on_threads(self.rules.threads, LISTS_WORTH_A_THREAD, &before, |(_, at, before)| {
            let after = at.and_then(|at| bodies[at].list(&heads[at], k));
            (after != before.as_deref()).then(|| after.map(<[Neighbour]>::to_vec))
        });
        let changed = before.into_iter().zip(after);
        let mut changed: Vec<_> =
            changed.filter_map(|((id, _, before), after)| Some((id, before, after?))).collect();
        changed.sort_unstable_by_key(|(id, ..)| *id);
        changed
    }

    /// What was new is old from now on.
    fn settle(&mut self, news: &News, open: bool) {
        let part = &mut self.part;
        for at in if news.all { 0 } else { news.old }..part.len() {
            let head = &mut part.heads[at];
            for role in [&mut head.row, &mut head.query] {
                if *role != Role::Not {
                    *role = Role::Old;
                }
            }
            if !open {
                part.bodies[at].best = Best::new();
            }
            part.set_floor(at, self.rules.k, self.error);
        }
    }

    fn remember(&self, id: NodeId, before: &mut Before) {
        let list = || self.part.list(*self.places.get(&id)?, self.rules.k).map(<[Neighbour]>::to_vec);
        before.by_id.entry(id).or_insert_with(list);
    }

    fn by_node(&mut self, changes: Changes, refused: &mut Vec<NodeId>) -> BTreeMap<NodeId, Change> {
        if self.is_empty() {
            let rows = changes.new_rows.iter().chain(changes.new_queries.iter().map(|q| &q.row));
            self.length = rows.min_by_key(|r| r.id).map_or(0, |r| r.vector.len());
            self.part = Part::new(self.length, &self.rules);
            (self.sketch, self.sketched_at) = (Sketch::Whole, 0);
            (self.reach, self.error, self.second_error) = (Reach::default(), 0.0, 0.0);
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

    /// Carries out a node's change: in its place when it only loses a role. When it gains one, it is taken out, to be put
    /// at the end.
    fn change(&mut self, id: NodeId, change: Change) -> Option<Member> {
        let place = self.places.get(&id).copied();
        let old = place.map(|at| self.part.heads[at]);
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
        let old = old.map(|at| self.take(at));
        match (gained, place) {
            (Some(node), _) => {
                let best = match (change.query.and_then(|q| q.known), old) {
                    (Some(known), _) => Best::known(known, self.rules.k),
                    (None, Some(old)) if query == Role::Old => old.body.best,
                    _ => Best::new(),
                };
                let head = Head { id, pts_ns: node.pts_ns, row, query, remembered: false };
                Some(Member { head, body: Body { best, vector: node.vector.clone() } })
            }
            (None, Some(at)) if old.is_none() => {
                let head = &mut self.part.heads[at];
                if head.row != Role::Not && row == Role::Not {
                    self.rows -= 1;
                }
                (head.row, head.query) = (row, query);
                if query == Role::Not {
                    self.part.bodies[at].best = Best::new();
                }
                self.part.set_floor(at, self.rules.k, self.error);
                None
            }
            _ => None,
        }
    }

    /// Queries that have one of the rows in their lists that will be `gone`. Where few go the product says which lists to look into: a row of
    /// a list scores no less than the list's floor.
    fn listing(&self, gone: &Gone) -> Vec<NodeId> {
        let Part { heads, bodies, rows, floors, .. } = &self.part;
        let has = |(_, body): &(&Head, &Body)| body.best.has(|node| gone.has(node));
        let members = heads.iter().zip(bodies);
        if gone.len() * self.sketch.values(self.length) > LOOK_INTO_LISTS {
            return members.filter(has).map(|(head, _)| head.id).collect();
        }
        let places = gone.iter().filter_map(|id| self.places.get(&id).copied());
        let late = Late { rows: heads.len(), floor: f32::INFINITY };
        let mut batch = rows.lates(places.map(|at| (at, late)));
        let mut reached = vec![false; heads.len()];
        let (mut hits, mut from) = (Vec::new(), Some(0));
        while let Some(at) = from {
            from = batch.propose(rows, at, floors, &mut hits);
            hits.drain(..).for_each(|hit| reached[hit.row] = true);
        }
        let reached = members.zip(reached).filter(|(_, reached)| *reached).map(|(member, _)| member);
        reached.filter(has).map(|(head, _)| head.id).collect()
    }

    /// Takes the rows that are gone out of the lists of the queries `listing`. A query left with too few starts anew, among the arrivals.
    fn forget(&mut self, gone: &Gone, listing: Vec<NodeId>, arrivals: &mut Vec<Member>, before: &mut Before) {
        let k = self.rules.k;
        for Member { head, body } in arrivals.iter_mut().filter(|member| member.head.query == Role::Old) {
            if !body.best.remove(|node| gone.has(node), k) {
                (head.query, body.best) = (Role::New, Best::new());
            }
        }
        for id in listing {
            let Some(at) = self.places.get(&id).copied() else { continue };
            self.remember(id, before);
            if !self.part.bodies[at].best.remove(|node| gone.has(node), k) {
                let mut member = self.take(at);
                (member.head.query, member.body.best) = (Role::New, Best::new());
                arrivals.push(member);
            }
        }
    }

    /// The cell has reached the rows it takes to give lists, or has lost them.
    fn turn(&mut self, open: bool, before: &mut Before) {
        for at in 0..self.part.len() {
            let Head { id, query, .. } = self.part.heads[at];
            if matches!(query, Role::Old | Role::New) {
                self.remember(id, before);
                self.part.bodies[at].best = Best::new();
                if open {
                    self.part.heads[at].query = Role::New;
                }
                self.part.set_floor(at, self.rules.k, self.error);
            }
        }
    }

    /// Puts members at the end, one after the other.
    fn put_all(&mut self, members: Vec<Member>) {
        let mut members = members.into_iter();
        while !members.as_slice().is_empty() {
            let soon = &members.as_slice()[..members.len().min(SHADES_AT_ONCE)];
            let vectors: Vec<&Vector> = soon.iter().map(|member| &member.body.vector).collect();
            let shades = Shade::of_all(&vectors, &self.sketch, self.rules.threads);
            shades.into_iter().zip(&mut members).for_each(|(shade, member)| self.put(member, shade));
        }
    }

    /// Puts a member at the end.
    fn put(&mut self, member: Member, shade: Shade) {
        let Head { id, row, .. } = member.head;
        self.rows += usize::from(row != Role::Not);
        let reach = self.reach.and(self.part.push(member, shade));
        let at = self.part.len() - 1;
        self.places.insert(id, at);
        self.part.set_floor(at, self.rules.k, self.error);
        if reach != self.reach {
            self.reach_to(reach);
        }
    }

    fn reach_to(&mut self, reach: Reach) {
        self.reach = reach;
        let by = self.part.rows.arithmetic();
        self.error = self.sketch.error(&by, self.length, reach.norm, reach.longest, reach.off);
        self.second_error = self.sketch.second_error(&by, reach.norm, reach.longest, reach.off);
        (0..self.part.len()).for_each(|at| self.part.set_floor(at, self.rules.k, self.error));
    }

    /// Chooses what the product is to see, when there are members enough and twice as many as the last time.
    fn sketch(&mut self, basis: &Arc<Basis>) {
        let (members, from) = match self.rules.sketching {
            Sketching::Never => return,
            Sketching::Measured => (self.len(), SKETCH_FROM),
            Sketching::First(_) | Sketching::Twice(..) => (self.len(), 1),
        };
        if basis.d() != self.length || members < from.max(2 * self.sketched_at) {
            return;
        }
        self.sketched_at = members;
        let sketch = match self.rules.sketching {
            Sketching::First(count) => Sketch::shadow(basis, count, count),
            Sketching::Twice(count, deeper) => Sketch::shadow(basis, count, deeper),
            _ => {
                let sample: Vec<_> = self.sample(Sketch::sample(members)).collect();
                let sample: Vec<&[f32]> = sample.iter().map(|values| &**values).collect();
                Sketch::choose(basis, &sample, self.rules.storage, members, self.rules.full)
            }
        };
        if !sketch.is(&self.sketch) {
            self.sketch = sketch;
            let reach = self.part.sketch_again(self.length, &self.rules, &self.sketch);
            self.reach_to(reach);
        }
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// At most `count` members' vectors, evenly over all.
    pub(super) fn sample(&self, count: usize) -> impl Iterator<Item = Cow<'_, [f32]>> {
        let step = self.len().div_ceil(count.max(1)).max(1);
        self.part.bodies.iter().step_by(step).map(|body| body.vector.values())
    }

    /// Takes a member out; the last one takes its place.
    fn take(&mut self, at: usize) -> Member {
        let member = self.part.swap_remove(at);
        self.places.remove(&member.head.id);
        self.rows -= usize::from(member.head.row != Role::Not);
        if let Some(moved) = self.part.heads.get(at) {
            self.places.insert(moved.id, at);
        }
        member
    }
}
