//! The options of a run.

use std::path::PathBuf;

#[cfg(feature = "ingest")]
use super::cluster::place::ClusterOptions;

/// The options of a run.
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
    /// End when the sources have ended, all is committed and training has nothing left to do. A live source does not end; a paused
    /// one is not waited for.
    pub until_idle: bool,
    /// Run together with other processes.
    #[cfg(feature = "ingest")]
    pub cluster: Option<ClusterOptions>,
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
