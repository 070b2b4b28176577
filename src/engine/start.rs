//! Starting a run.
//!
//! A run has five steps, a file each: [`open`] finds the sources and the other processes, [`restore`] reads what the state holds,
//! [`begin`] starts the threads, [`watch`] waits for their end, [`summary`] makes the report.

mod begin;
mod open;
mod restore;
mod settings;
mod storage;
mod summary;
mod watch;

use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use crossbeam::channel::{Receiver, bounded};

use self::open::Prepared;
use super::control::Request;
use super::handle::RunHandle;
use super::options::Options;
use super::parts::Parts;
use super::report::Report;
use crate::config::Config;
use crate::state::State;

/// Requests that wait for the next epoch; more than a person makes.
const REQUESTS: usize = 64;

/// Starts a run over the state that `options` names, made if it is missing. What is not committed when it ends is taken again next
/// time.
///
/// # Errors
/// When the state cannot be opened or belongs to other settings. What goes wrong later comes with [`RunHandle::join`]; a
/// source that fails is no error.
pub fn start(config: &Config, options: &Options) -> anyhow::Result<RunHandle> {
    crate::forget::finish(&options.state)?;
    start_over(State::open(&options.state)?, config, options)
}

/// As [`start`], over a state that is open already.
///
/// # Errors
/// See [`start`].
pub fn start_over(state: State, config: &Config, options: &Options) -> anyhow::Result<RunHandle> {
    let start = Instant::now();
    let place = state.place();
    let prepared = Prepared::check(state, config, options)?;
    let parts = Parts::default();
    let (requests_in, requests) = bounded(REQUESTS);
    let thread = {
        let (parts, options) = (parts.clone(), options.clone());
        let span = tracing::info_span!("run", state = place);
        let run = move || {
            let _run = span.entered();
            let _closing = Closing(&parts);
            let report = run(prepared, &options, &parts, requests, start);
            if let Err(error) = &report {
                parts.life.fail(format!("{error:#}"));
            }
            report
        };
        thread::Builder::new().name("engine".into()).spawn(run)?
    };
    Ok(RunHandle::new(place, config, options, parts, requests_in, thread))
}

/// Ends the events when the engine's thread ends, also by a panic.
struct Closing<'p>(&'p Parts);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.events.close();
    }
}

fn run(
    prepared: Prepared,
    options: &Options,
    parts: &Parts,
    requests: Receiver<Request>,
    start: Instant,
) -> anyhow::Result<Report> {
    let opened = prepared.open(options, parts)?;
    let restored = opened.restore(parts)?;
    let running = restored.begin(options, parts, requests)?;
    let ended = running.watch(parts)?;
    ended.report(parts, start)
}

/// Writes the report of a run to a file.
///
/// # Errors
/// When the file cannot be written.
pub fn write_report(report: &Report, path: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    std::fs::write(path, json + "\n").with_context(|| format!("{}: cannot write the report", path.display()))
}
