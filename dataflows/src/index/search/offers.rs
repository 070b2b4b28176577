//! Brings the lists of a cell up to date with what is new: each pair with a new member meets once and serves both.

use std::borrow::Cow;
use std::ops::Range;
use std::{slice, thread};

use super::cell_index::CellIndex;
use super::join::{ActiveJoin, JoinContext, Offer};
use super::members::{Body, Head, Members, Role};
use super::rules::Rules;
use crate::id::NodeId;
use crate::index::kernels::score::near;
use crate::index::node::List;
use crate::index::quantize::bound::lowered;

/// Products of values that are worth a thread of their own. In tests almost any are.
const WORTH_A_THREAD: usize = if cfg!(test) { 64 } else { 1 << 24 };

/// Offers that are worth a thread of their own. In tests any two are.
const OFFERS_WORTH_A_THREAD: usize = if cfg!(test) { 2 } else { 1 << 12 };

/// Offers that are looked at to deal them out evenly.
const OFFERS_LOOKED_AT: usize = 1 << 10;

/// Offers that are carried out before the list of a later one is asked for, and again as many before its member is.
const AHEAD: usize = 4;

impl CellIndex {
    /// Offers every pair with a new member to both sides: the first `old` are not new, but with `all` their pairs are to be scored, too.
    /// Returns how many pairs there were; the lists before go to `before`, but for those that are remembered already.
    pub(super) fn offer_all(
        &mut self,
        old: usize,
        all: bool,
        before: &mut Vec<(NodeId, usize, List)>,
    ) -> u64 {
        let members = self.members.len();
        if all {
            return self.join_in_turn(0..members, 0, old, before);
        }
        self.join_old(old..members, old, before) + self.join_in_turn(old..members, old, old, before)
    }

    /// New members meet the first `old`, on several threads if it is worth it.
    fn join_old(&mut self, new: Range<usize>, old: usize, before: &mut Vec<(NodeId, usize, List)>) -> u64 {
        if new.is_empty() || old == 0 {
            return 0;
        }
        let proposer = &self.members.proposer;
        let worth = (new.len() * old * proposer.values()).div_ceil(WORTH_A_THREAD);
        let threads = self.rules.threads.min(worth);
        let batches = new.len().div_ceil(proposer.together()).next_multiple_of(threads.max(1));
        let together = new.len().div_ceil(batches);
        let mut some = new.clone().step_by(together).map(|from| from..new.end.min(from + together));
        loop {
            let at_a_time: Vec<Range<usize>> = some.by_ref().take(threads.max(1)).collect();
            if at_a_time.is_empty() {
                return new.len() as u64 * old as u64;
            }
            let (context, thresholds) = (self.context(), &self.members.thresholds);
            let join = |new: &Range<usize>| context.join(new.clone(), 0, |_| old, Cow::Borrowed(thresholds));
            let offers = run_at_once(at_a_time.iter().map(join).collect());
            self.take_in(at_a_time, &offers, before);
        }
    }

    /// Members meet those from place `first` on that are before them, one batch after the other. The first `old` are not new.
    fn join_in_turn(
        &mut self,
        new: Range<usize>,
        first: usize,
        old: usize,
        before: &mut Vec<(NodeId, usize, List)>,
    ) -> u64 {
        let mut scored = 0;
        let together = self.members.proposer.together();
        for from in new.clone().step_by(together) {
            let some = from..new.end.min(from + together);
            // So that each pair meets once. No row of this epoch is offered to a known query, and those that want it meet it themselves: they
            // arrive later.
            let heads = &self.members.heads;
            let rows = |at: usize| if heads[at].query == Role::Known { at.min(old) } else { at };
            let rows: Vec<usize> = some.clone().map(rows).collect();
            let pairs: usize = rows.iter().map(|rows| rows.saturating_sub(first)).sum();
            if pairs == 0 {
                continue;
            }
            scored += pairs as u64;
            let thresholds = Cow::Owned(std::mem::take(&mut self.members.thresholds));
            let join = self.context().join(some.clone(), first, |at| rows[at - from], thresholds);
            let (offers, thresholds) = join.run();
            self.members.thresholds = thresholds.into_owned();
            self.take_in(vec![some], &[offers], before);
        }
        scored
    }

