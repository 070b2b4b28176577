//! The input and output of the vision code, and what holds for all its stages.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::frame::Frame;
use super::track::View;
use crate::id::SourceId;
use crate::index::kernels::vector::Vector;
use crate::index::node::Row;

/// Says what enters the vision code.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The next frame of a source.
    Frame {
        /// The frame.
        frame: Frame,
        /// True when what it leads to was committed before a restart: the vision state must see it, nothing is emitted.
        replayed: bool,
    },
    /// No more frames of this source.
    End(SourceId),
}

/// Says what leaves the vision code.
#[derive(Clone, Debug)]
pub enum Observed {
    /// A view of a finished track: a new node, not embedded yet.
    View(View),
    /// Says what one frame added to the counts of its source.
    Tally(SourceId, Tally),
    /// A whole picture, kept for later use.
    Still {
        /// The source.
        source: SourceId,
        /// Number of the frame.
        seq: u64,
        /// JPEG.
        jpeg: Arc<[u8]>,
    },
}

impl Observed {
    /// The view, if it is one.
    pub fn view(self) -> Option<View> {
        match self {
            Observed::View(view) => Some(view),
            Observed::Tally(..) | Observed::Still { .. } => None,
        }
    }
}

/// A view with its vector.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The view.
    pub view: View,
    /// d values, unit length.
    pub vector: Vector,
}

impl Embedded {
    /// The node as it enters the graph.
    pub fn row(&self) -> Row {
        Row { id: self.view.id, pts_ns: self.view.pts_ns, vector: self.vector.clone(), known: None }
    }
}

/// Counts of what was seen in a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Frames.
    pub frames: u64,
    /// Frames with at least one mined region.
    pub mined: u64,
    /// Frames without one, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Tracks begun.
    pub tracks_started: u64,
    /// Tracks that reached their length.
    pub tracks_finished: u64,
    /// Tracks dropped, by reason.
    pub tracks_lost: BTreeMap<&'static str, u64>,
}

/// Says how the vision operators cut a source up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Frames of a segment: vision state is reset at its start, so a segment can be decoded again by itself.
    pub segment_frames: u64,
    /// One frame in this many is offered to the reservoir of whole stills; 0 for none.
    pub still_every: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { segment_frames: 512, still_every: 128 }
    }
}

/// Sources of this worker that the vision code could not go on with, and why. Whoever feeds frames looks here.
pub type Failures = Rc<RefCell<BTreeMap<SourceId, String>>>;

/// Time spent by stage, over all workers.
#[derive(Debug, Default)]
pub struct Clock {
    nanos: [AtomicU64; 4],
}

/// A stage of the dataflow whose time is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Finding what moves.
    Mine = 0,
    /// Following it, and cutting crops.
    Track = 1,
    /// From crop to vector.
    Embed = 2,
    /// All of a worker's steps: the three above and the graph.
    Step = 3,
}

impl Clock {
    /// Runs `work` and adds its time to `stage`.
    pub fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.nanos[stage as usize].fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        done
    }

    /// Time spent in `stage`, summed over workers.
    pub fn spent(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.nanos[stage as usize].load(Ordering::Relaxed))
    }
}

/// The message of a caught panic.
pub(super) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().map_or("unknown panic", |m| m).to_string(),
    }
}
