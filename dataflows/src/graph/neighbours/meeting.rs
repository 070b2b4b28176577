//! New members of a cell meet others: the product proposes, canonical scores decide. Nothing of the cell changes meanwhile, so that several
//! meetings may go on at a time.

use std::borrow::Cow;
use std::ops::Range;
use std::slice;

use super::super::node::Neighbour;
use super::super::product::bound::{at_least, lowered};
use super::super::product::{Deeper, Hit, Lates};
use super::super::score::{Score, near};
use super::super::vector::Vector;
use super::draft::Draft;
use super::part::{Body, Head};
use super::rules::Rules;

/// What holds for a meeting.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) rules: &'a Rules,
    /// Whether the product sees whole vectors.
    pub(super) whole: bool,
    /// How far a fast score can be below the canonical one; with whole vectors, above it too.
    pub(super) error: f32,
    /// How far what a second look gives can be below the canonical score, or above it.
    pub(super) second_error: f64,
    /// The members.
    pub(super) heads: &'a [Head],
    pub(super) bodies: &'a [Body],
    pub(super) deeper: Option<&'a Deeper>,
}

/// New members that meet others together.
pub(super) struct Meeting {
    pub(super) lates: Range<usize>,
    /// The first member they meet.
    pub(super) first: usize,
    pub(super) batch: Lates,
    /// Of each late one that is a new query.
    pub(super) drafts: Vec<Option<Draft>>,
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
struct Ahead {
    bodies: usize,
    vectors: usize,
}

impl Ahead {
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

/// A meeting that goes on.
struct Now<'g, 'f> {
    ground: &'g Ground<'g>,
    meeting: Meeting,
    /// For each row the floor of its list, lowered by the error. Changed only where rows are late themselves.
    floors: Cow<'f, [f32]>,
    /// What is to be offered to members.
    offers: Vec<Offer>,
}

impl Ground<'_> {
    /// Has the late ones of `meeting` meet the rows that `propose` goes through: it is given the batch, where to go on, the rows'
    /// floors and room for hits, and returns where to go on next.
    pub(super) fn meet<'f>(
        &self,
        meeting: Meeting,
        floors: Cow<'f, [f32]>,
        propose: impl Fn(&mut Lates, usize, &[f32], &mut Vec<Hit>) -> Option<usize>,
    ) -> (Vec<Offer>, Cow<'f, [f32]>) {
        let (mut hits, mut from, mut met) = (Vec::new(), Some(meeting.first), 0);
        let first = meeting.first;
        let mut now = Now { ground: self, meeting, floors, offers: Vec::new() };
        while let Some(at) = from {
            from = propose(&mut now.meeting.batch, at, &now.floors, &mut hits);
            // A panel may begin with rows that are not to be met.
            hits.retain(|hit| hit.row >= first);
            now.look_again(&mut hits);
            hits.sort_unstable_by(|a, b| a.late.cmp(&b.late).then(b.fast.total_cmp(&a.fast)));
            let (mut ahead, mut at) = (Ahead::default(), 0);
            for of_late in hits.chunk_by(|a, b| a.late == b.late) {
                now.score(&hits, at..at + of_late.len(), &mut ahead);
                at += of_late.len();
            }
            hits.clear();
            // At the end; and where scores raise floors much more than what is known without them, each time that twice as many rows
            // were met.
            let rows = from.map_or(usize::MAX, |next| next - first);
            if from.is_none() || (!self.whole && rows >= 2 * met) {
                met = rows;
                now.score_all_waiting();
            }
        }
        now.offer_drafts();
        (now.offers, now.floors)
    }

    /// Whether a row is to be offered to a query.
    fn wants(&self, query: &Head, row: &Head) -> bool {
        query.wants(row) && self.rules.eligible((query.id, query.pts_ns), (row.id, row.pts_ns))
    }

    /// Whether rows wait for drafts: where nothing is known of what they score at least, they would wait in vain.
    fn waits(&self) -> bool {
        self.whole || self.deeper.is_some()
    }
}

impl Now<'_, '_> {
    /// The place among the late ones of a row that is one of them.
    fn late_of(&self, row: usize) -> Option<usize> {
        self.meeting.lates.contains(&row).then(|| row - self.meeting.lates.start)
    }

