//! The board holds what is known of each source of a run while it goes on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinetograph_dataflows::id::SourceId;
use kinetograph_pipelines::{Life, Source};
use serde::{Deserialize, Serialize};

/// The state of a source in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// It waits for its turn.
    Waiting,
    /// It is being read.
    Running,
    /// It is not read until it is resumed.
    Paused,
    /// It was read to its end.
    Ended,
    /// It could not be read, or not to its end.
    Failed,
    /// It is not read any more. What came of it stays.
    Removed,
}

/// A source of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its number, for good.
    pub id: u32,
    /// Its address.
    pub uri: String,
    /// A short name for people.
    pub name: String,
    /// True when it is live: it cannot be read again, and has no end.
    pub live: bool,
    /// Its state.
    pub state: SourceState,
    /// Why it failed.
    pub reason: Option<String>,
    /// The number of the first frame that is not committed. Those of a live source skip to the next segment at each connection.
    pub position: u64,
    /// Frames committed in this run.
    pub frames: u64,
    /// Nodes committed in this run.
    pub nodes: u64,
    /// Decoded frames that wait to be taken.
    pub queued: u64,
    /// Frames of a live source that were dropped in this run, because nobody took those before them in time.
    pub dropped: u64,
    /// Connections with a live source in this run, the present one among them.
    pub connections: u64,
}

impl SourceStatus {
    /// Of a source that waits for its turn.
    pub fn waiting(id: SourceId, name: &str, source: &dyn Source, position: u64) -> Self {
        SourceStatus {
            id: id.0,
            uri: source.uri().to_owned(),
            name: name.to_owned(),
            live: source.life() == Life::Live,
            state: SourceState::Waiting,
            reason: None,
            position,
            frames: 0,
            nodes: 0,
            queued: 0,
            dropped: 0,
            connections: 0,
        }
    }
}

/// The sources of a run, by number. Lanes and the committer write here; whoever asks for the status reads.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<SourceId, SourceStatus>>);

impl Board {
    /// Adds a source.
    pub fn add(&self, source: SourceStatus) {
        self.sources().insert(SourceId(source.id), source);
    }

    /// Changes what is known of `source`, if it is one of the run.
    pub fn change(&self, source: SourceId, change: impl FnOnce(&mut SourceStatus)) {
        if let Some(status) = self.sources().get_mut(&source) {
            change(status);
        }
    }

    /// The source of that number.
    pub fn get(&self, source: SourceId) -> Option<SourceStatus> {
        self.sources().get(&source).cloned()
    }

    /// All sources, by number.
    pub fn all(&self) -> Vec<SourceStatus> {
        self.sources().values().cloned().collect()
    }

    /// Returns the number of sources.
    pub fn count(&self) -> u64 {
        self.sources().len() as u64
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<SourceId, SourceStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
