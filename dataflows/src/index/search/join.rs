//! New members of a cell meet others: the proposer proposes, canonical scores decide. Nothing of the cell changes meanwhile, so that several
//! joins may go on at a time.

use std::borrow::Cow;
use std::ops::Range;
use std::slice;

use super::members::{Body, Head, Members, Role};
use super::rules::Rules;
use super::top_k::Draft;
use crate::index::kernels::score::{Score, near};
use crate::index::kernels::vector::Vector;
use crate::index::kernels::{Candidate, Limits, Queries};
use crate::index::node::Neighbour;

/// Says what holds for all joins of a cell.
#[derive(Clone, Copy)]
pub(super) struct JoinContext<'a> {
    pub(super) rules: &'a Rules,
    pub(super) members: &'a Members,
}

/// New members that meet others together.
pub(super) struct ActiveJoin<'a> {
    context: JoinContext<'a>,
    /// Their places.
    new: Range<usize>,
    /// The first member they meet.
    first: usize,
    queries: Queries,
    /// Of each that is a new query.
    drafts: Vec<Option<Draft>>,
    /// The thresholds of the members that are met. Changed only where these are queries themselves.
    thresholds: Cow<'a, [f32]>,
    offers: Vec<Offer>,
}

/// An entry for the list of the member at a place.
pub(super) struct Offer {
    pub(super) to: u32,
    pub(super) entry: Neighbour,
}

/// Rows scored with one new member at a time: four take little longer than one.
const FOUR: usize = 4;

/// How far rows that are to be scored have been asked for.
#[derive(Default)]
struct Prefetch {
    bodies: usize,
    vectors: usize,
}

impl Prefetch {
    /// Asks for those after place `at` of `rows` to be brought near: vectors when some are to be scored before them, bodies, which say where
    /// the vectors are, when more are.
    fn near<T>(&mut self, bodies: &[Body], rows: &[T], at: usize, row: impl Fn(&T) -> usize) {
        let from = |asked: usize, ahead: usize| asked.max(at)..rows.len().min(at + ahead);
        for place in from(self.bodies, 4 * FOUR) {
            near(slice::from_ref(&bodies[row(&rows[place])]));
        }
        for place in from(self.vectors, 2 * FOUR) {
            bodies[row(&rows[place])].vector.near();
        }
        (self.bodies, self.vectors) = (at + 4 * FOUR, at + 2 * FOUR);
    }
}

impl<'a> JoinContext<'a> {
    /// Has the members at the places `new` meet those from place `first` on, each those before the one that `rows` says.
    pub(super) fn join(
        self,
        new: Range<usize>,
        first: usize,
        rows: impl Fn(usize) -> usize,
        thresholds: Cow<'a, [f32]>,
    ) -> ActiveJoin<'a> {
        let Members { heads, bodies, proposer, .. } = self.members;
        let limits = |at: usize| (at, Limits { rows: rows(at), threshold: thresholds[at] });
        let draft = |at: usize| {
            let is_new = heads[at].query == Role::New;
            is_new.then(|| Draft::new(self.rules.full, bodies[at].kth_score(&heads[at], self.rules.k)))
        };
        let drafts = new.clone().map(draft).collect();
        let queries = proposer.queries(&new.clone().map(limits).collect::<Vec<_>>());
        ActiveJoin { context: self, new, first, queries, drafts, thresholds, offers: Vec::new() }
    }

    /// Returns true when a row is to be offered to a query.
    fn wants(&self, query: &Head, row: &Head) -> bool {
        query.wants(row) && self.rules.eligible((query.id, query.pts_ns), (row.id, row.pts_ns))
    }

    /// The canonical scores of at most four rows with `vector`, whose values are `values`.
    fn scores(&self, values: &[f32], vector: &Vector, rows: impl Iterator<Item = usize>) -> [f32; FOUR] {
        let (mut vectors, mut count) = ([vector; FOUR], 0);
        for (at, row) in vectors.iter_mut().zip(rows) {
            *at = &self.members.bodies[row].vector;
            count += 1;
        }
        let mut scores = [0.0; FOUR];
        Vector::scores(values, &vectors[..count], &mut scores[..count]);
        scores
    }

    /// Scores the rows that wait for a new query, those of `waiting` in `own`, as long as they may be among its best.
    fn score_waiting(
        &self,
        new: usize,
        draft: &mut Draft,
        waiting: &[(f32, u32)],
        own: Range<usize>,
        prefetch: &mut Prefetch,
    ) {
        let Members { heads, bodies, proposer, .. } = self.members;
        let (head, vector) = (&heads[new], &bodies[new].vector);
        let values = vector.values();
        let mut of_draft = own;
        loop {
            prefetch.near(bodies, waiting, of_draft.start, |(_, row)| *row as usize);
            let (mut rows, mut count) = ([0; FOUR], 0);
            while count < FOUR
                && let Some((most, row)) = of_draft.next().map(|at| &waiting[at])
            {
                if *most < proposer.threshold(draft.kth_score()) {
                    // Nor do those after it.
                    of_draft = 0..0;
                } else if self.wants(head, &heads[*row as usize]) {
                    rows[count] = *row;
                    count += 1;
                }
            }
            let rows = &rows[..count];
            let scores = self.scores(&values, vector, rows.iter().map(|row| *row as usize));
            rows.iter().zip(scores).for_each(|(row, score)| draft.push(score, *row));
            if count < FOUR {
                return;
            }
        }
    }
}

