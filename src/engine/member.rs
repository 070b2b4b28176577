//! The place of a process among those that run a graph.

use crate::state::record::Shard;

/// The place of a process among others, with the workers that each has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// This process, counted from 0.
    pub process: usize,
    /// Processes.
    pub of: usize,
    /// Workers of each.
    pub workers: usize,
}

impl Member {
    /// The only process.
    pub fn alone(workers: usize) -> Self {
        Member { process: 0, of: 1, workers }
    }

    /// The shard that this process keeps.
    pub fn shard(self) -> Shard {
        Shard { process: self.process as u32, of: self.of as u32 }
    }

    /// The place among the workers of its process that the worker `index` of all has.
    pub fn local(self, index: usize) -> usize {
        index - self.process * self.workers
    }
}
