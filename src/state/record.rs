//! The records of a state.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use kinetograph_dataflows::id::{NodeId, SourceId};
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::index::quantize::Storage;
use kinetograph_dataflows::observe::frame::PixelBox;
use serde::{Deserialize, Serialize};

pub use crate::collections::delta::EpochDelta;

/// The state's own version.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Format {
    /// Compared with [`FORMAT_VERSION`](super::FORMAT_VERSION).
    pub version: u32,
}

/// A part of a graph: what follows from the sources of one process, of `of` that run it together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Counted from 0.
    pub process: u32,
    /// Number of processes.
    pub of: u32,
}

impl Shard {
    /// The only one.
    pub const WHOLE: Shard = Shard { process: 0, of: 1 };

    /// The one of `of` that `source` belongs to, with its nodes and what is kept by the first of several nodes.
    pub fn of_source(source: SourceId, of: u32) -> Self {
        Shard { process: source.0 % of.max(1), of }
    }

    /// Returns true when `source` belongs to this one.
    pub fn has(self, source: SourceId) -> bool {
        Shard::of_source(source, self.of) == self
    }
}

/// The settings a state was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeWith {
    /// The whole configuration, TOML.
    pub config: String,
    /// The embedding space of its vectors.
    pub space: String,
}

/// The storage of rows for the product of neighbours in a state's runs. Nothing in the graph depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRows {
    /// The way.
    pub storage: Storage,
    /// True when a measurement chose it.
    pub measured: bool,
    /// The instructions of the processor it was chosen for.
    pub kernel: String,
    /// Values of a vector.
    pub values: u64,
}

impl fmt::Display for KeptRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.measured { "measured best with" } else { "as set, with" };
        write!(f, "{:?}, {how} {}", self.storage, self.kernel)
    }
}

/// A source, and how far it has been read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Where it is read from.
    pub uri: String,
    /// A short name for people.
    pub name: String,
    /// Tells two files at one place apart.
    pub fingerprint: String,
    /// Frames committed: the next frame to take.
    pub position: u64,
    /// True when its end was committed.
    pub ended: bool,
    /// Why it ended early.
    pub failure: Option<String>,
    /// The counts of what was seen in it.
    pub counts: Counts,
    /// True when it was forgotten: only its address and fingerprint are left, so that it is not taken in again.
    pub forgotten: bool,
}

/// A decision about a source that was taken while the engine ran. The last one of a source counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceDecision {
    /// It was given its number, and is read by every run from then on.
    Added,
    /// It is not read until it is resumed.
    Paused,
    /// It is read again.
    Resumed,
    /// It is not read any more, also by a run that names it. What came of it stays.
    Removed,
}

/// A connection with a live source: a stretch of frames without a gap. Frames of one connection are in segments of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Time of its first committed frame, nanoseconds since 1970.
    pub first_ns: u64,
    /// Time of its last committed frame, nanoseconds since 1970.
    pub last_ns: u64,
    /// Frames committed.
    pub frames: u64,
    /// Frames that came while the queue was full, and were dropped.
    pub dropped: u64,
    /// Why it ended, in words; `None` while it lasts, and where the program ended first.
    pub ended: Option<String>,
}

/// A gap: the time that was missed of a live source between two connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The source.
    pub source: SourceId,
    /// Time of the last frame before, nanoseconds since 1970.
    pub from_ns: u64,
    /// Time of the first frame after, nanoseconds since 1970.
    pub to_ns: u64,
    /// Why, in words.
    pub reason: String,
}

/// The counts of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Frames that went through the vision code.
    pub frames: u64,
    /// Frames with at least one mined region.
    pub mined: u64,
    /// Frames without one, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Tracks begun.
    pub tracks_started: u64,
    /// Tracks that reached their length and became nodes.
    pub tracks_finished: u64,
    /// Tracks dropped, by reason.
    pub tracks_lost: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds what `more` counted.
    pub fn add(&mut self, more: &Counts) {
        self.frames += more.frames;
        self.mined += more.mined;
        self.tracks_started += more.tracks_started;
        self.tracks_finished += more.tracks_finished;
        for (name, count) in &more.rejected {
            *self.rejected.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &more.tracks_lost {
            *self.tracks_lost.entry(name.clone()).or_default() += count;
        }
    }
}

/// Where and when a node was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Number of its frame in the source, 0-based.
    pub seq: u64,
    /// Presentation time of that frame, nanoseconds.
    pub pts_ns: u64,
    /// The object, in source pixels.
    pub region: PixelBox,
    /// The square that was cut, in source pixels.
    pub crop_box: PixelBox,
    /// The epoch that brought it.
    pub epoch: u64,
}

/// The log of an epoch: what arrived in it, and what was decided from it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochLog {
    /// Frames taken, source by source: first, and one past the last.
    pub slices: Vec<(SourceId, u64, u64)>,
    /// Decisions about the codebook, and the epoch they take effect at.
    pub decisions: Vec<(u64, Decision)>,
    /// Nodes that are to go, ascending, and the epoch they go at.
    pub retired: Option<(u64, Vec<NodeId>)>,
    /// Nodes that were forgotten in it. Their names are not kept.
    pub forgotten: u64,
    /// When it was committed, seconds since 1970. Nothing in the graph depends on it.
    pub committed_s: u64,
}

/// The forgotten nodes that may still lie in free pages of the data file or in checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasing {
    /// The nodes.
    pub nodes: Vec<NodeId>,
    /// Folders of checkpoints that may name them, beside the state's own.
    pub checkpoints: Vec<PathBuf>,
}

/// Counters over the life of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Nodes that the budget took back.
    pub retired: u64,
    /// Nodes that somebody had forgotten.
    pub forgotten: u64,
}
