//! The main job: frames in, the graph kept up to date and on disk, the trainer fed.
//!
//! ```text
//! sources --(one thread each)--> workers --(one share a worker and epoch)--> committer --> store --> trainer
//!                                   ^-------- decisions, committed epoch --------'
//! ```

pub mod changes;
#[cfg(feature = "ingest")]
pub mod cluster;
#[cfg(feature = "ingest")]
pub mod committer;
#[cfg(feature = "ingest")]
pub mod engine;
pub mod hydrate;
#[cfg(feature = "ingest")]
pub mod lanes;
pub mod member;
pub mod outputs;
pub mod progress;
#[cfg(feature = "ingest")]
pub mod report;
#[cfg(feature = "ingest")]
pub mod sources;
#[cfg(feature = "ingest")]
pub mod training;
#[cfg(feature = "ingest")]
pub mod worker;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

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
    /// End when the sources have ended, all is committed and training has nothing left to do.
    pub until_idle: bool,
    /// No progress bars.
    pub quiet: bool,
    /// Run together with other processes.
    #[cfg(feature = "ingest")]
    pub cluster: Option<cluster::Options>,
}

/// What the threads of a run know of each other.
#[derive(Debug, Default)]
pub struct Shared {
    committed: AtomicU64,
    restored: OnceLock<Instant>,
    finished: OnceLock<Instant>,
    stop: AtomicBool,
    fault: Mutex<Option<String>>,
    notices: Mutex<Vec<String>>,
    news: Condvar,
    news_lock: Mutex<()>,
    workers: Mutex<Vec<Thread>>,
}

impl Shared {
    /// For a state whose last committed epoch is `committed`.
    pub fn new(committed: u64) -> Self {
        Shared { committed: AtomicU64::new(committed), ..Shared::default() }
    }

    /// The last committed epoch.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// Every epoch up to `epoch` is durable now: wakes whoever waits for that.
    pub fn commit(&self, epoch: u64) {
        self.committed.store(epoch, Ordering::Release);
        self.wake();
    }

    /// What the state held is back in memory and checked.
    pub fn restore(&self) {
        self.restored.get_or_init(Instant::now);
        self.wake();
    }

    /// When what the state held was back in memory.
    pub fn restored_at(&self) -> Option<Instant> {
        self.restored.get().copied()
    }

    /// Nothing is left to take in: the dataflow may end.
    pub fn finish(&self) {
        self.finished.get_or_init(Instant::now);
        self.wake();
    }

    /// Whether the dataflow has taken in and committed all there is.
    pub fn finished(&self) -> bool {
        self.finished.get().is_some()
    }

    /// When the dataflow had taken in and committed all there is.
    pub fn finished_at(&self) -> Option<Instant> {
        self.finished.get().copied()
    }

    /// Ends everything soon; what is not committed is taken again next time.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether everything is to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Ends everything because of `reason`; the first reason is kept.
    pub fn fail(&self, reason: String) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.stop();
    }

    /// Why everything was ended, if something failed.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has `notice` shown to whoever watches the run.
    pub fn notice(&self, notice: String) {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
    }

    /// Takes the notices that were not shown yet.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Registers the calling thread to be unparked at news.
    pub fn wake_me(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(std::thread::current());
    }

    /// Waits until more than `epoch` is committed, everything ends, or `timeout` has passed.
    pub fn wait_beyond(&self, epoch: Option<u64>, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut guard = self.news_lock.lock().unwrap_or_else(PoisonError::into_inner);
        while epoch.is_some_and(|epoch| self.committed() <= epoch) && !self.finished() && !self.stopped() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            guard = self.news.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for `timeout`, or less when everything ends before.
    pub fn wait_finished(&self, timeout: Duration) {
        self.wait_beyond(Some(u64::MAX), timeout);
    }

    fn wake(&self) {
        drop(self.news_lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_all();
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Thread::unpark);
    }
}
