//! Starting and ending a run.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossbeam::channel::bounded;
use kinetograph_dataflows::embed::Embedder;
use kinetograph_dataflows::graph;
use kinetograph_dataflows::observe::{Clock, Stage};
use kinetograph_dataflows::wire::Plan;

use super::cluster::{
    Agreed, ClusterError, Company, Cuttable, Link, is_broken_line, keep_shard, start_workers,
};
use super::committer::{Committer, QUIET_EPOCHS, Tallies};
use super::hydrate::stored;
use super::member::Member;
use super::progress::{self, Figures, Progress};
use super::report::{FailedSource, Report};
use super::sources::share_out;
use super::worker::{Crew, work};
use super::{Options, Shared};
use crate::budget::Evicting;
use crate::config::{Config, graph_settings};
use crate::kernel;
use crate::peak_rss::peak_rss_bytes;
use crate::state::record::MadeWith;
use crate::state::{State, StateError, encode, key};
use crate::store::{Batch, Table};

/// How long a broken line to another process may take to be known as the other's end.
const BROKEN_LINE: Duration = Duration::from_secs(25);

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
    let workers = options.workers.max(1);
    let graph = kernel::ready(config, workers)?;
    let member = member(config, options, workers)?;
    // Sources are kept once all processes have met.
    let new = state.view()?.sources()?.is_empty();
    keep_shard(&state, member)?;
    keep_settings(&state, config, &*embedder)?;
    let progress = Progress::new(options.quiet);
    let company = Company::gather(
        &state,
        (config, options),
        (member, new),
        &embedder.space(),
        &|said| {
            progress.tell(said);
        },
        interrupted,
    )?;
    let Company { enlisted, all, met, server } = company;
    let sources = enlisted.waiting.len() as u64;

    let committed = state.view()?.epoch()?;
    let all_view = all.view()?;
    let delay = config.engine.decision_delay_epochs;
    let everything = Arc::new(stored(&all, &all_view, delay)?);
    let own = match member.of {
        1 => everything.clone(),
        _ => Arc::new(everything.of_shard(member.shard())),
    };

    let shared = Arc::new(Shared::new(committed));
    let (tallies, clock) = (Arc::new(Tallies::default()), Arc::new(Clock::default()));
    let (shares_in, shares) = bounded(workers * 2);
    // A closed epoch gives few decisions, and worker 0 looks for them after each: this never fills up.
    let (decisions_in, decisions) = bounded(4096);
    let nothing_to_read = enlisted.named.is_empty() && !enlisted.failed.is_empty();
    let until_idle = options.until_idle || options.batch || nothing_to_read;
    let budget = config.budget.nodes(embedder.dim(), embedder.precision(), config.graph.neighbours.k);
    let mesh_lines = Arc::new(Cuttable::new(&met.mesh)?);
    let (link, agreed) = match &options.cluster {
        Some(cluster) if member.of > 1 => {
            let finish_after = until_idle.then_some(QUIET_EPOCHS);
            let (link, agreed) = Link::start((cluster, member), met.lines, committed, &shared, finish_after)?;
            (Some(link), agreed)
        }
        _ => (None, Agreed::Alone),
    };
    let committer = Committer::new(
        (state.clone(), &all_view),
        (&config.engine, &config.graph),
        Evicting::new(config.budget.policy, budget),
        &everything,
        (shared.clone(), tallies.clone()),
        (decisions_in, until_idle),
        (member, agreed),
    )?;
    drop((all_view, everything));
    let crew = Arc::new(Crew {
        plan: plan(config, graph, embedder, clock.clone()),
        settings: config.engine.clone(),
        ingest: config.ingest.clone(),
        batch: options.batch,
        member,
        stored: Mutex::new(vec![own; workers]),
        start: committed,
        shared: shared.clone(),
        shares: shares_in,
        decisions,
    });
    let lanes = share_out(enlisted.waiting, config.engine.lanes, member);
    // One trainer: on process 0, of what all have.
    let mut trainer = (options.train && member.process == 0)
        .then(|| crate::run::training::start(config, &all, &shared))
        .transpose()
        .context("training could not start")?;

    let committing = thread::Builder::new().name("committer".into()).spawn(move || committer.run(&shares))?;
    let working = start_crew(crew, lanes, met.mesh, &shared)?;
    for FailedSource { source, reason } in &enlisted.failed {
        progress.tell(&format!("{source}: {reason}"));
    }
    let mut trained = None;
    while !shared.stopped() && (!shared.finished() || trainer.is_some()) {
        if interrupted() {
            shared.stop();
        }
        // Also when nothing is committed.
        if let Err(error) = state.view() {
            shared.fail(error.to_string());
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
    if let (Some(link), true) = (&link, shared.stopped()) {
        link.ends(shared.fault());
        mesh_lines.cut();
    }
    shared.notices().iter().for_each(|notice| progress.tell(notice));

    working.join().map_err(|_| anyhow!("a worker thread panicked"))?;
    committing.join().map_err(|_| anyhow!("the committer panicked"))?;
    let trained = trainer.map(|trainer| trainer.join()).or(trained);
    if let Some(fault) = shared.fault() {
        return Err(anyhow!(fault));
    }

    // Others may be gone when all were told to stop.
    let k = config.graph.neighbours.k;
    let mut report = match Report::of_state(&all, &enlisted.named, k) {
        Err(_) if member.of > 1 && shared.stopped() => Report::of_state(&state, &enlisted.named, k)?,
        report => report?,
    };
    if let (Some(link), false) = (&link, shared.stopped()) {
        link.wait_done(member.process, interrupted);
    }
    drop((link, server));
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
fn plan(config: &Config, graph: graph::Settings, embedder: Arc<dyn Embedder>, clock: Arc<Clock>) -> Plan {
    Plan {
        observe: config.observe,
        mine: config.mine.clone(),
        track: config.track.clone(),
        graph,
        embedder,
        clock,
        scored: Arc::default(),
    }
}

/// Which process this is.
fn member(config: &Config, options: &Options, workers: usize) -> Result<Member, ClusterError> {
    let Some(cluster) = &options.cluster else { return Ok(Member::alone(workers)) };
    let (process, of, lanes) = (cluster.process, cluster.hosts.len(), config.engine.lanes.max(1));
    if process >= of {
        return Err(ClusterError::Process { process, of });
    }
    if !lanes.is_multiple_of(of as u64) {
        return Err(ClusterError::Lanes { lanes, of });
    }
    Ok(Member { process, of, workers })
}

/// Starts the timely workers behind one thread that ends when they have.
fn start_crew(
    crew: Arc<Crew>,
    lanes: Vec<Vec<super::lanes::Lane>>,
    mesh: BTreeMap<usize, TcpStream>,
    shared: &Arc<Shared>,
) -> anyhow::Result<thread::JoinHandle<()>> {
    let lanes: Vec<_> = lanes.into_iter().map(|lanes| Mutex::new(Some(lanes))).collect();
    let (shared, member) = (shared.clone(), crew.member);
    let thread = thread::Builder::new().name("workers".into()).spawn(move || {
        let on_panic = shared.clone();
        let started = start_workers(member, mesh, move |worker| {
            let lanes = &lanes[member.local(worker.index())];
            let lanes = lanes.lock().unwrap_or_else(PoisonError::into_inner).take();
            let work = std::panic::AssertUnwindSafe(|| work(worker, &crew, lanes.unwrap_or_default()));
            if let Err(panic) = std::panic::catch_unwind(work) {
                // When a line to another process broke, that one's end is the reason, and about to be known.
                let soon = Instant::now() + BROKEN_LINE;
                while member.of > 1 && !on_panic.stopped() && Instant::now() < soon {
                    thread::sleep(Duration::from_millis(10));
                }
                // After the end, which side cut first does not matter.
                match is_broken_line(&*panic) {
                    true if on_panic.stopped() => {}
                    true => on_panic.fail("a line to another process broke".to_string()),
                    false => on_panic.fail("a worker panicked; its message is above".to_string()),
                }
            }
        });
        if let Err(error) = started {
            shared.fail(format!("the workers could not start: {error}"));
        }
    })?;
    Ok(thread)
}

/// Checks that the state's graph was made with these settings, or notes them in a new state.
fn keep_settings(state: &State, config: &Config, embedder: &dyn Embedder) -> anyhow::Result<()> {
    let space = &embedder.space();
    let asked = MadeWith { config: config.to_toml(), space: space.clone() };
    let stored = state.view()?.made_with()?;
    let Some(stored) = stored else {
        let mut batch = Batch::default();
        batch.put(Table::Meta, key::SETTINGS, encode(&asked));
        batch.put(Table::Meta, key::PRECISION, encode(&embedder.precision()));
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
