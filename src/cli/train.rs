//! `kinetograph train`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use clap::Args;

use super::progress;
use super::{ConfigArguments, OK};
use crate::engine::feed::StateFeed;
use crate::state::State;
use crate::train::checkpoint;
use crate::train::settings::{Device, Net};
use crate::train::trainer::{Progress, spawn};

#[derive(Debug, Args)]
#[command(
    after_help = "Goes on from the newest checkpoint in --checkpoint, or starts there. The loss of every step \
is in loss.tsv beside the checkpoints."
)]
pub(super) struct Arguments {
    /// The state to learn from; of a graph run by several processes, the state of each (repeat --state)
    #[arg(long, value_name = "DIR", required = true)]
    state: Vec<PathBuf>,
    /// Wait for what a running `kinetograph run` adds
    #[arg(long)]
    follow: bool,
    /// End after this many steps in all
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// cpu or cuda:N
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,
    /// Seed of the first weights and of every draw
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// small, resnet18 or vgg16
    #[arg(long, value_name = "NAME")]
    net: Option<Net>,
    /// The newest checkpoint to go on from, or a folder of checkpoints, made if missing [default: DIR/train]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn train(arguments: &Arguments) -> anyhow::Result<u8> {
    let mut settings = arguments.config.read()?.train;
    settings.max_steps = arguments.steps.or(settings.max_steps);
    settings.device = arguments.device.unwrap_or(settings.device);
    settings.seed = arguments.seed.unwrap_or(settings.seed);
    settings.net = arguments.net.unwrap_or(settings.net);
    let state = State::open_shards(&arguments.state)?;
    let dir = folder(arguments.checkpoint.as_deref(), &state)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let shown = Arc::new(Progress::default());
    let feed = Box::new(StateFeed::of_state(state, arguments.follow));
    let thread = spawn(feed, settings, &dir, stop, shown.clone())?;
    let line = progress::Progress::new(false);
    while !thread.is_finished() {
        line.training(
            shown.steps.load(Ordering::Relaxed),
            Some(f64::from(shown.loss())).filter(|loss| loss.is_finite()),
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    line.clear();
    let summary = thread.join().map_err(|_| anyhow!("the trainer panicked"))??;
    if let (Some(step), Some(_)) = (summary.resumed_from, arguments.seed) {
        eprintln!(
            "kinetograph: --seed changed nothing: this went on from step {step}, which has its own draws"
        );
    }
    if summary.steps == 0 {
        eprintln!("no step: the state has no pair with a negative yet (see `kinetograph stats`)");
        return Ok(OK);
    }
    eprintln!(
        "{} steps, loss {:.3} -> {:.3}, {:.2} steps a second; checkpoints in {}",
        summary.steps,
        summary.loss_first,
        summary.loss_last,
        summary.steps_per_s,
        dir.display()
    );
    Ok(OK)
}

/// The folder to train in: that of the checkpoint `asked` for, `asked` itself, or the state's own.
fn folder(asked: Option<&Path>, state: &State) -> anyhow::Result<PathBuf> {
    let Some(asked) = asked else { return Ok(state.train_dir()) };
    if !asked.is_file() {
        ensure!(
            asked.extension().is_none_or(|e| e != "safetensors"),
            "{}: no such checkpoint",
            asked.display()
        );
        return Ok(asked.to_path_buf());
    }
    let dir = match asked.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let newest = checkpoint::list(&dir)?.pop();
    match newest.filter(|(_, file)| file.file_name() != asked.file_name()) {
        None => Ok(dir),
        Some((step, newer)) => bail!(
            "{}: {} is of step {step} and newer; move it out of the folder to go back to this one",
            asked.display(),
            newer.display()
        ),
    }
}
