//! The last step of a run: what it did.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::observe::stream::Stage;

use crate::engine::cluster::Link;
use crate::engine::member::Member;
use crate::engine::parts::Parts;
use crate::engine::report::{FailedSource, Report};
use crate::engine::training::Trained;
use crate::peak_rss::peak_rss_bytes;
use crate::state::State;
use crate::store::remote::Server;

/// A run whose threads have ended.
pub(super) struct Ended {
    pub(super) state: State,
    pub(super) all: State,
    pub(super) member: Member,
    pub(super) k: usize,
    pub(super) budget: usize,
    pub(super) named: BTreeSet<SourceId>,
    pub(super) failed: Vec<FailedSource>,
    pub(super) forgotten: Vec<String>,
    pub(super) trained: Option<anyhow::Result<Trained>>,
    pub(super) link: Option<Link>,
    pub(super) server: Option<Server>,
}

impl Ended {
    /// The report of the run that began at `start`.
    pub(super) fn report(mut self, parts: &Parts, start: Instant) -> anyhow::Result<Report> {
        let life = &parts.life;
        self.named.extend(parts.board.all().iter().map(|source| SourceId(source.id)));
        // Others may be gone when all were told to stop.
        let mut report = match Report::of_state(&self.all, &self.named, self.k) {
            Err(_) if self.member.of > 1 && life.stopped() => {
                Report::of_state(&self.state, &self.named, self.k)?
            }
            report => report?,
        };
        if let (Some(link), false) = (&self.link, life.stopped()) {
            link.wait_done(self.member.process, &|| life.stopped());
        }
        drop((self.link, self.server));
        report.sources_failed.extend(self.failed);
        report.sources_forgotten = self.forgotten;
        match self.trained {
            Some(Ok(summary)) => {
                report.train_steps = summary.steps;
                report.train_steps_per_s = summary.steps_per_s;
                report.loss_first = summary.loss_first;
                report.loss_last = summary.loss_last;
                report.seconds_by_stage.insert("train".into(), summary.seconds);
            }
            Some(Err(error)) => report.train_failed = Some(format!("{error:#}")),
            None => {}
        }
        report.dropped = parts.board.all().iter().map(|source| source.dropped).sum();
        report.budget = self.budget as u64;
        figures(&mut report, parts, start);
        Ok(report)
    }
}

/// The figures of this run.
fn figures(report: &mut Report, parts: &Parts, start: Instant) {
    let (tallies, clock, life) = (&parts.tallies, &parts.clock, &parts.life);
    let seconds = start.elapsed().as_secs_f64();
    report.frames_this_run = tallies.frames.load(Ordering::Relaxed);
    report.nodes_this_run = tallies.nodes.load(Ordering::Relaxed);
    report.retired_this_run = tallies.retired.load(Ordering::Relaxed);
    report.seconds = seconds;
    let since = |then: Option<Instant>| then.map(|then| (then - start).as_secs_f64());
    // Training may go on after the last frame.
    report.frames_per_s = report.frames_this_run as f64 / since(life.finished_at()).unwrap_or(seconds);
    report.restore_seconds = since(life.restored_at()).unwrap_or_default();
    report.commit_ms = tallies.commit_ms();
    let commit = Duration::from_nanos(tallies.commit_ns.load(Ordering::Relaxed));
    let vision: Duration = [Stage::Mine, Stage::Track, Stage::Embed].map(|s| clock.spent(s)).iter().sum();
    for (name, spent) in [
        ("mine", clock.spent(Stage::Mine)),
        ("track", clock.spent(Stage::Track)),
        ("embed", clock.spent(Stage::Embed)),
        ("graph", clock.spent(Stage::Step).saturating_sub(vision)),
        ("commit", commit),
    ] {
        report.seconds_by_stage.insert(name.into(), spent.as_secs_f64());
    }
    report.peak_rss_bytes = peak_rss_bytes();
}
