//! Brings the lists of a cell up to date with what is new: the product proposes, canonical scores decide.

use std::ops::Range;

use super::super::node::Neighbour;
use super::super::product::bound::lowered;
use super::super::product::{Hit, Late, Lates};
use super::super::score::Score;
use super::super::vector::Vector;
use super::cell_index::{Before, CellIndex};
use super::draft::Draft;
use super::part::{Part, Role};

/// A member: its part, and its place there.
pub(super) type Slot = (usize, usize);

/// What is new in a cell.
pub(super) struct News {
    /// For each part how many members are not new. They come first.
    pub(super) old: Vec<usize>,
    /// For each part its new members' places in the order of arrival over all parts, ascending.
    pub(super) arrived: Vec<Vec<usize>>,
    /// Whether pairs of old members are to be scored too.
    pub(super) all: bool,
}

impl News {
    /// How many members at the beginning of part `other` the one at `slot` is to meet, so that each pair meets once.
    fn meets(&self, slot: Slot, known: bool, other: usize) -> usize {
        let (part, at) = slot;
        match at.checked_sub(self.old[part]) {
            None if other == part => at,
            None if other < part => self.old[other],
            None => 0,
            // No row of this epoch is offered to it, and those that want it meet it themselves: they arrive later.
            Some(_) if known => self.old[other],
            Some(new) => {
                let arrived = self.arrived[part][new];
                self.old[other] + self.arrived[other].partition_point(|other| *other < arrived)
            }
        }
    }
}

/// New members of one part that meet the members of another (or the same) together.
struct Meeting {
    lates: Range<usize>,
    part: usize,
    other: usize,
    batch: Lates,
    /// Of each late one that is a new query.
    drafts: Vec<Option<Draft>>,
}

/// Rows scored with one new member at a time.
const FOUR: usize = 4;

impl CellIndex {
    /// Offers every pair with a new member to both sides. Returns how many pairs there were.
    pub(super) fn offer_all(&mut self, news: &News, before: &mut Before) -> u64 {
        let mut scored = 0;
        let k = self.rules.k;
        for part in 0..self.parts.len() {
            let other = self.share.meets(part);
            let first = if news.all { 0 } else { news.old[part] };
            let members = self.parts[part].members.len();
            let together = self.parts[part].rows.together();
            for from in (first..members).step_by(together) {
                let lates = from..members.min(from + together);
                let (mut limits, mut drafts) = (Vec::new(), Vec::new());
                for at in lates.clone() {
                    let Part { members, floors, .. } = &self.parts[part];
                    let member = &members[at];
                    let rows = news.meets((part, at), member.query == Role::Known, other);
                    limits.push(Late { rows, floor: floors[at] });
                    let draft = || Draft::new(2 * k, member.floor(k));
                    drafts.push((member.query == Role::New).then(draft));
                    scored += rows as u64;
                }
                let batch = self.parts[part].rows.lates(lates.clone(), limits);
                self.meet(Meeting { lates, part, other, batch, drafts }, before);
            }
        }
        scored
    }

    fn meet(&mut self, mut meeting: Meeting, before: &mut Before) {
        let (mut hits, mut from) = (Vec::new(), Some(0));
        while let Some(first) = from {
            let Part { rows, floors, .. } = &mut self.parts[meeting.other];
            from = meeting.batch.propose(rows, first, floors, &mut hits);
            hits.sort_unstable_by(|a, b| a.late.cmp(&b.late).then(b.fast.total_cmp(&a.fast)));
            for of_late in hits.chunk_by(|a, b| a.late == b.late) {
                self.propose(of_late, &mut meeting, before);
            }
            hits.clear();
        }
        for (at, draft) in meeting.lates.zip(meeting.drafts) {
            for (score, row) in draft.into_iter().flat_map(Draft::best) {
                self.offer((meeting.part, at), (meeting.other, row), Score(score), before);
            }
            self.parts[meeting.part].set_floor(at, self.rules.k, self.error);
        }
    }

