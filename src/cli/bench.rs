//! `kinetograph bench`: a part of the engine over data from outside.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use super::{ConfigArguments, OK, print};
use crate::bench_graph::timings::Timings;
use crate::bench_graph::{Options, Progress, run};
use crate::export::files::Exported;

#[derive(Debug, Subcommand)]
pub(super) enum Part {
    /// Run the graph alone, over vectors and a table of inserts and deletes
    Graph(GraphArguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "FILE.safetensors holds a float32 or float16 matrix `vectors` (n x d) and, where row i is not node i's, the nodes' numbers \
in `nodes` (n, int64 or uint64). Vectors are scaled to unit length.\nFILE.tsv has a row an operation, epochs ascending: \
epoch, + or -, node, track, source, time in seconds; after - the node is enough. A first row of column names may say time_ns \
instead of time.\nDIR gets the files of `export` (check them with scripts/check_export.py), names.tsv (what their nodes are \
called here), epochs.tsv and timings.json.\nAn epoch searches what is in a cell as a whole: spread a large load over epochs \
of some thousands, so that cells can divide on the way."
)]
pub(super) struct GraphArguments {
    /// The nodes' vectors
    #[arg(long, value_name = "FILE.safetensors")]
    vectors: PathBuf,
    /// Inserts and deletes, an operation a row
    #[arg(long, value_name = "FILE.tsv")]
    ops: PathBuf,
    /// Folder for the files; new, empty, or an earlier one
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Dataflow workers [default: half the cores]
    #[arg(long, value_name = "N", value_parser = super::workers)]
    workers: Option<usize>,
    /// No progress bar and no summary
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn graph(arguments: &GraphArguments) -> anyhow::Result<u8> {
    let config = arguments.config.read()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        vectors: arguments.vectors.clone(),
        ops: arguments.ops.clone(),
        out: arguments.out.clone(),
        workers: arguments.workers.unwrap_or((cores / 2).max(1)),
    };
    let bar = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{msg:32} {wide_bar} {percent:>3} % {eta:>4}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let told = run(&config, &options, &|progress: &Progress| {
        bar.set_length(progress.all);
        bar.set_position(progress.read);
        bar.set_message(format!("epoch {}, {} nodes", progress.epoch, progress.nodes));
    });
    bar.finish_and_clear();
    let (timings, rows) = told?;
    if arguments.quiet { Ok(OK) } else { print(&summary(&timings, &rows, &options)) }
}

fn summary(timings: &Timings, rows: &Exported, options: &Options) -> String {
    let (all, latency) = (&timings.all, &timings.all.latency_ms);
    let mut text = format!(
        "{rows} in {}\n{} inserts and {} deletes in {} epochs: {:.0} a second; an \
         epoch {:.2} ms (p50), {:.2} ms (p99)",
        options.out.display(),
        all.inserts,
        all.deletes,
        all.epochs,
        all.ops_per_s,
        latency.p50,
        latency.p99
    );
    for (what, rates) in [("inserts", &timings.inserting), ("deletes", &timings.deleting)] {
        if rates.epochs > 0 {
            text += &format!("\n{what} alone: {:.0} a second", rates.ops_per_s);
        }
    }
    text + &format!("\n{} MiB at most", timings.peak_rss_bytes >> 20)
}
