//! The front door of a running engine.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::observe::stream::Stage;
use kinetograph_pipelines::{Life, NamedSource, expand};

use super::board::{SourceState, SourceStatus};
use super::control::{Answer, ControlError, Order, Request};
use super::events::Event;
use super::options::Options;
use super::parts::Parts;
use super::report::Report;
use super::status::{EpochStatus, QueueStatus, StageStatus, Status, Totals, TrainerStatus};
use crate::config::Config;

/// The interval at which a request that waits looks whether the run is over.
const LOOK: Duration = Duration::from_millis(50);

/// A running engine. Dropping it stops the run and waits for its end.
#[derive(Debug)]
pub struct RunHandle {
    state: String,
    start: Instant,
    queue_frames: usize,
    max_lag_epochs: u64,
    batch: bool,
    several_processes: bool,
    parts: Parts,
    requests: Sender<Request>,
    thread: Option<JoinHandle<anyhow::Result<Report>>>,
}

impl RunHandle {
    pub(super) fn new(
        state: String,
        config: &Config,
        options: &Options,
        parts: Parts,
        requests: Sender<Request>,
        thread: JoinHandle<anyhow::Result<Report>>,
    ) -> Self {
        RunHandle {
            state,
            start: Instant::now(),
            queue_frames: config.ingest.queue_frames,
            max_lag_epochs: config.engine.max_lag_epochs,
            batch: options.batch,
            several_processes: options.cluster.as_ref().is_some_and(|cluster| cluster.hosts.len() > 1),
            parts,
            requests,
            thread: Some(thread),
        }
    }

    /// The run at this moment.
    pub fn status(&self) -> Status {
        let Parts { life, board, events, tallies, clock, .. } = &self.parts;
        let sources = board.all();
        let open = sources.iter().filter(|source| source.state == SourceState::Running).count();
        let committed = life.committed();
        let begun = tallies.begun.load(Ordering::Relaxed).max(committed);
        let queue = |queue: &str, length: u64, capacity: u64| QueueStatus {
            queue: queue.to_owned(),
            length,
            capacity,
        };
        let vision = [Stage::Mine, Stage::Track, Stage::Embed].map(|stage| clock.spent(stage));
        let commit = Duration::from_nanos(tallies.commit_ns.load(Ordering::Relaxed));
        let graph = clock.spent(Stage::Step).saturating_sub(vision.iter().sum());
        let stage = |(stage, spent): (&str, Duration)| StageStatus {
            stage: stage.to_owned(),
            seconds: spent.as_secs_f64(),
        };
        Status {
            state: self.state.clone(),
            phase: life.phase(),
            idle: life.idle(),
            fault: life.fault(),
            seconds: self.start.elapsed().as_secs_f64(),
            totals: self.totals(),
            stages: [
                ("mine", vision[0]),
                ("track", vision[1]),
                ("embed", vision[2]),
                ("graph", graph),
                ("commit", commit),
            ]
            .map(stage)
            .into(),
            queues: vec![
                queue("frames", sources.iter().map(|s| s.queued).sum(), (open * self.queue_frames) as u64),
                queue("epochs", begun - committed, self.max_lag_epochs),
                queue(
                    "requests",
                    self.requests.len() as u64,
                    self.requests.capacity().unwrap_or_default() as u64,
                ),
            ],
            epochs: EpochStatus {
                begun,
                committed,
                written: tallies.epochs.load(Ordering::Relaxed),
                commit_ms: tallies.commit_ms(),
            },
            trainer: self.parts.status_of_trainer(),
            events_missed: events.missed(),
            sources,
        }
    }

    /// The sums of [`RunHandle::status`] alone, which cost little however many sources there are.
    pub fn totals(&self) -> Totals {
        let Parts { life, board, tallies, .. } = &self.parts;
        Totals {
            sources: board.count(),
            sources_ended: tallies.sources_ended.load(Ordering::Relaxed),
            frames: tallies.frames.load(Ordering::Relaxed),
            nodes: tallies.nodes.load(Ordering::Relaxed),
            retired: tallies.retired.load(Ordering::Relaxed),
            pairs: tallies.pairs.load(Ordering::Relaxed) as i64,
            epoch: life.committed(),
        }
    }

