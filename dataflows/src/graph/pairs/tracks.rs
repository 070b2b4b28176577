//! The first end of an edge: each track's views and inter-instance edges, and what changes of them tell the other track.

use serde::{Deserialize, Serialize};

use super::meeting::{Meeting, Moved};
use crate::graph::Diff;
use crate::graph::closure::blocks::Blocks;
use crate::graph::closure::ids::{pull, push};
use crate::graph::closure::views::Views;
use crate::id::{NodeId, TrackId};

/// A view of a track, or its end of an inter-instance edge to another track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct At {
    pub(super) track: TrackId,
    /// The other end of the edge; none for the view itself.
    other: Option<NodeId>,
    view: NodeId,
}

impl At {
    pub(super) fn view(node: NodeId) -> Self {
        At { track: node.track(), other: None, view: node }
    }

    pub(super) fn end(node: NodeId, other: NodeId) -> Self {
        At { track: node.track(), other: Some(other), view: node }
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
    /// Those of the track that is worked on, the other end first.
    ends: Vec<(NodeId, NodeId)>,
}

impl Tracks {
    /// Applies one step's net changes, sorted, and returns what other tracks are told.
    pub(super) fn apply(&mut self, changes: &[(At, Diff)]) -> Vec<(Meeting, Diff)> {
        let mut told = Vec::new();
        for of_track in changes.chunk_by(|(x, _), (y, _)| x.track == y.track) {
            let track = of_track[0].0.track;
            let (views, ends) = of_track.split_at(of_track.partition_point(|(at, _)| at.other.is_none()));
            let ends = || ends.iter().filter_map(|(at, diff)| Some(((at.other?, at.view), *diff)));
            // An edge that comes or goes is told by its smaller end, with the views from before the step.
            for ((other, view), diff) in ends().filter(|((other, view), _)| view < other) {
                let moved = |a| Meeting::A(Moved { via_a: view, via_b: other, view: a });
                told.extend(self.views.of(track).map(|a| (moved(a), diff)));
            }
            if ends().next().is_some() {
                self.change(track, ends());
            }
            if !views.is_empty() {
                self.ends.clear();
                self.ends.extend(edges(self.edges.get(track.0), track));
            }
            for (At { view: new, .. }, diff) in views {
                told.extend(self.ends.iter().map(|(other, view)| {
                    let met = match view < other {
                        true => Meeting::A(Moved { via_a: *view, via_b: *other, view: *new }),
                        false => Meeting::B(Moved { via_a: *other, via_b: *view, view: *new }),
                    };
                    (met, *diff)
                }));
                self.views.change(*new, *diff);
            }
        }
        told
    }

    /// Applies changes of `track`'s edges, sorted.
    fn change(&mut self, track: TrackId, changes: impl Iterator<Item = ((NodeId, NodeId), Diff)>) {
        let mut before = edges(self.edges.get(track.0), track).peekable();
        let mut last = 0;
        self.bytes.clear();
        let mut keep = |(other, view): (NodeId, NodeId)| {
            push(&mut self.bytes, other.0 - last);
            self.bytes.push(view.view());
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

/// The ends in `bytes`, the other end first.
fn edges(mut bytes: &[u8], track: TrackId) -> impl Iterator<Item = (NodeId, NodeId)> + '_ {
    let mut last = 0;
    std::iter::from_fn(move || {
        last += pull(&mut bytes)?;
        let (view, rest) = bytes.split_first()?;
        bytes = rest;
        Some((NodeId(last), track.node(usize::from(*view))?))
    })
}
