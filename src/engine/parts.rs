//! The parts of a run that its threads share: one struct each, and nobody keeps a flag of its own.

use std::sync::{Arc, Mutex, PoisonError};

use kinetograph_dataflows::observe::stream::Clock;

use super::board::Board;
use super::events::Events;
use super::lifecycle::Lifecycle;
use super::status::TrainerStatus;
use super::tallies::Tallies;

/// The parts of a run that its threads, and whoever holds its handle, share.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Its phase and its last committed epoch.
    pub life: Arc<Lifecycle>,
    /// Its sources.
    pub board: Arc<Board>,
    /// Who is told what happens.
    pub events: Arc<Events>,
    /// Figures of its commits.
    pub tallies: Arc<Tallies>,
    /// Time spent by stage.
    pub clock: Arc<Clock>,
    trainer: Arc<Mutex<TrainerStatus>>,
}

impl Parts {
    /// Notes what the trainer does.
    pub fn trainer(&self, status: TrainerStatus) {
        *self.trainer.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Returns what the trainer does.
    pub fn status_of_trainer(&self) -> TrainerStatus {
        *self.trainer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