    /// Returns what the trainer does.
    pub fn trainer(&self) -> TrainerStatus {
        self.parts.status_of_trainer()
    }

    /// Returns what happens: the last events so far, then all that come, then the end of the channel with the run's. The channel is bounded, and the run does not wait for whoever
    /// listens: one who does not keep up misses some, which [`Status::events_missed`] counts.
    pub fn events(&self) -> Receiver<Event> {
        self.parts.events.listen()
    }

    /// Reads another source, or several that `argument` names as on the command line. Comes back when that is durable: each run over
    /// this state reads them from then on. One that was removed goes on where it stood.
    ///
    /// # Errors
    /// [`ControlError`], for the first source that cannot be added; those before it are.
    pub fn add(&self, argument: &str) -> Result<Vec<SourceStatus>, ControlError> {
        let mut added = Vec::new();
        let found = expand(&[argument.to_owned()])?;
        for skipped in found.skipped {
            let (uri, reason) = (argument.to_owned(), skipped.to_string());
            self.parts.events.tell(Event::SourceFailed { uri, reason });
        }
        for named in found.sources {
            if self.batch && named.source.life() == Life::Live {
                return Err(ControlError::Batch);
            }
            let fingerprint = named.source.fingerprint()?;
            added.push(self.ask(Order::Add(named, fingerprint))?);
        }
        Ok(added)
    }

    /// Stops to read a source until it is [resumed](RunHandle::resume), also by later runs. Comes back when that is durable.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn pause(&self, source: SourceId) -> Result<SourceStatus, ControlError> {
        self.ask(Order::Pause(source))
    }

    /// Reads a paused source on: a file from where it stood, a live source from now. Comes back when that is durable.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn resume(&self, source: SourceId) -> Result<SourceStatus, ControlError> {
        let known = self.parts.board.get(source);
        let known = known.ok_or_else(|| ControlError::Unknown(format!("source {}", source.0)))?;
        let fingerprint = NamedSource::from_uri(&known.uri)?.source.fingerprint()?;
        self.ask(Order::Resume(source, fingerprint))
    }

    /// Stops to read a source for good, also by later runs that name it. What came of it stays. Comes back when that is durable.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn remove(&self, source: SourceId) -> Result<SourceStatus, ControlError> {
        self.ask(Order::Remove(source))
    }

    /// Tells the run to end soon, and comes back at once. What is not committed is taken again by the next run.
    pub fn stop(&self) {
        self.parts.life.stop();
    }

    /// Tells whether the run is over, so that [`RunHandle::join`] does not wait.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end of the run: with `until_idle` until all is taken in, else until it is [stopped](RunHandle::stop).
    ///
    /// # Errors
    /// The error that the run failed with. A source that failed is in the report.
    pub fn join(mut self) -> anyhow::Result<Report> {
        let Some(thread) = self.thread.take() else { return Err(anyhow!("the run was joined before")) };
        thread.join().map_err(|_| anyhow!("the engine panicked; its message is above"))?
    }

    fn ask(&self, order: Order) -> Answer {
        if self.several_processes {
            return Err(ControlError::Cluster);
        }
        if self.batch {
            return Err(ControlError::Batch);
        }
        let over = || self.is_over() || self.parts.life.finished() || self.parts.life.stopped();
        let (answer, answered) = bounded(1);
        let mut request = Request { order, answer };
        while let Err(error) = self.requests.send_timeout(request, LOOK) {
            if error.is_disconnected() || over() {
                return Err(ControlError::Over);
            }
            request = error.into_inner();
        }
        self.parts.life.nudge();
        loop {
            match answered.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(ControlError::Over),
                Err(RecvTimeoutError::Timeout) if self.is_over() => return Err(ControlError::Over),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop();
            // Whoever drops it does not ask how it went.
            let _ = thread.join();
        }
    }
}
