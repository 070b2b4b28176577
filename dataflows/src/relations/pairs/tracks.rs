//! The first end of an edge: each track's views and inter-instance edges, and what changes of them tell the other track.

use serde::{Deserialize, Serialize};

use super::meeting::{Met, Told};
use crate::id::{NodeId, TrackId};
use crate::packed::blocks::Blocks;
use crate::packed::ids::{pull, push};
use crate::packed::views::Views;
use crate::time::Diff;

/// A view of a track, or a track's end of an inter-instance edge to another. The order is that in which a step takes
/// them up, in as many parts as one likes: views meet the edges from before the step, and edges the views from after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum At {
    View(NodeId),
    End {
        track: TrackId,
        /// The other end.
        other: NodeId,
        /// Which of the track's.
        view: u8,
    },
}

impl At {
    pub(super) fn end(node: NodeId, other: NodeId) -> Self {
        At::End { track: node.track(), other, view: node.view() }
    }

    pub(super) fn track(&self) -> TrackId {
        match self {
            At::View(node) => node.track(),
            At::End { track, .. } => *track,
        }
    }
}

/// The views and edges of some tracks. A node's edges go to nodes of its list, so a track has few.
#[derive(Default)]
pub(super) struct Tracks {
    views: Views,
    /// By track: its ends of edges, sorted by the other end, each as the difference of the other's id and a byte for the
    /// view.
    edges: Blocks,
    bytes: Vec<u8>,
    /// Views of the track that is worked on.
    some: Vec<u8>,
}

impl Tracks {
    /// Applies a part of one step's net changes, sorted, and returns what other tracks are told.
    pub(super) fn apply(&mut self, changes: &[(At, Diff)]) -> Vec<(Told, Diff)> {
        let mut told = Vec::new();
        let (views, ends) = changes.split_at(changes.partition_point(|(at, _)| matches!(at, At::View(_))));
        for (track, changes) in by_track(views) {
            for alike in changes.chunk_by(|(_, x), (_, y)| x == y) {
                self.views_move(track, alike, &mut told);
            }
        }
        for (track, changes) in by_track(ends) {
            let ends = || {
                changes.iter().filter_map(|(at, diff)| match at {
                    At::View(_) => None,
                    At::End { other, view, .. } => Some(((*other, *view), *diff)),
                })
            };
            self.some.clear();
            self.some.extend(self.views.of(track).map(NodeId::view));
            for ((via_b, view), diff) in ends() {
                // An edge that comes or goes is told by its smaller end.
                let via_a = track.node(usize::from(view)).filter(|via_a| *via_a < via_b);
                let Some(via_a) = via_a else { continue };
                told.extend(Told::all(Met::Edge, via_a, via_b, &self.some).map(|told| (told, diff)));
            }
            self.change(track, ends());
        }
        told
    }

    /// Tells the other ends of `track`'s edges of views that all come or all go.
    fn views_move(&mut self, track: TrackId, changes: &[(At, Diff)], told: &mut Vec<(Told, Diff)>) {
        self.some.clear();
        let mut sign = 0;
        for (at, diff) in changes {
            if let At::View(view) = at
                && self.views.change(*view, *diff)
            {
                self.some.push(view.view());
                sign = *diff;
            }
        }
        if self.some.is_empty() {
            return;
        }
        for (other, view) in edges(self.edges.get(track.0)) {
            let Some(own) = track.node(usize::from(view)) else { continue };
            let (met, via_a, via_b) =
                if own < other { (Met::ViewOfA, own, other) } else { (Met::ViewOfB, other, own) };
            told.extend(Told::all(met, via_a, via_b, &self.some).map(|told| (told, sign)));
        }
    }

    /// Applies changes of `track`'s edges, sorted.
    fn change(&mut self, track: TrackId, changes: impl Iterator<Item = ((NodeId, u8), Diff)>) {
        let mut before = edges(self.edges.get(track.0)).peekable();
        let mut last = 0;
        self.bytes.clear();
        let mut keep = |(other, view): (NodeId, u8)| {
            push(&mut self.bytes, other.0 - last);
            self.bytes.push(view);
            last = other.0;
        };
        for (end, diff) in changes {
            while let Some(earlier) = before.next_if(|had| *had < end) {
                keep(earlier);
            }
            before.next_if(|had| *had == end);
            if diff > 0 {
                keep(end);
            }
        }
        before.for_each(keep);
        self.edges.set(track.0, &self.bytes);
    }
}

/// Sorted changes, track by track.
fn by_track(changes: &[(At, Diff)]) -> impl Iterator<Item = (TrackId, &[(At, Diff)])> {
    let by_track = changes.chunk_by(|(x, _), (y, _)| x.track() == y.track());
    by_track.map(|changes| (changes[0].0.track(), changes))
}

/// The ends in `bytes`: the other end, and which of the track's views.
fn edges(mut bytes: &[u8]) -> impl Iterator<Item = (NodeId, u8)> + '_ {
    let mut last = 0;
    std::iter::from_fn(move || {
        last += pull(&mut bytes)?;
        let (view, rest) = bytes.split_first()?;
        bytes = rest;
        Some((NodeId(last), *view))
    })
}
