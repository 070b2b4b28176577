//! Brings the lists of a cell up to date with what is new: each pair with a new member meets once and serves both.

use std::borrow::Cow;
use std::ops::Range;
use std::{slice, thread};

use super::super::product::Late;
use super::super::product::bound::lowered;
use super::super::score::near;
use super::before::Offered;
use super::cell_index::CellIndex;
use super::draft::Draft;
use super::meeting::{Ground, Meeting, Met, Offer, Side};
use super::part::{Body, Head, Part, Role};
use super::rules::Rules;

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

/// Products of values that are worth a thread of their own. In tests almost any are.
const WORTH_A_THREAD: usize = if cfg!(test) { 64 } else { 1 << 24 };

/// Offers that are worth a thread of their own. In tests any two are.
const OFFERS_WORTH_A_THREAD: usize = if cfg!(test) { 2 } else { 1 << 12 };

/// Offers that are looked at to deal them out evenly.
const OFFERS_LOOKED_AT: usize = 1 << 10;

/// Offers that are carried out before the list of a later one is asked for, and again as many before its member is.
const AHEAD: usize = 4;

impl CellIndex {
    /// Offers every pair with a new member to both sides. Returns how many pairs there were; the lists before go to `before`, but for
    /// those that are remembered already.
    pub(super) fn offer_all(&mut self, news: &News, before: &mut Vec<Offered>) -> u64 {
        let mut scored = 0;
        for part in 0..self.parts.len() {
            let other = self.share.meets(part);
            let members = self.parts[part].len();
            if news.all {
                scored += self.meet_in_turn((part, 0..members), (other, 0), news, before);
            } else {
                let new = news.old[part]..members;
                scored += self.meet_old((part, new.clone()), (other, news.old[other]), before);
                scored += self.meet_in_turn((part, new), (other, news.old[other]), news, before);
            }
        }
        scored
    }

    /// New members meet the first `old` of part `other`, on several threads if it is worth it.
    fn meet_old(
        &mut self,
        (part, new): (usize, Range<usize>),
        (other, old): (usize, usize),
        before: &mut Vec<Offered>,
    ) -> u64 {
        if new.is_empty() || old == 0 {
            return 0;
        }
        let values = self.sketch.values(self.length);
        let worth = (new.len() * old * values).div_ceil(WORTH_A_THREAD);
        let threads = self.rules.threads.min(worth);
        let batches = new.len().div_ceil(self.parts[part].rows.together()).next_multiple_of(threads.max(1));
        let together = new.len().div_ceil(batches);
        let mut lates = new.clone().step_by(together).map(|from| from..new.end.min(from + together));
        loop {
            let at_a_time: Vec<Range<usize>> = lates.by_ref().take(threads.max(1)).collect();
            if at_a_time.is_empty() {
                return new.len() as u64 * old as u64;
            }
            let meetings: Vec<Meeting> =
                at_a_time.into_iter().map(|lates| self.meeting(part, lates, 0, |_| old)).collect();
            let places: Vec<Range<usize>> = meetings.iter().map(|meeting| meeting.lates.clone()).collect();
            let met = self.meet_at_once(meetings, part, other);
            self.take_in(places.into_iter().zip(met).collect(), (part, other), before);
        }
    }

    /// Each meeting on a thread of its own, the first on this one.
    fn meet_at_once(&self, mut meetings: Vec<Meeting>, part: usize, other: usize) -> Vec<Met> {
        let (rows, floors) = (&self.parts[other].rows, &self.parts[other].floors);
        let ground = self.ground(part, other);
        let meet = |meeting| {
            ground
                .meet(meeting, Cow::Borrowed(floors), |batch, from, floors, hits| {
                    batch.propose(rows, from, floors, hits)
                })
                .0
        };
        let others = meetings.split_off(1);
        thread::scope(|scope| {
            let others: Vec<_> = others.into_iter().map(|meeting| scope.spawn(|| meet(meeting))).collect();
            let mut met: Vec<Met> = meetings.into_iter().map(meet).collect();
            for other in others {
                met.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            met
        })
    }

    /// Members of `part` meet those of `other` from place `first` on that are before them, one batch after the other.
    fn meet_in_turn(
        &mut self,
        (part, lates): (usize, Range<usize>),
        (other, first): (usize, usize),
        news: &News,
        before: &mut Vec<Offered>,
    ) -> u64 {
        let mut scored = 0;
        let together = self.parts[part].rows.together();
        for from in lates.clone().step_by(together) {
            let lates = from..lates.end.min(from + together);
            let known = |at: usize| self.parts[part].heads[at].query == Role::Known;
            let rows: Vec<usize> = lates.clone().map(|at| news.meets((part, at), known(at), other)).collect();
            let pairs: usize = rows.iter().map(|rows| rows.saturating_sub(first)).sum();
            if pairs == 0 {
                continue;
            }
            scored += pairs as u64;
            let start = lates.start;
            let meeting = self.meeting(part, lates.clone(), first, |at| rows[at - start]);
            let floors = Cow::Owned(std::mem::take(&mut self.parts[other].floors));
            let rows = &self.parts[other].rows;
            let (met, floors) =
                self.ground(part, other).meet(meeting, floors, |batch, from, floors, hits| {
                    batch.propose(rows, from, floors, hits)
                });
            self.parts[other].floors = floors.into_owned();
            self.take_in(vec![(lates, met)], (part, other), before);
        }
        scored
    }

    /// Members of `part` that are to meet others, each those from place `first` on before the one that `rows` says.
    fn meeting(
        &mut self,
        part: usize,
        lates: Range<usize>,
        first: usize,
        rows: impl Fn(usize) -> usize,
    ) -> Meeting {
        let Part { heads, bodies, floors, .. } = &self.parts[part];
        let limits = lates.clone().map(|at| Late { rows: rows(at), floor: floors[at] });
        let draft = |at: usize| {
            let new = heads[at].query == Role::New;
            new.then(|| Draft::new(self.rules.full, bodies[at].floor(&heads[at], self.rules.k)))
        };
        let drafts = lates.clone().map(draft).collect();
        let batch = self.parts[part].rows.lates(lates.clone().zip(limits));
        Meeting { lates, first, batch, drafts }
    }

    fn ground(&self, part: usize, other: usize) -> Ground<'_> {
        let side = |part: usize| {
            let Part { heads, bodies, deeper, .. } = &self.parts[part];
            Side { heads, bodies, deeper: deeper.as_ref() }
        };
        Ground {
            rules: &self.rules,
            whole: self.sketch.is_whole(),
            error: self.error,
            second_error: self.second_error,
            late: side(part),
            row: side(other),
            one_part: part == other,
        }
    }

