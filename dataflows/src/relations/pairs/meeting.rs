//! The second end of an edge: where what changes at one of its tracks meets the views of the other.

use std::collections::{BTreeMap, VecDeque};

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::{AsCollection, Hashable, VecCollection};
use serde::{Deserialize, Serialize};
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

use crate::id::{NodeId, TrackId};
use crate::index::node::{Pair, PairKind};
use crate::packed::views::Views;
use crate::time::{Diff, Epoch};

/// Views that one message has room for.
const VIEWS: usize = 6;

/// An inter-instance edge with some views of one of its tracks, told to the other track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Told {
    via_a: NodeId,
    via_b: NodeId,
    met: Met,
    /// Number of `views`.
    count: u8,
    views: [u8; VIEWS],
}

/// Says what changed, and so which views it meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Met {
    /// The edge: all views of A's track, told to B's, meet its views from after the step.
    Edge,
    /// Views of A's track, told to B's: they meet its views from before the step.
    ViewOfA,
    /// Views of B's track, told to A's: they meet its views from after the step.
    ViewOfB,
}

impl Told {
    /// Of all `views`, in as many messages as it takes.
    pub(super) fn all(
        met: Met,
        via_a: NodeId,
        via_b: NodeId,
        views: &[u8],
    ) -> impl Iterator<Item = Told> + '_ {
        views.chunks(VIEWS).map(move |some| {
            let mut views = [0; VIEWS];
            views[..some.len()].copy_from_slice(some);
            Told { via_a, via_b, met, count: some.len() as u8, views }
        })
    }

    /// The track that is told.
    fn track(&self) -> TrackId {
        match self.met {
            Met::Edge | Met::ViewOfA => self.via_b.track(),
            Met::ViewOfB => self.via_a.track(),
        }
    }

    /// Calls `found` with each pair of a moved view and one of `views`, of the track that is told.
    fn meet(&self, views: impl Iterator<Item = NodeId> + Clone, mut found: impl FnMut(Pair)) {
        let of = if self.met == Met::ViewOfB { self.via_b } else { self.via_a };
        let moved = self.views[..usize::from(self.count)].iter();
        for moved in moved.filter_map(|view| of.track().node(usize::from(*view))) {
            for other in views.clone() {
                let (a, b) = if self.met == Met::ViewOfB { (other, moved) } else { (moved, other) };
                if let Some(kind) = kind(a == self.via_a, b == self.via_b) {
                    found(Pair { a, b, kind, via_a: self.via_a, via_b: self.via_b });
                }
            }
        }
    }
}

/// Returns what a pair is whose ends are those of its edge or not; the edge itself is none.
fn kind(a_is_via: bool, b_is_via: bool) -> Option<PairKind> {
    match (a_is_via, b_is_via) {
        (true, true) => None,
        (false, true) => Some(PairKind::AMoved),
        (true, false) => Some(PairKind::BMoved),
        (false, false) => Some(PairKind::BothMoved),
    }
}

/// The views of some tracks, as they are after one step and as they were before it.
#[derive(Default)]
struct Steps {
    after: Views,
    /// What the step changed, sorted.
    changed: Vec<(NodeId, Diff)>,
    /// Views of the track that is told.
    some: Vec<NodeId>,
}

impl Steps {
    /// Goes on to the next step, which makes `changes`.
    fn step(&mut self, mut changes: Vec<(NodeId, Diff)>) {
        consolidate(&mut changes);
        changes.retain(|(view, diff)| self.after.change(*view, *diff));
        self.changed = changes;
    }

    /// Calls `found` with the pairs that `told` makes.
    fn meet(&mut self, told: &Told, found: impl FnMut(Pair)) {
        let track = told.track();
        self.some.clear();
        self.some.extend(self.after.of(track));
        if told.met == Met::ViewOfA {
            let from = self.changed.partition_point(|(view, _)| view.track() < track);
            let of_track = self.changed[from..].iter().take_while(|(view, _)| view.track() == track);
            for (view, diff) in of_track {
                match diff {
                    ..0 => self.some.push(*view),
                    _ => self.some.retain(|other| other != view),
                }
            }
        }
        told.meet(self.some.iter().copied(), found);
    }
}

/// What is told at an epoch, with the right to answer at it.
type Heard = (Capability<Epoch>, VecDeque<(Told, Diff)>);

/// Pairs that are emitted before others are let take them up. Few in tests, so that they see it.
const EMITTED_AT_ONCE: usize = if cfg!(test) { 5 } else { 1 << 16 };

/// The pairs that come and go as `told` meets `views`, each of which is there once.
///
/// Once all changes of views at an epoch are there, what is told at it is answered as it comes, and not kept: so the
/// pairs of a large epoch are never in memory whole.
pub(super) fn meet<'s>(
    views: VecCollection<'s, Epoch, NodeId, Diff>,
    told: VecCollection<'s, Epoch, Told, Diff>,
) -> VecCollection<'s, Epoch, Pair, Diff> {
    let scope = views.inner.scope();
    let of_views = Exchange::new(|(view, ..): &(NodeId, Epoch, Diff)| view.track().hashed());
    let of_told = Exchange::new(|(told, ..): &(Told, Epoch, Diff)| told.track().hashed());
    let pairs = views.inner.binary_frontier(told.inner, of_views, of_told, "Pairs", move |_, info| {
        let again = scope.activator_for(info.address);
        // Views that change at epochs that are not begun, and what is told at those that are not through.
        let mut coming: BTreeMap<Epoch, Vec<(NodeId, Diff)>> = BTreeMap::new();
        let mut heard: BTreeMap<Epoch, Heard> = BTreeMap::new();
        // The epoch that is begun and not through.
        let mut at: Option<Epoch> = None;
        let mut steps = Steps::default();
        move |(views, views_frontier), (told, told_frontier), output| {
            // A message may carry records of later epochs than its own: each is kept under the record's.
            views.for_each(|_, data| {
                for (view, epoch, diff) in data.drain(..) {
                    coming.entry(epoch).or_default().push((view, diff));
                }
            });
            told.for_each(|cap, data| {
                for (told, epoch, diff) in data.drain(..) {
                    let heard = heard.entry(epoch);
                    let new = || (cap.delayed(&epoch, output.output_index()), VecDeque::new());
                    heard.or_insert_with(new).1.push_back((told, diff));
                }
            });
            let mut emitted = 0;
            loop {
                let Some(epoch) = at else {
                    let next = coming.keys().next().into_iter().chain(heard.keys().next()).min().copied();
                    // Begun when its views are complete and all that was told before is answered.
                    match next {
                        Some(next)
                            if !views_frontier.less_equal(&next) && !told_frontier.less_than(&next) =>
                        {
                            steps.step(coming.remove(&next).unwrap_or_default());
                            at = Some(next);
                            continue;
                        }
                        _ => break,
                    }
                };
                if let Some((cap, all)) = heard.get_mut(&epoch) {
                    let mut session = output.session(&*cap);
                    while emitted < EMITTED_AT_ONCE
                        && let Some((told, diff)) = all.pop_front()
                    {
                        steps.meet(&told, |pair| {
                            emitted += 1;
                            session.give((pair, epoch, diff));
                        });
                    }
                    if !all.is_empty() {
                        again.activate();
                        break;
                    }
                }
                // The right to answer goes back when there is nothing to answer: more brings its own.
                heard.remove(&epoch);
                if told_frontier.less_equal(&epoch) {
                    break;
                }
                at = None;
            }
        }
    });
    pairs.as_collection()
}