    /// Whether a hit reaches the floor of its late one, and that of its row.
    fn reached(&mut self, hit: &Hit) -> (bool, bool) {
        let reaches = |floor: f32| hit.fast >= floor || hit.fast.is_nan();
        (reaches(self.meeting.batch.limits()[hit.late].floor), reaches(self.floors[hit.row]))
    }

    /// Sharpens the fast scores of hits, where that can be done, and keeps the hits that are to be scored now: rows for drafts wait.
    fn look_again(&mut self, hits: &mut Vec<Hit>) {
        let Ground { whole, error, second_error, heads, deeper, .. } = *self.ground;
        match deeper {
            _ if whole => {
                hits.retain(|hit| {
                    let reaches = self.reached(hit) != (false, false);
                    if reaches {
                        near(slice::from_ref(&heads[hit.row]));
                    }
                    reaches
                });
                hits.retain(|hit| {
                    let reached = self.reached(hit);
                    reached != (false, false) && self.wait(hit, reached, at_least(hit.fast, error))
                });
            }
            Some(deeper) => {
                // Floors are lowered by the error of fast scores, so fast scores are.
                let errors = (second_error, second_error - f64::from(error));
                let mut least = Vec::with_capacity(hits.len());
                deeper.sharpen(self.meeting.lates.start, errors, hits, &mut least);
                let mut least = least.into_iter();
                hits.retain(|hit| {
                    let least = least.next().unwrap_or(f32::NEG_INFINITY);
                    let reached = self.reached(hit);
                    reached != (false, false) && self.wait(hit, reached, least)
                });
            }
            None => {}
        }
    }

    /// Has the rows of a hit wait for the drafts that there are. Says whether one has none, and the pair is to be scored now.
    fn wait(&mut self, hit: &Hit, (to_late, to_row): (bool, bool), least: f32) -> bool {
        let ground = self.ground;
        let new = self.meeting.lates.start + hit.late;
        let (late, row) = (&ground.heads[new], &ground.heads[hit.row]);
        let of_row = self.late_of(hit.row);
        let mut now = false;
        for (reached, late, query, row, place) in
            [(to_late, Some(hit.late), late, row, hit.row), (to_row, of_row, row, late, new)]
        {
            if !reached {
                continue;
            }
            let draft = late.and_then(|late| Some((late, self.meeting.drafts[late].as_mut()?)));
            let Some((late, draft)) = draft else {
                now = true;
                continue;
            };
            draft.wait(hit.fast, place as u32, |floor| lowered(floor, ground.error));
            if least > draft.floor() && ground.wants(query, row) {
                draft.promise(least);
                self.raise(late);
            }
        }
        now
    }

    /// Brings the floor of a late one up to its draft's.
    fn raise(&mut self, late: usize) {
        let Some(draft) = &self.meeting.drafts[late] else { return };
        let floor = lowered(draft.floor(), self.ground.error);
        self.meeting.batch.limits()[late].floor = floor;
        let place = self.meeting.lates.start + late;
        if let Cow::Owned(floors) = &mut self.floors {
            floors[place] = floor;
        }
    }

    /// Scores what waits for the drafts, which raises their floors for the rows to come.
    fn score_all_waiting(&mut self) {
        let (mut waiting, mut ends) = (Vec::new(), Vec::new());
        for draft in &mut self.meeting.drafts {
            if let Some(draft) = draft {
                draft.waiting(|floor| lowered(floor, self.ground.error), &mut waiting);
            }
            ends.push(waiting.len());
        }
        let (mut ahead, mut at) = (Ahead::default(), 0);
        for (late, end) in ends.into_iter().enumerate() {
            if at < end
                && let Some(draft) = &mut self.meeting.drafts[late]
            {
                let new = self.meeting.lates.start + late;
                self.ground.score_waiting(new, draft, &waiting, at..end, &mut ahead);
                self.raise(late);
            }
            at = end;
        }
    }

    /// Offers what the drafts came to.
    fn offer_drafts(&mut self) {
        for (draft, to) in self.meeting.drafts.drain(..).zip(self.meeting.lates.clone()) {
            for (score, row) in draft.into_iter().flat_map(Draft::best) {
                let entry = Neighbour { score: Score(score), node: self.ground.heads[row].id };
                self.offers.push(Offer { to: to as u32, entry });
            }
        }
    }

