//! `kinetograph stats`, `verify`, `export` and `gallery`: looking at a state.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{FAILED, NO, OK, print};
use crate::config::Config;
use crate::recompute::Rules;
use crate::state::State;

#[derive(Debug, Args)]
pub(super) struct StatsArguments {
    /// The state; of a graph run by several processes, the state of each (repeat --state)
    #[arg(long, value_name = "DIR", required = true)]
    state: Vec<PathBuf>,
    /// As it was at this epoch (`stats` says from which on that can be shown)
    #[arg(long, value_name = "EPOCH")]
    as_of: Option<u64>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// The state; of a graph run by several processes, the state of each (repeat --state)
    #[arg(long, value_name = "DIR", required = true)]
    state: Vec<PathBuf>,
    /// Take vectors as they are stored, and do not compute them again from the crops
    #[arg(long)]
    no_embed: bool,
    /// No progress, and nothing said when nothing differs
    #[arg(long, short)]
    quiet: bool,
    /// In this process
    #[arg(long, hide = true)]
    here: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// The state; of a graph run by several processes, the state of each (repeat --state)
    #[arg(long, value_name = "DIR", required = true)]
    state: Vec<PathBuf>,
    /// As it was at this epoch (`stats` says from which on that can be shown)
    #[arg(long, value_name = "EPOCH")]
    as_of: Option<u64>,
    /// Folder for the files; new, empty, or an earlier export
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct GalleryArguments {
    /// The state; of a graph run by several processes, the state of each (repeat --state)
    #[arg(long, value_name = "DIR", required = true)]
    state: Vec<PathBuf>,
    /// Folder for index.html and sheet.png
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// A state to look at, and the configuration it was made with.
fn open(dirs: &[PathBuf]) -> anyhow::Result<(State, Config)> {
    let state = State::open_shards(dirs)?;
    let made = state.view()?.made_with()?;
    let config = match made {
        Some(made) => Config::parse(&made.config, &state.place())?,
        None => Config::default(),
    };
    Ok((state, config))
}

pub(super) fn stats(arguments: &StatsArguments) -> anyhow::Result<u8> {
    let (state, config) = open(&arguments.state)?;
    let k = config.graph.neighbours.k;
    let stats = match arguments.as_of {
        Some(epoch) => crate::stats::stats_as_of(&state, epoch, k)?,
        None => crate::stats::stats(&state, k)?,
    };
    match arguments.json {
        true => print(&serde_json::to_string_pretty(&stats)?),
        false => print(&stats.to_string()),
    }
}

/// Verifies in a process of its own: the store maps its file into memory, and a damaged page can end whoever reads it.
pub(super) fn verify(arguments: &VerifyArguments) -> anyhow::Result<u8> {
    if arguments.here {
        return verify_here(arguments);
    }
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    let status = Command::new(program).args(std::env::args_os().skip(1)).arg("--here").status()?;
    if let Some(code) = status.code() {
        return Ok(u8::try_from(code).unwrap_or(FAILED));
    }
    let place = arguments.state[0].display();
    if ended_by_damage(status) {
        print(&format!("{place}: the data file is damaged: reading it ended the program ({status})"))?;
        return Ok(NO);
    }
    Err(anyhow!(
        "{place}: something else ended the check ({status}), so this says nothing of the state; try again"
    ))
}

/// Returns true when a page that makes no sense ended the process: it was sent beyond its memory (SIGSEGV) or beyond the file (SIGBUS).
/// Whoever kills it, for want of memory say, does so by another signal.
fn ended_by_damage(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status
        .signal()
        .is_some_and(|signal| [signal_hook::consts::SIGSEGV, signal_hook::consts::SIGBUS].contains(&signal))
}

fn verify_here(arguments: &VerifyArguments) -> anyhow::Result<u8> {
    let (state, config) = open(&arguments.state)?;
    let embedder = crate::embed::choice::embedder(&config.embed)?;
    let embed = |crops: &[&[u8]]| embedder.embed(crops).map_err(|e| anyhow!(e));
    let bar = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{msg:10} {wide_bar} {pos}/{len} {eta:>5}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let progress = |collection: &str, done: usize, all: usize| {
        if bar.message() != collection {
            // The time that is left is that of the collection, as is the bar.
            bar.reset();
            bar.set_message(collection.to_string());
        }
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let embed: Option<&crate::verify::Embed<'_>> = if arguments.no_embed { None } else { Some(&embed) };
    let report = crate::verify::verify(&state, &Rules::of(&config.graph), embed, &progress)?;
    bar.finish_and_clear();
    if !arguments.quiet || report.differences > 0 {
        print(&report.to_string())?;
    }
    Ok(if report.differences > 0 { NO } else { OK })
}

pub(super) fn export(arguments: &ExportArguments) -> anyhow::Result<u8> {
    let (state, config) = open(&arguments.state)?;
    let rules = Rules::of(&config.graph);
    let exported = match arguments.as_of {
        Some(epoch) => crate::export::export_as_of(&state, epoch, &rules, &arguments.out)?,
        None => crate::export::export(&state, &rules, &arguments.out)?,
    };
    let retired = exported.nodes - exported.vectors;
    if retired > 0 {
        eprintln!("{retired} nodes were retired since: they are in the tables, without vector and crop");
    }
    print(&format!("{exported} in {}", arguments.out.display()))
}

pub(super) fn gallery(arguments: &GalleryArguments) -> anyhow::Result<u8> {
    let (state, _) = open(&arguments.state)?;
    let loss = Some(state.train_dir().join("loss.tsv")).filter(|path| path.exists());
    let gallery = crate::gallery::gallery(&state, loss.as_deref(), &arguments.out)?;
    print(&format!("{} and {}", gallery.index.display(), gallery.sheet.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn only_reading_beyond_memory_or_file_blames_the_data() {
        use signal_hook::consts::{SIGBUS, SIGINT, SIGSEGV, SIGTERM};
        for signal in [SIGSEGV, SIGBUS] {
            assert!(ended_by_damage(ExitStatus::from_raw(signal)), "{signal}");
        }
        // 9 is SIGKILL: what a system short of memory sends.
        for signal in [9, SIGINT, SIGTERM] {
            assert!(!ended_by_damage(ExitStatus::from_raw(signal)), "{signal}");
        }
    }
}
