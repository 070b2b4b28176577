//! Figures of a run so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// Figures of the commits so far, for progress and the report.
#[derive(Debug, Default)]
pub struct Tallies {
    /// Frames committed in this run.
    pub frames: AtomicU64,
    /// Nodes committed in this run.
    pub nodes: AtomicU64,
    /// Nodes that the budget took back in this run.
    pub retired: AtomicU64,
    /// Net change of transitive pairs in this run, one a reason, as two's complement.
    pub pairs: AtomicU64,
    /// Sources that ended in this run.
    pub sources_ended: AtomicU64,
    /// Epochs with changes, committed in this run.
    pub epochs: AtomicU64,
    /// Nanoseconds spent making epochs durable.
    pub commit_ns: AtomicU64,
    /// The longest commit, nanoseconds.
    pub commit_max_ns: AtomicU64,
    /// The last epoch that a worker takes frames for.
    pub begun: AtomicU64,
}

impl Tallies {
    /// Mean and longest commit, milliseconds.
    pub fn commit_ms(&self) -> [f64; 2] {
        let commits = self.epochs.load(Ordering::Relaxed).max(1);
        let ms = |ns: &AtomicU64| ns.load(Ordering::Relaxed) as f64 / 1e6;
        [ms(&self.commit_ns) / commits as f64, ms(&self.commit_max_ns)]
    }
}