    /// Takes in what came of meetings of members of `part`, each those at some places, with members of part `other`.
    fn take_in(
        &mut self,
        met: Vec<(Range<usize>, Met)>,
        (part, other): (usize, usize),
        before: &mut Vec<Offered>,
    ) {
        let (lates, met): (Vec<_>, Vec<Met>) = met.into_iter().unzip();
        let (to_lates, to_rows) = met.into_iter().map(|met| (met.to_lates, met.to_rows)).unzip();
        let (mut to_lates, mut to_rows): (Vec<Vec<Offer>>, Vec<Vec<Offer>>) = (to_lates, to_rows);
        if part == other {
            to_lates.append(&mut to_rows);
        }
        for (part, offers) in [(part, to_lates), (other, to_rows)] {
            let Part { heads, bodies, floors, .. } = &mut self.parts[part];
            let takers = Takers { part, rules: &self.rules, error: self.error };
            before.extend(takers.take_all(Members { heads, bodies, floors }, &offers));
        }
        for at in lates.into_iter().flatten() {
            self.parts[part].set_floor(at, self.rules.k, self.error);
        }
    }
}

/// Members of a part, side by side, with their floors.
#[derive(Default)]
struct Members<'a> {
    heads: &'a mut [Head],
    bodies: &'a mut [Body],
    floors: &'a mut [f32],
}

impl<'a> Members<'a> {
    /// The first so many, and those after them.
    fn split_at(self, count: usize) -> (Members<'a>, Members<'a>) {
        let (heads, other_heads) = self.heads.split_at_mut(count);
        let (bodies, other_bodies) = self.bodies.split_at_mut(count);
        let (floors, other_floors) = self.floors.split_at_mut(count);
        let others = Members { heads: other_heads, bodies: other_bodies, floors: other_floors };
        (Members { heads, bodies, floors }, others)
    }
}

/// Carries out offers to members of a part.
#[derive(Clone, Copy)]
struct Takers<'a> {
    part: usize,
    rules: &'a Rules,
    error: f32,
}

impl Takers<'_> {
    /// On several threads if it is worth it, each with some of the members and as many offers. Returns the lists before, of those not yet
    /// remembered.
    fn take_all(self, members: Members<'_>, offers: &[Vec<Offer>]) -> Vec<Offered> {
        let count = offers.iter().map(Vec::len).sum::<usize>();
        let threads = self.rules.threads.min(count.div_ceil(OFFERS_WORTH_A_THREAD));
        if threads <= 1 {
            return self.take(0, members, offers);
        }
        let some = offers.iter().flatten().step_by(count.div_ceil(OFFERS_LOOKED_AT).max(1));
        let mut places: Vec<usize> = some.map(|offer| offer.to as usize).collect();
        places.sort_unstable();
        let (mut first, mut members) = (0, members);
        thread::scope(|scope| {
            let mut others = Vec::new();
            for end in (1..threads).map(|thread| places[thread * places.len() / threads]) {
                let (own, rest) = std::mem::take(&mut members).split_at(end - first);
                let from = first;
                others.push(scope.spawn(move || self.take(from, own, offers)));
                (first, members) = (end, rest);
            }
            let mut before = self.take(first, members, offers);
            for other in others {
                before.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            before
        })
    }

    /// The offers to the members from place `first` on.
    fn take(self, first: usize, members: Members<'_>, offers: &[Vec<Offer>]) -> Vec<Offered> {
        let Members { heads, bodies, floors } = members;
        let (k, mut before) = (self.rules.k, Vec::new());
        let here = |offer: &&Offer| (first..first + heads.len()).contains(&(offer.to as usize));
        let offers: Vec<&Offer> = offers.iter().flatten().filter(here).collect();
        for (at, offer) in offers.iter().enumerate() {
            let place = |offer: &Offer| offer.to as usize - first;
            if let Some(soon) = offers.get(at + 2 * AHEAD) {
                near(slice::from_ref(&bodies[place(soon)]));
            }
            if let Some(soon) = offers.get(at + AHEAD) {
                bodies[place(soon)].best.near();
            }
            let (head, body) = (&mut heads[place(offer)], &mut bodies[place(offer)]);
            if offer.entry.score.0 < body.floor(head, k) {
                continue;
            }
            if !head.remembered && body.best.changes(&offer.entry, k) {
                head.remembered = true;
                let list = body.best.list(k).to_vec();
                before.push(Offered { id: head.id, slot: (self.part, offer.to as usize), list });
            }
            body.best.offer(offer.entry, self.rules.full);
            floors[place(offer)] = lowered(body.floor(head, k), self.error);
        }
        before
    }
}
