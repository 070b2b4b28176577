//! The place of a process among those that run a graph.

use std::time::Duration;

/// Which process this is, and where the others are.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Where each process listens (host:port), process 0 first.
    pub hosts: Vec<String>,
    /// This process, counted from 0.
    pub process: usize,
    /// The time to wait for the others at the start.
    pub patience: Duration,
}
