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
use super::meeting::{Ground, Meeting, Offer};
use super::part::{Body, Head, Part, Role};
use super::rules::Rules;

/// What is new in a cell.
pub(super) struct News {
    /// How many members are not new. They come first.
    pub(super) old: usize,
    /// Whether pairs of old members are to be scored too.
    pub(super) all: bool,
}

impl News {
    /// How many members, the first ones, the one at a place is to meet, so that each pair meets once.
    fn meets(&self, at: usize, known: bool) -> usize {
        // No row of this epoch is offered to a known one, and those that want it meet it themselves: they arrive later.
        if known { at.min(self.old) } else { at }
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
        let members = self.part.len();
        if news.all {
            return self.meet_in_turn(0..members, 0, news, before);
        }
        let with_old = self.meet_old(news.old..members, news.old, before);
        with_old + self.meet_in_turn(news.old..members, news.old, news, before)
    }

    /// New members meet the first `old`, on several threads if it is worth it.
    fn meet_old(&mut self, new: Range<usize>, old: usize, before: &mut Vec<Offered>) -> u64 {
        if new.is_empty() || old == 0 {
            return 0;
        }
        let values = self.sketch.values(self.length);
        let worth = (new.len() * old * values).div_ceil(WORTH_A_THREAD);
        let threads = self.rules.threads.min(worth);
        let batches = new.len().div_ceil(self.part.rows.together()).next_multiple_of(threads.max(1));
        let together = new.len().div_ceil(batches);
        let mut lates = new.clone().step_by(together).map(|from| from..new.end.min(from + together));
        loop {
            let at_a_time: Vec<Range<usize>> = lates.by_ref().take(threads.max(1)).collect();
            if at_a_time.is_empty() {
                return new.len() as u64 * old as u64;
            }
            let meetings: Vec<Meeting> =
                at_a_time.into_iter().map(|lates| self.meeting(lates, 0, |_| old)).collect();
            let places: Vec<Range<usize>> = meetings.iter().map(|meeting| meeting.lates.clone()).collect();
            let met = self.meet_at_once(meetings);
            self.take_in(places, &met, before);
        }
    }

    /// Each meeting on a thread of its own, the first on this one.
    fn meet_at_once(&self, mut meetings: Vec<Meeting>) -> Vec<Vec<Offer>> {
        let Part { rows, floors, .. } = &self.part;
        let ground = self.ground();
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
            let mut met: Vec<Vec<Offer>> = meetings.into_iter().map(meet).collect();
            for other in others {
                met.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            met
        })
    }

    /// Members meet those from place `first` on that are before them, one batch after the other.
    fn meet_in_turn(
        &mut self,
        lates: Range<usize>,
        first: usize,
        news: &News,
        before: &mut Vec<Offered>,
    ) -> u64 {
        let mut scored = 0;
        let together = self.part.rows.together();
        for from in lates.clone().step_by(together) {
            let lates = from..lates.end.min(from + together);
            let known = |at: usize| self.part.heads[at].query == Role::Known;
            let rows: Vec<usize> = lates.clone().map(|at| news.meets(at, known(at))).collect();
            let pairs: usize = rows.iter().map(|rows| rows.saturating_sub(first)).sum();
            if pairs == 0 {
                continue;
            }
            scored += pairs as u64;
            let start = lates.start;
            let meeting = self.meeting(lates.clone(), first, |at| rows[at - start]);
            let floors = Cow::Owned(std::mem::take(&mut self.part.floors));
            let rows = &self.part.rows;
            let (met, floors) = self
                .ground()
                .meet(meeting, floors, |batch, from, floors, hits| batch.propose(rows, from, floors, hits));
            self.part.floors = floors.into_owned();
            self.take_in(vec![lates], &[met], before);
        }
        scored
    }

    /// Members that are to meet others, each those from place `first` on before the one that `rows` says.
    fn meeting(&self, lates: Range<usize>, first: usize, rows: impl Fn(usize) -> usize) -> Meeting {
        let Part { heads, bodies, floors, .. } = &self.part;
        let limits = lates.clone().map(|at| Late { rows: rows(at), floor: floors[at] });
        let draft = |at: usize| {
            let new = heads[at].query == Role::New;
            new.then(|| Draft::new(self.rules.full, bodies[at].floor(&heads[at], self.rules.k)))
        };
        let drafts = lates.clone().map(draft).collect();
        let batch = self.part.rows.lates(lates.clone().zip(limits));
        Meeting { lates, first, batch, drafts }
    }

    fn ground(&self) -> Ground<'_> {
        let Part { heads, bodies, deeper, .. } = &self.part;
        Ground {
            rules: &self.rules,
            whole: self.sketch.is_whole(),
            error: self.error,
            second_error: self.second_error,
            heads,
            bodies,
            deeper: deeper.as_ref(),
        }
    }

    /// Takes in what came of meetings of the members at some places.
    fn take_in(&mut self, lates: Vec<Range<usize>>, offers: &[Vec<Offer>], before: &mut Vec<Offered>) {
        let Part { heads, bodies, floors, .. } = &mut self.part;
        let takers = Takers { rules: &self.rules, error: self.error };
        before.extend(takers.take_all(Members { heads, bodies, floors }, offers));
        for at in lates.into_iter().flatten() {
            self.part.set_floor(at, self.rules.k, self.error);
        }
    }
}

/// Members, side by side, with their floors.
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

/// Carries out offers to members.
#[derive(Clone, Copy)]
struct Takers<'a> {
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
                before.push(Offered { id: head.id, at: offer.to as usize, list });
            }
            body.best.offer(offer.entry, self.rules.full);
            floors[place(offer)] = lowered(body.floor(head, k), self.error);
        }
        before
    }
}