    fn context(&self) -> JoinContext<'_> {
        JoinContext { rules: &self.rules, members: &self.members }
    }

    /// Takes in what came of joins of the members at some places.
    fn take_in(
        &mut self,
        new: Vec<Range<usize>>,
        offers: &[Vec<Offer>],
        before: &mut Vec<(NodeId, usize, List)>,
    ) {
        let error = self.members.proposer.error();
        let Members { heads, bodies, thresholds, .. } = &mut self.members;
        let takers = Takers { rules: &self.rules, error, first: 0, heads, bodies, thresholds };
        before.extend(takers.take_all(offers));
        new.into_iter().flatten().for_each(|at| self.members.set_threshold(at));
    }
}

/// Each join on a thread of its own, the first on this one.
fn run_at_once(mut joins: Vec<ActiveJoin<'_>>) -> Vec<Vec<Offer>> {
    let others = joins.split_off(1);
    thread::scope(|scope| {
        let others: Vec<_> = others.into_iter().map(|join| scope.spawn(|| join.run().0)).collect();
        let mut offers: Vec<Vec<Offer>> = joins.into_iter().map(|join| join.run().0).collect();
        for other in others {
            offers.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        offers
    })
}

/// Members side by side, from place `first` on, that offers are carried out to.
struct Takers<'a> {
    rules: &'a Rules,
    /// Of fast scores.
    error: f32,
    first: usize,
    heads: &'a mut [Head],
    bodies: &'a mut [Body],
    thresholds: &'a mut [f32],
}

impl<'a> Takers<'a> {
    /// Those before place `end`, and the others.
    fn split_at(self, end: usize) -> (Takers<'a>, Takers<'a>) {
        let Takers { rules, error, first, heads, bodies, thresholds } = self;
        let (heads, other_heads) = heads.split_at_mut(end - first);
        let (bodies, other_bodies) = bodies.split_at_mut(end - first);
        let (thresholds, other_thresholds) = thresholds.split_at_mut(end - first);
        let others = Takers {
            rules,
            error,
            first: end,
            heads: other_heads,
            bodies: other_bodies,
            thresholds: other_thresholds,
        };
        (Takers { rules, error, first, heads, bodies, thresholds }, others)
    }

    /// On several threads if it is worth it, each with some of the members and as many offers. Returns the lists before, of those not yet
    /// remembered.
    fn take_all(self, offers: &[Vec<Offer>]) -> Vec<(NodeId, usize, List)> {
        let count = offers.iter().map(Vec::len).sum::<usize>();
        let threads = self.rules.threads.min(count.div_ceil(OFFERS_WORTH_A_THREAD));
        if threads <= 1 {
            return self.take(offers);
        }
        let some = offers.iter().flatten().step_by(count.div_ceil(OFFERS_LOOKED_AT).max(1));
        let mut places: Vec<usize> = some.map(|offer| offer.to as usize).collect();
        places.sort_unstable();
        thread::scope(|scope| {
            let (mut takers, mut others) = (self, Vec::new());
            for end in (1..threads).map(|thread| places[thread * places.len() / threads]) {
                let (own, rest) = takers.split_at(end);
                others.push(scope.spawn(move || own.take(offers)));
                takers = rest;
            }
            let mut before = takers.take(offers);
            for other in others {
                before.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            before
        })
    }

    /// The offers to these members.
    fn take(self, offers: &[Vec<Offer>]) -> Vec<(NodeId, usize, List)> {
        let Takers { rules, error, first, heads, bodies, thresholds } = self;
        let (k, mut before) = (rules.k, Vec::new());
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
            if offer.entry.score.0 < body.kth_score(head, k) {
                continue;
            }
            if !head.remembered && body.best.changes(&offer.entry, k) {
                head.remembered = true;
                before.push((head.id, offer.to as usize, body.best.list(k).to_vec()));
            }
            body.best.offer(offer.entry, rules.full);
            thresholds[place(offer)] = lowered(body.kth_score(head, k), error);
        }
        before
    }
}
