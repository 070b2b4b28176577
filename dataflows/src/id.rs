//! Names of things: sources, tracks, nodes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Frames in a segment come after each other; a segment has at most this many tracks.
const TRACKS_PER_SEGMENT: u64 = 1 << 12;
/// A source has at most this many segments (at 512 frames each and 30 frames a second: 206 days).
const SEGMENTS_PER_SOURCE: u64 = 1 << 20;

/// One video input, numbered once and for good by the store. Below 2^24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceId(pub u32);

/// The object followed over some frames of one segment: source (24 bits) and ordinal in the source (32 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrackId(pub u64);

/// One view of a track: the track (56 bits) and the view's ordinal in it (8 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl TrackId {
    /// The `ordinal`-th track (0-based) that began in the `segment`-th segment of `source`. It depends on the
    /// segment alone, so a re-decoded segment names its tracks as before.
    ///
    /// `None` when the segment holds more tracks, or the source more segments, than an id has room for.
    ///
    /// ```
    /// use kinetograph_dataflows::id::{SourceId, TrackId};
    /// let track = TrackId::new(SourceId(7), 2, 5).expect("in range");
    /// assert_eq!(track.source(), SourceId(7));
    /// assert_eq!(track.node(1).expect("in range").track(), track);
    /// ```
    pub fn new(source: SourceId, segment: u64, ordinal: u64) -> Option<Self> {
        (segment < SEGMENTS_PER_SOURCE && ordinal < TRACKS_PER_SEGMENT)
            .then(|| TrackId((u64::from(source.0) << 32) | (segment * TRACKS_PER_SEGMENT + ordinal)))
    }

    /// The video it was seen in.
    pub fn source(self) -> SourceId {
        SourceId((self.0 >> 32) as u32)
    }

    /// Its `view`-th view, 0 for the first; `None` past 255.
    pub fn node(self, view: usize) -> Option<NodeId> {
        u8::try_from(view).ok().map(|view| NodeId((self.0 << 8) | u64::from(view)))
    }
}

impl NodeId {
    /// The track it is a view of.
    pub fn track(self) -> TrackId {
        TrackId(self.0 >> 8)
    }

    /// The video it was seen in.
    pub fn source(self) -> SourceId {
        self.track().source()
    }

    /// Its place among the views of its track, 0 for the first.
    pub fn view(self) -> u8 {
        self.0 as u8
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
