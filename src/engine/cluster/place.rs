//! The place of a process among those that run a graph.

use std::time::Duration;

/// The place of this process among the others.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The addresses at which the processes listen (host:port), process 0 first.
    pub hosts: Vec<String>,
    /// This process, counted from 0.
    pub process: usize,
    /// The time to wait for the others at the start.
    pub patience: Duration,
}
