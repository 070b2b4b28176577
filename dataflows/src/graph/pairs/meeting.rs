//! The second end of an edge: where what is new at one of its tracks meets the views of the other.

use serde::{Deserialize, Serialize};

use crate::graph::Diff;
use crate::graph::closure::views::Views;
use crate::graph::node::{Pair, PairKind};
use crate::id::{NodeId, TrackId};

/// What a track is told. The order is that in which a step takes it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Meeting {
    /// What is new at A, told to B's track: it meets the views from before the step.
    A(Moved),
    /// A node of the track.
    View(NodeId),
    /// What is new at B, told to A's track: it meets the views from after the step.
    B(Moved),
}

/// An inter-instance edge with a view of one of its tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Moved {
    pub(super) via_a: NodeId,
    pub(super) via_b: NodeId,
    /// Of A's or B's track: that end itself, or another view.
    pub(super) view: NodeId,
}

impl Meeting {
    /// The track that is told.
    pub(super) fn track(&self) -> TrackId {
        match self {
            Meeting::A(moved) => moved.via_b.track(),
            Meeting::View(node) => node.track(),
            Meeting::B(moved) => moved.via_a.track(),
        }
    }
}

/// Applies one step's net changes, sorted, and returns the pairs that come and go.
pub(super) fn meet(views: &mut Views, changes: &[(Meeting, Diff)]) -> Vec<(Pair, Diff)> {
    let mut net = Vec::new();
    for (meeting, diff) in changes {
        match meeting {
            Meeting::A(Moved { via_a, via_b, view }) => {
                let pairs = views.of(via_b.track()).filter_map(|b| pair(*view, b, *via_a, *via_b));
                net.extend(pairs.map(|pair| (pair, *diff)));
            }
            Meeting::View(node) => views.change(*node, *diff),
            Meeting::B(Moved { via_a, via_b, view }) => {
                let pairs = views.of(via_a.track()).filter_map(|a| pair(a, *view, *via_a, *via_b));
                net.extend(pairs.map(|pair| (pair, *diff)));
            }
        }
    }
    net
}

fn pair(a: NodeId, b: NodeId, via_a: NodeId, via_b: NodeId) -> Option<Pair> {
    let kind = match (a == via_a, b == via_b) {
        (true, true) => return None,
        (false, true) => PairKind::AMoved,
        (true, false) => PairKind::BMoved,
        (false, false) => PairKind::BothMoved,
    };
    Some(Pair { a, b, kind, via_a, via_b })
}
