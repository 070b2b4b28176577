//! `kinetograph reshard`.

use std::path::PathBuf;

use clap::Args;

use super::print;
use crate::stats::grouped;

#[derive(Debug, Args)]
#[command(
    override_usage = "kinetograph reshard --state DIR... --to DIR...",
    after_help = "A graph that runs on P processes lies in P states, one a process. This writes it to as many new \
states as there are --to, for as many processes: process i goes on with the i-th. One --to makes it whole, for \
`kinetograph run` without --hostfile. The given states stay as they are. Training goes on with the first. \
Past epochs (--as-of) cannot be shown in the new states."
)]
pub(super) struct Arguments {
    /// The state; of a graph run by several processes, the state of each (repeat --state)
    #[arg(long, value_name = "DIR", required = true)]
    state: Vec<PathBuf>,
    /// A new folder, one for each process (repeat --to)
    #[arg(long, value_name = "DIR", required = true)]
    to: Vec<PathBuf>,
}

pub(super) fn reshard(arguments: &Arguments) -> anyhow::Result<u8> {
    let dealt = crate::reshard::reshard(&arguments.state, &arguments.to)?;
    let mut text = format!("as of epoch {}", grouped(dealt.epoch));
    for (folder, nodes) in arguments.to.iter().zip(&dealt.nodes) {
        text += &format!("\n{}: {} nodes", folder.display(), grouped(*nodes));
    }
    print(&text)
}