impl<'a> ActiveJoin<'a> {
    /// Goes through with it: what is to be offered to members, and the thresholds.
    pub(super) fn run(mut self) -> (Vec<Offer>, Cow<'a, [f32]>) {
        let (mut candidates, mut from, mut met) = (Vec::new(), Some(self.first), 0);
        let (proposer, first) = (&self.context.members.proposer, self.first);
        while let Some(at) = from {
            from = proposer.propose(&mut self.queries, at, &self.thresholds, &mut candidates);
            // A panel may begin with rows that are not to be met.
            candidates.retain(|pair| pair.row >= first);
            self.rerank(&mut candidates);
            candidates.sort_unstable_by(|a, b| a.query.cmp(&b.query).then(b.most.total_cmp(&a.most)));
            let (mut prefetch, mut at) = (Prefetch::default(), 0);
            for of_query in candidates.chunk_by(|a, b| a.query == b.query) {
                self.score(&candidates, at..at + of_query.len(), &mut prefetch);
                at += of_query.len();
            }
            candidates.clear();
            // At the end; and where scores raise thresholds much more than what is known without them, each time that twice as many rows
            // were met.
            let rows = from.map_or(usize::MAX, |next| next - first);
            if from.is_none() || (!proposer.is_tight() && rows >= 2 * met) {
                met = rows;
                self.score_all_waiting();
            }
        }
        self.offer_drafts();
        (self.offers, self.thresholds)
    }

    /// The place among the queries of a row that is one of them.
    fn query_of(&self, row: usize) -> Option<usize> {
        self.new.contains(&row).then(|| row - self.new.start)
    }

    /// Returns, for a pair, whether it reaches the threshold of its query, and that of its row.
    fn reached(&self, pair: &Candidate) -> (bool, bool) {
        let reaches = |threshold: f32| pair.most >= threshold || pair.most.is_nan();
        (reaches(self.queries.limits()[pair.query].threshold), reaches(self.thresholds[pair.row]))
    }

    /// Narrows the bounds of candidates, and keeps those that are to be scored now: rows for drafts wait.
    fn rerank(&mut self, candidates: &mut Vec<Candidate>) {
        let Members { heads, proposer, .. } = self.context.members;
        if proposer.is_tight() {
            // Many reached thresholds that have risen since.
            candidates.retain(|pair| {
                let reaches = self.reached(pair) != (false, false);
                if reaches {
                    near(slice::from_ref(&heads[pair.row]));
                }
                reaches
            });
        }
        proposer.rerank(self.new.start, candidates);
        candidates.retain(|pair| {
            let reached = self.reached(pair);
            reached != (false, false) && self.wait(pair, reached)
        });
    }

