//! Starting and ending a run.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossbeam::channel::bounded;
use kinetograph_dataflows::embed::Embedder;
use kinetograph_dataflows::observe::{Clock, Stage};
use kinetograph_dataflows::wire::Plan;

use super::committer::{Committer, Tallies};
use super::hydrate::stored;
use super::progress::{self, Figures, Progress};
use super::report::{FailedSource, Report};
use super::sources::{enlist, share_out};
use super::worker::{Crew, work};
use super::{Options, Shared};
use crate::budget::Evicting;
use crate::config::{Config, graph_settings};
use crate::peak_rss::peak_rss_bytes;
use crate::state::record::MadeWith;
use crate::state::{State, StateError, encode, key};
use crate::store::{Batch, Table};

/// Runs until everything is taken in (`until_idle`) or `interrupted` says to stop; what is not committed then is taken
/// again next time.
///
/// # Errors
/// When the state cannot be opened, read or written, belongs to other settings, or its stored graph is inconsistent. A
/// source that fails is no error: the report names it.
pub fn run(config: &Config, options: &Options, interrupted: &dyn Fn() -> bool) -> anyhow::Result<Report> {
    crate::forget::finish(&options.state)?;
    run_over(State::open(&options.state)?, config, options, interrupted)
}

/// As [`run`], over a state that is open already.
///
/// # Errors
/// See [`run`].
pub fn run_over(
    state: State,
    config: &Config,
    options: &Options,
    interrupted: &dyn Fn() -> bool,
) -> anyhow::Result<Report> {
    let start = Instant::now();
    let embedder = crate::embed::choice::embedder(&config.embed)?;
    keep_settings(&state, config, &embedder.space())?;
    let enlisted = enlist(&state, &options.sources)?;
    let sources = enlisted.waiting.len() as u64;

    let view = state.view()?;
    let committed = view.epoch()?;
    let stored = Arc::new(stored(&state, &view, config.engine.decision_delay_epochs)?);
    drop(view);

    let shared = Arc::new(Shared::new(committed));
    let (tallies, clock) = (Arc::new(Tallies::default()), Arc::new(Clock::default()));
    let workers = options.workers.max(1);
    let (shares_in, shares) = bounded(workers * 2);
    // A closed epoch gives few decisions, and worker 0 looks for them after each: this never fills up.
    let (decisions_in, decisions) = bounded(4096);
    let nothing_to_read = enlisted.named.is_empty() && !enlisted.failed.is_empty();
    let until_idle = options.until_idle || options.batch || nothing_to_read;
    let budget = config.budget.nodes(embedder.dim(), config.graph.neighbours.k);
    let committer = Committer::new(
        state.clone(),
        (&config.engine, &config.graph),
        Evicting::new(config.budget.policy, budget),
        &stored,
        shared.clone(),
        tallies.clone(),
        (decisions_in, workers, until_idle),
    )?;
    let crew = Arc::new(Crew {
        plan: plan(config, embedder, clock.clone()),
        settings: config.engine.clone(),
        ingest: config.ingest.clone(),
        batch: options.batch,
        stored: Mutex::new(vec![stored; workers]),
        start: committed,
        shared: shared.clone(),
        shares: shares_in,
        decisions,
    });
    let lanes = share_out(enlisted.waiting, config.engine.lanes, workers);
    let mut trainer = options
        .train
        .then(|| crate::run::training::start(config, &state, &shared))
        .transpose()
        .context("training could not start")?;

    let committing = thread::Builder::new().name("committer".into()).spawn(move || committer.run(&shares))?;
    let working = start_workers(crew, lanes, workers, &shared)?;
    let progress = Progress::new(options.quiet);
    for FailedSource { source, reason } in &enlisted.failed {
        progress.tell(&format!("{source}: {reason}"));
    }
    let mut trained = None;
    while !shared.stopped() && (!shared.finished() || trainer.is_some()) {
        if interrupted() {
            shared.stop();
        }
        shared.notices().iter().for_each(|notice| progress.tell(notice));
        if let Some(ended) = trainer.take_if(|trainer| trainer.is_finished()) {
            let result = ended.join();
            if let Err(error) = &result {
                progress.tell(&format!("training stopped: {error:#}; the graph goes on without it"));
            }
            trained = Some(result);
        }
        progress.graph(&Figures {
            ended: tallies.sources_ended.load(Ordering::Relaxed),
            sources,
            frames: tallies.frames.load(Ordering::Relaxed),
            nodes: tallies.nodes.load(Ordering::Relaxed),
            retired: tallies.retired.load(Ordering::Relaxed),
            pairs: tallies.pairs.load(Ordering::Relaxed) as i64,
            epoch: shared.committed(),
        });
        if let Some(trainer) = &trainer {
            progress.training(trainer.steps(), trainer.loss());
        }
        shared.wait_finished(progress::EVERY);
    }
    progress.clear();
    shared.notices().iter().for_each(|notice| progress.tell(notice));

    working.join().map_err(|_| anyhow!("a worker thread panicked"))?;
    committing.join().map_err(|_| anyhow!("the committer panicked"))?;
    let trained = trainer.map(|trainer| trainer.join()).or(trained);
    if let Some(fault) = shared.fault() {
        return Err(anyhow!(fault));
    }

    let mut report = Report::of_state(&state, &enlisted.named, config.graph.neighbours.k)?;
    report.sources_failed.extend(enlisted.failed);
    report.sources_forgotten = enlisted.forgotten;
    match trained {
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
    let seconds = start.elapsed().as_secs_f64();
    report.frames_this_run = tallies.frames.load(Ordering::Relaxed);
    report.nodes_this_run = tallies.nodes.load(Ordering::Relaxed);
    report.retired_this_run = tallies.retired.load(Ordering::Relaxed);
    report.budget = budget as u64;
    report.seconds = seconds;
    let since = |then: Option<Instant>| then.map(|then| (then - start).as_secs_f64());
    // Training may go on after the last frame.
    report.frames_per_s = report.frames_this_run as f64 / since(shared.finished_at()).unwrap_or(seconds);
    report.restore_seconds = since(shared.restored_at()).unwrap_or_default();
    let commits = tallies.epochs.load(Ordering::Relaxed).max(1);
    let commit = Duration::from_nanos(tallies.commit_ns.load(Ordering::Relaxed));
    let longest = Duration::from_nanos(tallies.commit_max_ns.load(Ordering::Relaxed));
    report.commit_ms = [commit.as_secs_f64() * 1e3 / commits as f64, longest.as_secs_f64() * 1e3];
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
    Ok(report)
}

/// What the dataflow runs by.
fn plan(config: &Config, embedder: Arc<dyn Embedder>, clock: Arc<Clock>) -> Plan {
    Plan {
        observe: config.observe,
        mine: config.mine.clone(),
        track: config.track.clone(),
        graph: config.graph.clone(),
        embedder,
        clock,
        scored: Arc::default(),
    }
}

/// Starts the timely workers behind one thread that ends when they have.
fn start_workers(
    crew: Arc<Crew>,
    lanes: Vec<Vec<super::lanes::Lane>>,
    workers: usize,
    shared: &Arc<Shared>,
) -> anyhow::Result<thread::JoinHandle<()>> {
    let lanes: Vec<_> = lanes.into_iter().map(|lanes| Mutex::new(Some(lanes))).collect();
    let shared = shared.clone();
    let thread = thread::Builder::new().name("workers".into()).spawn(move || {
        let on_panic = shared.clone();
        let guards = timely::execute(timely::Config::process(workers), move |worker| {
            let lanes = lanes[worker.index()].lock().unwrap_or_else(PoisonError::into_inner).take();
            let work = std::panic::AssertUnwindSafe(|| work(worker, &crew, lanes.unwrap_or_default()));
            if std::panic::catch_unwind(work).is_err() {
                on_panic.fail("a worker panicked; its message is above".to_string());
            }
        });
        match guards {
            Ok(guards) => drop(guards.join()),
            Err(error) => shared.fail(format!("the workers could not start: {error}")),
        }
    })?;
    Ok(thread)
}

/// Checks that the state's graph was made with these settings, or notes them in a new state.
fn keep_settings(state: &State, config: &Config, space: &str) -> anyhow::Result<()> {
    let asked = MadeWith { config: config.to_toml(), space: space.to_string() };
    let stored = state.view()?.made_with()?;
    let Some(stored) = stored else {
        let mut batch = Batch::default();
        batch.put(Table::Meta, key::SETTINGS, encode(&asked));
        return Ok(state.commit(&batch)?);
    };
    let before = graph_settings(&Config::parse(&stored.config, &state.place())?, &stored.space);
    let differs =
        graph_settings(config, space).into_iter().find(|(key, value)| before.get(key) != Some(value));
    let Some((key, asked)) = differs else { return Ok(()) };
    let stored = before.get(&key).cloned().unwrap_or_else(|| "nothing".into());
    Err(StateError::Setting { place: state.place(), key, stored, asked }.into())
}

/// Where a run writes its report.
///
/// # Errors
/// When the file cannot be written.
pub fn write_report(report: &Report, path: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    std::fs::write(path, json + "\n").with_context(|| format!("{}: cannot write the report", path.display()))
}
