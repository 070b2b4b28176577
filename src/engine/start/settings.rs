//! The settings of a state's graph: kept when it is new, and compared with those asked for from then on.

use kinetograph_dataflows::observe::embed::Embedder;

use crate::config::{Config, graph_settings};
use crate::state::record::MadeWith;
use crate::state::{State, StateError, encode, key};
use crate::store::{Batch, Table};

/// Checks that the state's graph was made with these settings, or notes them in a new state.
pub(super) fn keep(state: &State, config: &Config, embedder: &dyn Embedder) -> anyhow::Result<()> {
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