    /// Has the rows of a pair wait for the drafts that there are. Says whether one has none, and the pair is to be scored now.
    fn wait(&mut self, pair: &Candidate, reached: (bool, bool)) -> bool {
        let JoinContext { members: Members { heads, proposer, .. }, .. } = self.context;
        let new = self.new.start + pair.query;
        let (query, row) = (&heads[new], &heads[pair.row]);
        let mut now = false;
        for (reached, at, head, other, place) in [
            (reached.0, Some(pair.query), query, row, pair.row),
            (reached.1, self.query_of(pair.row), row, query, new),
        ] {
            if !reached {
                continue;
            }
            let draft = at.and_then(|at| Some((at, self.drafts[at].as_mut()?)));
            let Some((at, draft)) = draft else {
                now = true;
                continue;
            };
            draft.wait(pair.most, place as u32, |score| proposer.threshold(score));
            if pair.least > draft.kth_score() && self.context.wants(head, other) {
                draft.promise(pair.least);
                self.raise(at);
            }
        }
        now
    }

    /// Brings the threshold of a query up to its draft's.
    fn raise(&mut self, query: usize) {
        let Some(draft) = &self.drafts[query] else { return };
        let threshold = self.context.members.proposer.threshold(draft.kth_score());
        self.queries.raise(query, threshold);
        if let Cow::Owned(thresholds) = &mut self.thresholds {
            thresholds[self.new.start + query] = threshold;
        }
    }

    /// Scores what waits for the drafts, which raises their thresholds for the rows to come.
    fn score_all_waiting(&mut self) {
        let proposer = &self.context.members.proposer;
        let (mut waiting, mut ends) = (Vec::new(), Vec::new());
        for draft in &mut self.drafts {
            if let Some(draft) = draft {
                draft.waiting(|score| proposer.threshold(score), &mut waiting);
            }
            ends.push(waiting.len());
        }
        let (mut prefetch, mut at) = (Prefetch::default(), 0);
        for (query, end) in ends.into_iter().enumerate() {
            if at < end
                && let Some(draft) = &mut self.drafts[query]
            {
                let new = self.new.start + query;
                self.context.score_waiting(new, draft, &waiting, at..end, &mut prefetch);
                self.raise(query);
            }
            at = end;
        }
    }

    /// Offers what the drafts came to.
    fn offer_drafts(&mut self) {
        let heads = &self.context.members.heads;
        for (draft, to) in self.drafts.drain(..).zip(self.new.clone()) {
            for (score, row) in draft.into_iter().flat_map(Draft::best) {
                let entry = Neighbour { score: Score(score), node: heads[row].id };
                self.offers.push(Offer { to: to as u32, entry });
            }
        }
    }

    /// Scores the pairs of one new member, those of `candidates` in `own`, that may change a list of either side, best first by fast score.
    fn score(&mut self, candidates: &[Candidate], own: Range<usize>, prefetch: &mut Prefetch) {
        let Some(query) = candidates.get(own.start).map(|pair| pair.query) else { return };
        let (context, new) = (self.context, self.new.start + query);
        let Members { heads, bodies, .. } = context.members;
        let (head, vector) = (&heads[new], &bodies[new].vector);
        // Decoded once.
        let values = vector.values();
        let mut of_query = own;
        loop {
            prefetch.near(bodies, candidates, of_query.start, |pair| pair.row);
            let (mut rows, mut count) = ([(0, false, false); FOUR], 0);
            while count < FOUR
                && let Some(at) = of_query.next()
            {
                let pair = &candidates[at];
                let row = &heads[pair.row];
                let (to_query, to_row) = self.reached(pair);
                // What waits for a draft is not scored now.
                let waits = |at: Option<usize>| at.is_some_and(|at| self.drafts[at].is_some());
                let to_query = to_query && !waits(Some(query)) && context.wants(head, row);
                let to_row = to_row && !waits(self.query_of(pair.row)) && context.wants(row, head);
                if to_query || to_row {
                    rows[count] = (pair.row, to_query, to_row);
                    count += 1;
                }
            }
            let rows = &rows[..count];
            let scores = context.scores(&values, vector, rows.iter().map(|(row, ..)| *row));
            for ((row, to_query, to_row), score) in rows.iter().zip(scores) {
                let (row, score) = (*row, Score(score));
                if *to_query {
                    let entry = Neighbour { score, node: heads[row].id };
                    self.offers.push(Offer { to: new as u32, entry });
                }
                if *to_row {
                    let entry = Neighbour { score, node: head.id };
                    self.offers.push(Offer { to: row as u32, entry });
                }
            }
            if count < FOUR {
                return;
            }
        }
    }
}
