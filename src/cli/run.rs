//! `kinetograph run`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::progress::{self, Progress};
use super::{ConfigArguments, FAILED, NO, OK};
use crate::engine::events::Event;
use crate::engine::status::TrainerState;
use crate::engine::{self, RunHandle, write_report};
use crate::engine::{Options, cluster};

#[derive(Debug, Args)]
#[command(after_help = "Sources are files, folders (searched for videos), globs, file:// URIs and \
test://?frames=300&width=320&height=240 (frames=endless for a live one).\nKill it whenever you like: what was committed stays, the rest is taken again \
next time, nothing twice.")]
pub(super) struct Arguments {
    /// Files, folders, globs, URIs
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    /// Folder that holds everything; made if missing, gone on with otherwise
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Dataflow workers [default: half the cores]
    #[arg(long, value_name = "N", value_parser = super::workers)]
    workers: Option<usize>,
    /// Lock-step over files: the same files give the same graph on any number of workers. Implies --until-idle
    #[arg(long)]
    batch: bool,
    /// Train while the graph grows (the default)
    #[arg(long, overrides_with = "no_train")]
    train: bool,
    /// Build the graph only
    #[arg(long)]
    no_train: bool,
    /// End when sources have ended, all is committed and training has nothing left to do
    #[arg(long)]
    until_idle: bool,
    /// Run together with other processes: where each listens, one host:port a line, this one's among them
    #[arg(long, value_name = "FILE", requires = "process")]
    hostfile: Option<PathBuf>,
    /// Which line of the host file this process is, counted from 0; process 0 takes decisions and trains
    #[arg(long, value_name = "I", requires = "hostfile")]
    process: Option<usize>,
    /// Seconds to wait for the other processes
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "hostfile")]
    patience: u64,
    /// Write what was done as JSON
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// No progress bars and no summary
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let config = arguments.config.read()?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, 130, interrupted.clone())?;
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    if let Some(path) = &arguments.report {
        // Said now, not after a night of video.
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        file.with_context(|| format!("{}: cannot write the report", path.display()))?;
    }
    let cluster = match (&arguments.hostfile, arguments.process) {
        (Some(file), Some(process)) => Some(cluster::ClusterOptions {
            hosts: cluster::read_hosts(file)?,
            process,
            patience: Duration::from_secs(arguments.patience),
        }),
        _ => None,
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let options = Options {
        sources: arguments.sources.clone(),
        state: arguments.state.clone(),
        workers: arguments.workers.unwrap_or((cores / 2).max(1)),
        batch: arguments.batch,
        train: cfg!(feature = "train") && !arguments.no_train,
        until_idle: arguments.until_idle,
        cluster,
    };
    let run = engine::start(&config, &options)?;
    show(&run, arguments.quiet, &interrupted);
    let report = run.join()?;
    if let Some(path) = &arguments.report {
        write_report(&report, path)?;
    }
    if !arguments.quiet {
        eprintln!("{report}");
    }
    if report.train_failed.is_some() {
        return Ok(FAILED);
    }
    let none_succeeded = report.sources_succeeded == 0 && !report.sources_failed.is_empty();
    Ok(if none_succeeded { NO } else { OK })
}

/// Shows the run to a person until it is over; tells it to stop when `interrupted`.
fn show(run: &RunHandle, quiet: bool, interrupted: &AtomicBool) {
    let progress = Progress::new(quiet);
    let events = run.events();
    let tell = |event: Event| match event {
        Event::SourceFailed { reason, .. } => progress.tell(&reason),
        Event::TrainingFailed { reason } => {
            progress.tell(&format!("training stopped: {reason}; the graph goes on without it"));
        }
        Event::Notice { text } => progress.tell(&text),
        _ => {}
    };
    while !run.is_over() {
        if interrupted.load(Ordering::Relaxed) {
            run.stop();
        }
        progress.graph(&run.totals());
        let trainer = run.trainer();
        if trainer.state == TrainerState::Running {
            progress.training(trainer.steps, trainer.loss);
        }
        if let Ok(event) = events.recv_timeout(progress::EVERY) {
            std::iter::once(event).chain(events.try_iter()).for_each(tell);
        }
    }
    events.try_iter().for_each(tell);
    progress.clear();
}
