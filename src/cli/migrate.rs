//! `kinetograph migrate`.

use std::path::PathBuf;

use clap::Args;

use super::print;
use crate::state::{FORMAT_VERSION, State};

#[derive(Debug, Args)]
#[command(
    override_usage = "kinetograph migrate --state DIR",
    after_help = "A state that an earlier version wrote is brought to the format of this one. The next run does so, too; this is \
for whoever only wants to read it. The data file is written anew, so there must be room for another; a kill leaves the old or the new."
)]
pub(super) struct Arguments {
    /// The state
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

pub(super) fn migrate(arguments: &Arguments) -> anyhow::Result<u8> {
    State::migrate(&arguments.state)?;
    print(&format!("{}: format {FORMAT_VERSION}", arguments.state.display()))
}