    /// Scores the pairs of one new member, those of `hits` in `own`, that may change a list of either side, best first by fast score.
    fn score(&mut self, hits: &[Hit], own: Range<usize>, ahead: &mut Ahead) {
        let Some(late) = hits.get(own.start).map(|hit| hit.late) else { return };
        let (ground, waits, new) = (self.ground, self.ground.waits(), self.meeting.lates.start + late);
        let (head, vector) = (&ground.heads[new], &ground.bodies[new].vector);
        // Decoded once.
        let values = vector.values();
        let mut of_late = own;
        loop {
            ahead.near(ground.bodies, hits, of_late.start, |hit| hit.row);
            let (mut rows, mut count) = ([(0, false, false); FOUR], 0);
            while count < FOUR
                && let Some(at) = of_late.next()
            {
                let hit = &hits[at];
                let row = &ground.heads[hit.row];
                let (to_late, to_row) = self.reached(hit);
                // What waits for a draft is not scored now.
                let drafted = |late: Option<usize>| late.is_some_and(|at| self.meeting.drafts[at].is_some());
                let (late_waits, row_waits) =
                    (waits && drafted(Some(late)), waits && drafted(self.late_of(hit.row)));
                let to_late = to_late && !late_waits && ground.wants(head, row);
                let to_row = to_row && !row_waits && ground.wants(row, head);
                if to_late || to_row {
                    rows[count] = (hit.row, to_late, to_row);
                    count += 1;
                }
            }
            let rows = &rows[..count];
            let scores = ground.scores(&values, vector, rows.iter().map(|(row, ..)| *row));
            for ((row, to_late, to_row), score) in rows.iter().zip(scores) {
                let (row, of_row) = (*row, self.late_of(*row));
                let sides = [(*to_late, Some(late), row, true), (*to_row, of_row, new, false)];
                for (_, late, place, to_late) in sides.into_iter().filter(|(wanted, ..)| *wanted) {
                    let draft = late.and_then(|late| Some((late, self.meeting.drafts[late].as_mut()?)));
                    match draft {
                        Some((late, draft)) => {
                            draft.push(score, place as u32);
                            self.raise(late);
                        }
                        None => {
                            let (to, from) = if to_late { (new, &ground.heads[row]) } else { (row, head) };
                            let entry = Neighbour { score: Score(score), node: from.id };
                            self.offers.push(Offer { to: to as u32, entry });
                        }
                    }
                }
            }
            if count < FOUR {
                return;
            }
        }
    }
}

impl Ground<'_> {
    /// Scores the rows that wait for a new query, those of `waiting` in `own`, as long as they may be among its best.
    fn score_waiting(
        &self,
        new: usize,
        draft: &mut Draft,
        waiting: &[(f32, u32)],
        own: Range<usize>,
        ahead: &mut Ahead,
    ) {
        let (head, vector) = (&self.heads[new], &self.bodies[new].vector);
        let values = vector.values();
        let mut of_draft = own;
        loop {
            ahead.near(self.bodies, waiting, of_draft.start, |(_, row)| *row as usize);
            let (mut rows, mut count) = ([0; FOUR], 0);
            while count < FOUR
                && let Some((most, row)) = of_draft.next().map(|at| &waiting[at])
            {
                if *most < lowered(draft.floor(), self.error) {
                    // Nor do those after it.
                    of_draft = 0..0;
                } else if self.wants(head, &self.heads[*row as usize]) {
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

    /// The canonical scores of at most four rows with `vector`, whose values are `values`.
    fn scores(&self, values: &[f32], vector: &Vector, rows: impl Iterator<Item = usize>) -> [f32; FOUR] {
        let (mut vectors, mut count) = ([vector; FOUR], 0);
        for (at, row) in vectors.iter_mut().zip(rows) {
            *at = &self.bodies[row].vector;
            count += 1;
        }
        let mut scores = [0.0; FOUR];
        Vector::scores(values, &vectors[..count], &mut scores[..count]);
        scores
    }
}
