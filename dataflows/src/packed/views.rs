//! The views of tracks, a byte each.

use super::blocks::Blocks;
use crate::id::{NodeId, TrackId};
use crate::time::Diff;

/// Which views of some tracks are nodes.
#[derive(Default)]
pub(crate) struct Views {
    /// By track: its views, sorted.
    of: Blocks,
    bytes: Vec<u8>,
}

impl Views {
    /// The nodes of `track`, sorted.
    pub(crate) fn of(&self, track: TrackId) -> impl Iterator<Item = NodeId> + '_ {
        self.of.get(track.0).iter().filter_map(move |view| track.node(usize::from(*view)))
    }

    /// Takes `node` up or out, and returns whether that changed anything: one that comes twice, or goes without having
    /// come, does not.
    pub(crate) fn change(&mut self, node: NodeId, diff: Diff) -> bool {
        let views = self.of.get(node.track().0);
        self.bytes.clear();
        self.bytes.extend_from_slice(views);
        match self.bytes.binary_search(&node.view()) {
            Err(at) if diff > 0 => self.bytes.insert(at, node.view()),
            Ok(at) if diff < 0 => drop(self.bytes.remove(at)),
            _ => return false,
        }
        self.of.set(node.track().0, &self.bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_come_and_go() {
        let (track, mut views) = (TrackId(7 << 32 | 5), Views::default());
        let node = |view: usize| track.node(view).unwrap();
        for (view, diff) in [(9, 1), (0, 1), (255, 1), (9, 1), (0, -1), (3, -1)] {
            views.change(node(view), diff);
        }
        assert_eq!(views.of(track).collect::<Vec<_>>(), [node(9), node(255)]);
        assert!([9, 255].into_iter().all(|view| views.change(node(view), -1)));
        assert!(!views.change(node(9), -1));
        assert_eq!((views.of(track).count(), views.of.len()), (0, 0));
    }
}
