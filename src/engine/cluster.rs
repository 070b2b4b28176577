//! Several processes that run one graph.
//!
//! ```text
//! process 0   sources 0, P, ...    workers --+-- timely --+-- workers   sources 1, P + 1, ...   process 1
//!             state: shard 0 of P            |            |             state: shard 1 of P
//!             decisions, trainer   <---------+-- agreement on epochs --+
//! ```
//!
//! Each process reads the sources that are its own and keeps what follows from them. Everybody is connected with everybody for what
//! the dataflow exchanges, and with process 0 for what is agreed on: where to start, which epochs are committed by all, when it is
//! over. Process 0 alone takes decisions and trains; it reads the others' states over the network.

mod agreement;
mod company;
mod door;
mod hosts;
mod link;
mod meeting;
mod mesh;
pub(super) mod place;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::member::Member;
use crate::state::record::Shard;
use crate::state::{State, StateError, encode, key};
use crate::store::{Batch, Table};

pub(super) use company::{Asked, Company};
pub use hosts::read as read_hosts;
pub(super) use link::{Agreed, Link, Message};
pub(super) use meeting::Met;
pub(super) use mesh::{Cuttable, is_broken_line, start_workers};
pub use place::ClusterOptions;

/// Why processes do not run together.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The host file.
    #[error("{}: {reason}", path.display())]
    Hosts {
        /// The file.
        path: PathBuf,
        /// The fault in it.
        reason: String,
    },
    /// A process that is not in the host file.
    #[error("--process {process}: the host file names {of}, counted from 0")]
    Process {
        /// The process asked for.
        process: usize,
        /// Lines of the host file.
        of: usize,
    },
    /// A lane would be read by two processes.
    #[error("engine.lanes = {lanes} is not a multiple of the {of} processes, so a lane would be split")]
    Lanes {
        /// Lanes.
        lanes: u64,
        /// Processes.
        of: usize,
    },
    /// The state is another shard than this process runs.
    #[error(
        "{place}: shard {} of {}, and this is process {} of {}; `kinetograph reshard` deals a state out anew",
        is.process, is.of, asked.process, asked.of
    )]
    Shard {
        /// The state's folder.
        place: String,
        /// The shard that it is.
        is: Shard,
        /// The request, as it was given.
        asked: Shard,
    },
    /// This process cannot listen where the host file says.
    #[error("process {process}: cannot listen at {address}: {error}")]
    Listen {
        /// This process.
        process: usize,
        /// Where.
        address: String,
        /// Why not.
        error: io::Error,
    },
    /// Another process did not come.
    #[error("process {process} ({address}) did not come within {} s{reason}", waited.as_secs())]
    Missing {
        /// The process.
        process: usize,
        /// Its address.
        address: String,
        /// The time that was waited.
        waited: Duration,
        /// The last that was seen of it, after a colon.
        reason: String,
    },
    /// Processes that were started differently.
    #[error("process {process} ({address}): {what} is {theirs}, here {ours}; start all processes alike")]
    Differs {
        /// The other process.
        process: usize,
        /// Its address.
        address: String,
        /// The difference.
        what: String,
        /// There.
        theirs: String,
        /// Here.
        ours: String,
    },
    /// Process 0 does not let this one in.
    #[error("process 0 ({address}) says: {reason}")]
    Refused {
        /// The address of process 0.
        address: String,
        /// Why.
        reason: String,
    },
    /// A connection broke at the start.
    #[error("process {process} ({address}) is gone: {error}")]
    Gone {
        /// The process.
        process: usize,
        /// Its address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The stores are too far apart for one moment's crash.
    #[error(
        "{place}: is {ahead} epochs ahead of the other processes' states, more than one crash explains \
         (engine.max_lag_epochs); is each process given its own, latest --state?"
    )]
    Apart {
        /// The state's folder.
        place: String,
        /// Epochs that only it has.
        ahead: u64,
    },
    /// Whoever started it changed their mind.
    #[error("stopped while waiting for the other processes")]
    Interrupted,
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
}

impl ClusterError {
    /// Returns true when the command line, the configuration or the host file is wrong.
    pub fn is_usage(&self) -> bool {
        use ClusterError::{Hosts, Lanes, Process};
        matches!(self, Hosts { .. } | Process { .. } | Lanes { .. })
    }
}

/// Checks that `state` is what `member` keeps, or makes a new one so.
///
/// # Errors
/// [`ClusterError::Shard`] when it is another shard.
pub(super) fn keep_shard(state: &State, member: Member) -> Result<(), ClusterError> {
    let view = state.view()?;
    let (is, asked) = (view.shard()?, member.shard());
    if is == asked {
        return Ok(());
    }
    if view.made_with()?.is_some() {
        return Err(ClusterError::Shard { place: state.place(), is, asked });
    }
    let mut batch = Batch::default();
    batch.put(Table::Meta, key::SHARD, encode(&asked));
    drop(view);
    Ok(state.commit(&batch)?)
}

/// Takes `state` back to `start`, where all processes stand. It was at most `max_lag` epochs ahead.
///
/// # Errors
/// [`ClusterError`] when it is further ahead, or cannot go back so far.
pub(super) fn go_back(state: &State, start: u64, max_lag: u64) -> Result<(), ClusterError> {
    let view = state.view()?;
    let now = view.epoch()?;
    if now <= start {
        return Ok(());
    }
    let ahead = view.epochs(Table::Log)?.range(start + 1..).count() as u64;
    if ahead > max_lag {
        return Err(ClusterError::Apart { place: state.place(), ahead });
    }
    let since = state.since()?;
    if start < since {
        return Err(StateError::NotKept { place: state.place(), asked: start, since, now }.into());
    }
    let batch = crate::state::history::undo(&view, start)?;
    drop(view);
    Ok(state.commit(&batch)?)
}