    /// Pairs of one new member that may change a list of either side, best first by fast score.
    fn propose(&mut self, hits: &[Hit], meeting: &mut Meeting, before: &mut Before) {
        let Some(late) = hits.first().map(|hit| hit.late) else { return };
        let new = (meeting.part, meeting.lates.start + late);
        // Decoded once, and not borrowed from the cell.
        let vector = self.member(new).vector.clone();
        let values = vector.values();
        let mut hits = hits.iter();
        loop {
            // Four at a time take little longer than one.
            let (mut rows, mut count) = ([(0, false, false); FOUR], 0);
            while count < FOUR
                && let Some(hit) = hits.next()
            {
                let (to_new, to_old) = self.wanted(hit, new, meeting);
                if to_new || to_old {
                    rows[count] = (hit.row, to_new, to_old);
                    count += 1;
                }
            }
            let rows = &rows[..count];
            let mut vectors = [&vector; FOUR];
            for (vector, (row, ..)) in vectors.iter_mut().zip(rows) {
                *vector = &self.member((meeting.other, *row)).vector;
            }
            let mut scores = [0.0; FOUR];
            Vector::scores(&values, &vectors[..count], &mut scores[..count]);
            for ((row, to_new, to_old), score) in rows.iter().zip(scores) {
                if *to_new {
                    let row = (meeting.other, *row);
                    self.offer_or_draft(new, Some(late), (row, Score(score)), meeting, before);
                }
                if *to_old {
                    let together = meeting.part == meeting.other && meeting.lates.contains(row);
                    let late = together.then(|| row - meeting.lates.start);
                    self.offer_or_draft((meeting.other, *row), late, (new, Score(score)), meeting, before);
                }
            }
            if count < FOUR {
                return;
            }
        }
    }

    /// Whether the new one of a pair is to be offered the row, and whether the row's own list is to be offered the new one.
    fn wanted(&self, hit: &Hit, new: Slot, meeting: &Meeting) -> (bool, bool) {
        let old = (meeting.other, hit.row);
        let reaches = |(part, at): Slot| {
            let floor = self.parts[part].floors[at];
            hit.fast >= floor || hit.fast.is_nan()
        };
        let (to_new, to_old) = (reaches(new), reaches(old));
        if !(to_new || to_old) {
            return (false, false);
        }
        let (a, b) = (self.member(new), self.member(old));
        let eligible = self.rules.eligible((a.id, a.pts_ns), (b.id, b.pts_ns));
        (eligible && to_new && a.wants(b), eligible && to_old && b.wants(a))
    }

    /// Offers a row to a query by its canonical score: through its draft if it is one of the new and has one, `late` in the meeting.
    fn offer_or_draft(
        &mut self,
        query: Slot,
        late: Option<usize>,
        (row, score): (Slot, Score),
        meeting: &mut Meeting,
        before: &mut Before,
    ) {
        match late.and_then(|late| meeting.drafts[late].as_mut()) {
            Some(draft) => {
                draft.push(score.0, row.1 as u32);
                self.parts[query.0].floors[query.1] = lowered(draft.floor(), self.error);
            }
            None => self.offer(query, row, score, before),
        }
        if let Some(late) = late {
            meeting.batch.limits()[late].floor = self.parts[query.0].floors[query.1];
        }
    }

    /// Offers a row to a query by its canonical score.
    fn offer(&mut self, query: Slot, row: Slot, score: Score, before: &mut Before) {
        let (to, from) = (self.member(query), self.member(row));
        if score.0 < to.floor(self.rules.k) {
            return;
        }
        let (id, neighbour) = (to.id, Neighbour { score, node: from.id });
        if to.best.changes(&neighbour, self.rules.k) {
            self.remember(id, before);
        }
        let part = &mut self.parts[query.0];
        part.members[query.1].best.offer(neighbour, self.rules.k);
        part.set_floor(query.1, self.rules.k, self.error);
    }
}
