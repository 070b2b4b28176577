//! `kinetograph forget`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{OK, print};
use crate::forget::{Forgotten, Settings, What, age, forget as forget_in, look};
use crate::stats::grouped;

#[derive(Debug, Args)]
#[command(
    override_usage = "kinetograph forget --state DIR <--source NAME | --node ID | --older-than AGE> [OPTIONS]",
    after_help = "Goes from the graph, its history, crops, stills and replay buffers, and from the disk. A source is \
not taken in again, nor a copy of its file. Nobody else may write to the state or train on it meanwhile.\n\
What trained weights have learnt from it is not undone: for that, delete DIR/train and train anew. Exports, \
galleries and backups made before are not touched."
)]
pub(super) struct Arguments {
    /// The state
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// A source, by name or URI (see sources.tsv of an export), and all that was seen in it
    #[arg(long, value_name = "NAME", group = "what", required = true)]
    source: Option<String>,
    /// One view of an object
    #[arg(long, value_name = "ID", group = "what")]
    node: Option<u64>,
    /// All that was committed longer ago than this: 12h, 30d, 2w
    #[arg(long, value_name = "AGE", group = "what", value_parser = age::parse)]
    older_than: Option<Duration>,
    /// Say what would go, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Make the codebook anew from what remains: its centroids are means over what is forgotten, too
    #[arg(long)]
    rebuild_codebook: bool,
    /// Another folder of checkpoints to strike nodes from; may be repeated
    #[arg(long, value_name = "FOLDER")]
    checkpoint: Vec<PathBuf>,
    /// Dataflow workers [default: half the cores]
    #[arg(long, value_name = "N", value_parser = super::workers)]
    workers: Option<usize>,
}

impl Arguments {
    fn what(&self) -> What {
        match (&self.source, self.node, self.older_than) {
            (Some(source), ..) => What::Source(source.clone()),
            (None, Some(node), _) => What::Node(node),
            // clap lets nothing through without one of the three.
            (None, None, age) => What::OlderThan(age.unwrap_or(Duration::MAX)),
        }
    }
}

pub(super) fn forget(arguments: &Arguments) -> anyhow::Result<u8> {
    let what = arguments.what();
    if arguments.dry_run {
        let chosen = look(&arguments.state, &what)?;
        let mut text =
            format!("would forget {} nodes and {} stills", chosen.nodes.len(), chosen.stills.len());
        for source in chosen.sources.values() {
            text += &format!("\nand not take {} in again", source.uri);
        }
        return print(&text);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let settings = Settings {
        rebuild_codebook: arguments.rebuild_codebook,
        checkpoints: arguments.checkpoint.clone(),
        workers: arguments.workers.unwrap_or((cores / 2).max(1)),
    };
    print(&told(&forget_in(&arguments.state, &what, &settings)?))?;
    Ok(OK)
}

fn told(forgotten: &Forgotten) -> String {
    let Forgotten { nodes, sources, stills, other_views, struck, compacted } = forgotten;
    if *nodes == 0 && sources.is_empty() && *stills == 0 && compacted.before == 0 {
        return "nothing to forget".to_string();
    }
    let mut text = format!("forgot {} nodes and {} stills", grouped(*nodes as u64), grouped(*stills as u64));
    for uri in sources {
        text += &format!("\n{uri} is not taken in again");
    }
    if !other_views.is_empty() {
        let views: Vec<String> = other_views.iter().map(ToString::to_string).collect();
        text += &format!("\nother views of its track are still there: {}", views.join(", "));
    }
    if struck.checkpoints + struck.removed > 0 {
        text += &format!(
            "\n{} pairs left the replay buffers of {} checkpoints; {} damaged ones were removed; weights are as they were",
            struck.pairs, struck.checkpoints, struck.removed
        );
    }
    text + &format!("\ndata.mdb: {} bytes, was {}", grouped(compacted.after), grouped(compacted.before))
}
