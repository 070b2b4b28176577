//! The second step of a run: what the states of all processes hold.

use std::sync::Arc;

use super::open::Opened;
use crate::engine::parts::Parts;
use crate::state::stored::{Stored, stored};

/// The run knows where it goes on.
pub(super) struct Restored {
    pub(super) opened: Opened,
    /// The last committed epoch.
    pub(super) committed: u64,
    /// The contents of the states of all processes.
    pub(super) everything: Arc<Stored>,
    /// The part of it that this process gives the dataflow.
    pub(super) own: Arc<Stored>,
}

impl Opened {
    /// Reads nodes, lists, decisions and classes as they are stored.
    pub(super) fn restore(self, parts: &Parts) -> anyhow::Result<Restored> {
        let committed = self.prepared.state.view()?.epoch()?;
        parts.life.open(committed);
        let all = &self.company.all;
        let delay = self.prepared.config.engine.decision_delay_epochs;
        let everything = Arc::new(stored(all, &all.view()?, delay)?);
        tracing::info!(epoch = committed, nodes = everything.rows.len(), "state read");
        let own = match self.prepared.member.of {
            1 => everything.clone(),
            _ => Arc::new(everything.of_shard(self.prepared.member.shard())),
        };
        Ok(Restored { opened: self, committed, everything, own })
    }
}
