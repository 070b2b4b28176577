//! A run at one moment, as plain numbers and words that can be sent anywhere.

use serde::{Deserialize, Serialize};

use super::board::SourceStatus;
use super::lifecycle::Phase;

/// A run at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The state's folder.
    pub state: String,
    /// The phase of its life.
    pub phase: Phase,
    /// True when nothing is read, decided or waited for.
    pub idle: bool,
    /// Why it failed, if it did.
    pub fault: Option<String>,
    /// Seconds since it was started.
    pub seconds: f64,
    /// Its sources, by number.
    pub sources: Vec<SourceStatus>,
    /// Sums over this run.
    pub totals: Totals,
    /// Its stages, in the order of a frame's way.
    pub stages: Vec<StageStatus>,
    /// Its queues.
    pub queues: Vec<QueueStatus>,
    /// Its epochs.
    pub epochs: EpochStatus,
    /// Its trainer.
    pub trainer: TrainerStatus,
    /// Events that listeners missed because they did not keep up.
    pub events_missed: u64,
}

/// Sums over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Sources.
    pub sources: u64,
    /// Sources that ended or failed in this run.
    pub sources_ended: u64,
    /// Frames committed in this run.
    pub frames: u64,
    /// Nodes committed in this run.
    pub nodes: u64,
    /// Nodes that the budget took back in this run.
    pub retired: u64,
    /// Transitive pairs that came in this run less those that went, one a reason.
    pub pairs: i64,
    /// The last committed epoch.
    pub epoch: u64,
}

/// A stage of a frame's way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageStatus {
    /// `mine`, `track`, `embed`, `graph` or `commit`.
    pub stage: String,
    /// Seconds spent in it in this run, summed over workers.
    pub seconds: f64,
}

/// A queue between two parts of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// `frames` (decoded, not taken), `epochs` (begun, not committed) or `requests` (asked for, not durable).
    pub queue: String,
    /// The number of things that wait in it.
    pub length: u64,
    /// The number of things that may wait in it.
    pub capacity: u64,
}

/// The epochs of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochStatus {
    /// The last one that a worker takes frames for.
    pub begun: u64,
    /// The last committed one.
    pub committed: u64,
    /// Those of this run that changed something.
    pub written: u64,
    /// Mean and longest commit of this run, milliseconds.
    pub commit_ms: [f64; 2],
}

/// A trainer as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainerStatus {
    /// Its state.
    pub state: TrainerState,
    /// Steps over the life of the state's trainer.
    pub steps: u64,
    /// The last loss; `None` before the first step.
    pub loss: Option<f64>,
}

/// The state of a trainer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainerState {
    /// The run does not train, or has not begun to.
    #[default]
    Off,
    /// It trains, or waits for more to train on.
    Running,
    /// It has ended with a checkpoint.
    Ended,
    /// It stopped with an error; the graph goes on without it.
    Failed,
}
