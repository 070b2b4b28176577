//! Brings the lists of a cell up to date with what is new: the product proposes, canonical scores decide.

use std::ops::Range;

use super::super::node::Neighbour;
use super::super::product::{Batch, Hit, Kernel, Late};
use super::super::score::score;
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
    batch: Batch,
    /// Of each late one that is a new query.
    drafts: Vec<Option<Draft>>,
}

impl CellIndex {
    /// Offers every pair with a new member to both sides. Returns how many pairs there were.
    pub(super) fn offer_all(&mut self, news: &News, before: &mut Before) -> u64 {
        let mut scored = 0;
        for part in 0..self.parts.len() {
            let other = self.share.meets(part);
            let first = if news.all { 0 } else { news.old[part] };
            let members = self.parts[part].members.len();
            for from in (first..members).step_by(Batch::size(self.length)) {
                let lates = from..members.min(from + Batch::size(self.length));
                let mut meeting = Meeting {
                    lates: lates.clone(),
                    part,
                    other,
                    batch: Batch::new(self.length, Kernel::best()),
                    drafts: Vec::new(),
                };
                for at in lates {
                    let member = &self.parts[part].members[at];
                    let rows = news.meets((part, at), member.query == Role::Known, other);
                    let floor = self.parts[part].floors[at];
                    meeting.batch.push(&member.node.vector, Late { rows, floor });
                    let draft = || Draft::new(2 * self.rules.k, floor, self.error);
                    meeting.drafts.push((member.query == Role::New).then(draft));
                    scored += rows as u64;
                }
                self.meet(meeting, before);
            }
        }
        scored
    }

    fn meet(&mut self, mut meeting: Meeting, before: &mut Before) {
        let mut hits = Vec::new();
        for panel in 0..meeting.batch.panels() {
            let Part { panels, floors, .. } = &self.parts[meeting.other];
            meeting.batch.propose(panels, panel, floors, &mut hits);
            for hit in hits.drain(..) {
                self.propose(hit, &mut meeting, before);
            }
        }
        for (at, draft) in meeting.lates.zip(meeting.drafts) {
            let slot = (meeting.part, at);
            for row in draft.into_iter().flat_map(Draft::places) {
                self.offer(slot, (meeting.other, row), before);
            }
            self.parts[meeting.part].set_floor(at, self.rules.k, self.error);
        }
    }

    /// A pair that may change a list of either side.
    fn propose(&mut self, hit: Hit, meeting: &mut Meeting, before: &mut Before) {
        let Hit { late, row, fast } = hit;
        let (new, old) = ((meeting.part, meeting.lates.start + late), (meeting.other, row));
        let (a, b) = (self.member(new), self.member(old));
        if !self.rules.eligible((a.id, a.pts_ns), (b.id, b.pts_ns)) {
            return;
        }
        let (to_new, to_old) = (a.wants(b), b.wants(a));
        if to_new {
            self.offer_fast(new, Some(late), (old, fast), meeting, before);
        }
        if to_old {
            let together = meeting.part == meeting.other && meeting.lates.contains(&row);
            let late = together.then(|| row - meeting.lates.start);
            self.offer_fast(old, late, (new, fast), meeting, before);
        }
    }

    /// Offers a row with its fast score to a query, which is `late` in the meeting if it is one of the new.
    fn offer_fast(
        &mut self,
        query: Slot,
        late: Option<usize>,
        (row, fast): (Slot, f32),
        meeting: &mut Meeting,
        before: &mut Before,
    ) {
        let floor = &mut self.parts[query.0].floors[query.1];
        if fast < *floor {
            return;
        }
        match late.and_then(|late| meeting.drafts[late].as_mut()) {
            Some(draft) => {
                draft.push(fast, row.1 as u32);
                *floor = draft.floor();
            }
            None => self.offer(query, row, before),
        }
        if let Some(late) = late {
            meeting.batch.lates()[late].floor = self.parts[query.0].floors[query.1];
        }
    }

    /// Offers a row to a query by canonical score.
    fn offer(&mut self, query: Slot, row: Slot, before: &mut Before) {
        let (to, from) = (self.member(query), self.member(row));
        let score = score(&to.node.vector, &from.node.vector);
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
