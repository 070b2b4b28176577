//! The fourth step of a run: waiting for its end.

use std::time::Duration;

use anyhow::anyhow;

use super::begin::Running;
use super::summary::Ended;
use crate::engine::events::Event;
use crate::engine::parts::Parts;
use crate::engine::status::{TrainerState, TrainerStatus};
use crate::engine::training::Trained;

/// The interval at which the trainer and the state's folder are looked at.
const EVERY: Duration = Duration::from_millis(200);

impl Running {
    /// Waits until all is taken in and training has nothing left to do, or the run is told to stop.
    ///
    /// # Errors
    /// The error that the run failed with.
    pub(super) fn watch(mut self, parts: &Parts) -> anyhow::Result<Ended> {
        let life = &parts.life;
        let mut trained = None;
        while !life.stopped() && (!life.finished() || self.training.is_some()) {
            // Also when nothing is committed.
            if let Err(error) = self.state.view() {
                life.fail(error.to_string());
            }
            if let Some(ended) = self.training.take_if(|training| training.is_finished()) {
                trained = Some(ended.join());
                told(parts, trained.as_ref());
            }
            if let Some(training) = &self.training {
                let loss = Some(training.loss()).filter(|loss| loss.is_finite());
                parts.trainer(TrainerStatus { state: TrainerState::Running, steps: training.steps(), loss });
            }
            life.wait_stopped(EVERY);
        }
        tracing::info!(phase = ?life.phase(), epoch = life.committed(), fault = life.fault(), "the run ends");
        if let (Some(link), true) = (&self.link, life.stopped()) {
            link.ends(life.fault());
            self.mesh_lines.cut();
        }
        self.working.join().map_err(|_| anyhow!("a worker thread panicked"))?;
        self.committing.join().map_err(|_| anyhow!("the committer panicked"))?;
        if let Some(training) = self.training {
            trained = Some(training.join());
            told(parts, trained.as_ref());
        }
        if let Some(fault) = life.fault() {
            return Err(anyhow!(fault));
        }
        Ok(Ended {
            state: self.state,
            all: self.all,
            member: self.member,
            k: self.k,
            budget: self.budget,
            named: self.named,
            failed: self.failed,
            forgotten: self.forgotten,
            trained,
            link: self.link,
            server: self.server,
        })
    }
}

/// Tells how training ended.
fn told(parts: &Parts, trained: Option<&anyhow::Result<Trained>>) {
    match trained {
        Some(Ok(trained)) => {
            let (steps, loss) = (trained.steps, trained.loss_last);
            parts.trainer(TrainerStatus { state: TrainerState::Ended, steps, loss });
        }
        Some(Err(error)) => {
            let reason = format!("{error:#}");
            parts.trainer(TrainerStatus { state: TrainerState::Failed, ..parts.status_of_trainer() });
            parts.events.tell(Event::TrainingFailed { reason });
        }
        None => {}
    }
}
