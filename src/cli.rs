//! The command line.

mod bench;
mod embed;
mod forget;
mod log;
mod look;
mod migrate;
#[cfg(any(feature = "ingest", feature = "train"))]
mod progress;
mod reshard;
#[cfg(feature = "ingest")]
mod run;
#[cfg(feature = "train")]
mod train;
#[cfg(feature = "ingest")]
mod vision;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{Config, ConfigError, ENVIRONMENT};

/// Everything went well.
pub const OK: u8 = 0;
/// The answer is no: `verify` found differences, no source of a `run` or not every picture of `embed` could be read.
pub const NO: u8 = 1;
/// The command line or the configuration is wrong.
pub const USAGE: u8 = 2;
/// Something failed: a state, a file, the disk.
pub const FAILED: u8 = 3;

/// Live or growing video in, a graph of moving objects and a trained representation out.
#[derive(Debug, Parser)]
#[command(
    name = "kinetograph",
    version,
    after_help = "Exit codes: 0 done; 1 the answer is no (verify found differences, no source or not every picture could be \
                  read); 2 wrong command line or configuration; 3 something failed."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take video in, keep the graph up to date, train: the main job
    #[cfg(feature = "ingest")]
    Run(run::Arguments),
    /// Train alone over a state, which another process may still be growing
    #[cfg(feature = "train")]
    Train(train::Arguments),
    /// Count what a state holds and print a digest of each collection: equal digests mean equal collections
    Stats(look::StatsArguments),
    /// Recompute the graph as it is now by plain code and compare; exit code 1 when something differs
    Verify(look::VerifyArguments),
    /// Take back a source, a node or everything old, for good
    Forget(forget::Arguments),
    /// Deal a state out to another number of processes
    Reshard(reshard::Arguments),
    /// Bring a state of an earlier version to the format of this one
    Migrate(migrate::Arguments),
    /// Print every setting with its value
    Config(ConfigArguments),
    /// Write nodes, vectors, neighbours, clusters, edges, pairs and crops as files
    Export(look::ExportArguments),
    /// Run a part of the engine over data from outside, and tell what it took
    #[command(subcommand)]
    Bench(bench::Part),
    /// Make a page and a picture of what was found
    Gallery(look::GalleryArguments),
    /// Print what moves in a video, frame by frame
    #[cfg(feature = "ingest")]
    Mine(vision::MineArguments),
    /// Follow one object through a video
    #[cfg(feature = "ingest")]
    Track(vision::TrackArguments),
    /// Write vectors of a folder of images, by a checkpoint, a fresh network or the descriptor
    Embed(embed::Arguments),
}

/// Where settings come from.
#[derive(Debug, Args)]
struct ConfigArguments {
    /// Settings to start from; paper: those of Wang, He, Gupta, ICCV 2017
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// TOML file of settings, over the preset
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, over the file and the environment (KINETOGRAPH_SECTION__KEY=VALUE); may be repeated
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

// The variants have no help of their own: with it, clap lays every option out over three lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    Paper,
}

impl ConfigArguments {
    fn read(&self) -> Result<Config, ConfigError> {
        let base = match self.preset {
            Some(Preset::Paper) => Config::paper(),
            None => Config::default(),
        };
        // Of variables that are not text only those that are meant for us matter.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(ENVIRONMENT))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        Config::layered(&base, self.config.as_deref(), variables, &self.set)
    }
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log::install();
    let done = match cli.command {
        #[cfg(feature = "ingest")]
        Command::Run(arguments) => run::run(&arguments),
        #[cfg(feature = "train")]
        Command::Train(arguments) => train::train(&arguments),
        Command::Stats(arguments) => look::stats(&arguments),
        Command::Verify(arguments) => look::verify(&arguments),
        Command::Forget(arguments) => forget::forget(&arguments),
        Command::Reshard(arguments) => reshard::reshard(&arguments),
        Command::Migrate(arguments) => migrate::migrate(&arguments),
        Command::Config(arguments) => {
            arguments.read().map_err(Into::into).and_then(|config| print(&config.to_toml()))
        }
        Command::Export(arguments) => look::export(&arguments),
        Command::Bench(bench::Part::Graph(arguments)) => bench::graph(&arguments),
        Command::Gallery(arguments) => look::gallery(&arguments),
        #[cfg(feature = "ingest")]
        Command::Mine(arguments) => vision::mine(&arguments),
        #[cfg(feature = "ingest")]
        Command::Track(arguments) => vision::track(&arguments),
        Command::Embed(arguments) => embed::embed(&arguments),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // A closed pipe is how `| head` ends us.
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            {
                return ExitCode::from(OK);
            }
            eprintln!("kinetograph: {}", in_words(&error));
            ExitCode::from(if is_usage(&error) { USAGE } else { FAILED })
        }
    }
}

/// Returns true when the request itself cannot be, whatever the state of anything.
fn is_usage(error: &anyhow::Error) -> bool {
    #[cfg(feature = "ingest")]
    if error.downcast_ref::<crate::engine::cluster::ClusterError>().is_some_and(|error| error.is_usage()) {
        return true;
    }
    error.is::<ConfigError>()
}

/// The error and what caused it, leaving out causes that it already quotes.
fn in_words(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut words, cause| {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words += if words.is_empty() { "" } else { ": " };
            words += &cause;
        }
        words
    })
}

/// A number of dataflow workers.
fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("1 to 1024".to_string()),
    }
}

/// Prints to standard output; a closed pipe is an error, not a panic.
fn print(text: &str) -> anyhow::Result<u8> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(OK)
}
