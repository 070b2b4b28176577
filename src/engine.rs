//! The main job: frames in, the graph kept up to date and on disk, the trainer fed.
//!
//! ```text
//! sources --(one thread each)--> workers --(one share a worker and epoch)--> committer --> store --> trainer
//!                                   ^---- decisions, committed epoch, orders -----'  ^
//!                                                                                    '-- requests -- handle
//! ```
//!
//! ```no_run
//! use kinetograph::config::Config;
//! use kinetograph::engine::{self, Options};
//!
//! let options = Options { sources: vec!["videos".into()], ..Options::new("state") };
//! let run = engine::start(&Config::default(), &options)?;
//! run.add("test://camera?frames=endless")?;
//! for event in run.events() {
//!     println!("{event:?}: {:?}", run.status().phase);
//! }
//! println!("{}", run.join()?);
//! # Ok::<(), anyhow::Error>(())
//! ```

#[cfg(feature = "ingest")]
pub mod board;
pub mod changes;
#[cfg(feature = "ingest")]
pub mod cluster;
#[cfg(feature = "ingest")]
pub mod committer;
#[cfg(feature = "ingest")]
pub mod control;
#[cfg(feature = "ingest")]
pub mod events;
#[cfg(feature = "ingest")]
pub mod handle;
pub mod hydrate;
#[cfg(feature = "ingest")]
pub mod lanes;
pub mod lifecycle;
pub mod member;
pub mod outputs;
#[cfg(feature = "ingest")]
pub mod parts;
#[cfg(feature = "ingest")]
pub mod report;
#[cfg(feature = "ingest")]
pub mod sources;
#[cfg(feature = "ingest")]
mod start;
#[cfg(feature = "ingest")]
pub mod status;
#[cfg(feature = "ingest")]
pub mod tallies;
#[cfg(feature = "ingest")]
pub mod training;
#[cfg(feature = "ingest")]
pub mod worker;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(feature = "ingest")]
pub use self::handle::RunHandle;
#[cfg(feature = "ingest")]
pub use self::start::{start, start_over, write_report};

/// How epochs are cut and how far anything may run ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Frames of each source in an epoch: exactly so many with `--batch`, at most so many otherwise.
    pub slice_frames: u64,
    /// Sources read at the same time; source i is read in lane i modulo this, one after the other.
    pub lanes: u64,
    /// Without `--batch`, an epoch takes what is ready this often, milliseconds.
    pub tick_ms: u64,
    /// Sources stop reading while this many epochs are not committed yet.
    pub max_lag_epochs: u64,
    /// A decision taken from closed epoch e takes effect at e plus this. Below `max_lag_epochs` it is what bounds how far
    /// anything may run ahead.
    pub decision_delay_epochs: u64,
    /// Whole stills kept.
    pub stills: usize,
    /// Epochs whose changes are kept for trainers that resume.
    pub deltas_kept_epochs: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            slice_frames: 32,
            lanes: 4,
            tick_ms: 250,
            max_lag_epochs: 4,
            decision_delay_epochs: 8,
            stills: 512,
            deltas_kept_epochs: 10_000,
        }
    }
}

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Paths, globs, folders and URIs.
    pub sources: Vec<String>,
    /// The state's folder.
    pub state: PathBuf,
    /// Timely workers.
    pub workers: usize,
    /// Lock-step: epoch e takes the e-th slice of each open file.
    pub batch: bool,
    /// Train while the graph grows.
    pub train: bool,
    /// End when the sources have ended, all is committed and training has nothing left to do. A live source does not end.
    pub until_idle: bool,
    /// Run together with other processes.
    #[cfg(feature = "ingest")]
    pub cluster: Option<cluster::Options>,
}

impl Options {
    /// A run over the state in that folder with one worker, without sources, training or an end.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Options {
            sources: Vec::new(),
            state: state.into(),
            workers: 1,
            batch: false,
            train: false,
            until_idle: false,
            #[cfg(feature = "ingest")]
            cluster: None,
        }
    }
}
