//! All settings in one tree: the defaults, then a preset, a file, the environment and flags, each over the one before.

use std::collections::BTreeMap;
use std::path::Path;

use kinetograph_dataflows::index::kernels::vector::Precision;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub mod engine;
mod old_keys;
mod ranges;

/// Environment variables that set something begin with this: `KINETOGRAPH_TRACK__FRAMES=15` sets `track.frames`.
pub const ENVIRONMENT: &str = "KINETOGRAPH_";

/// Variables of that prefix that set nothing: where tests find videos and a Python.
const NO_SETTINGS: [&str; 2] = ["DATA", "PYTHON"];

/// Settings of which one of several shapes holds, each with keys of its own.
const CHOICES: [&str; 2] = ["graph.neighbours.codebook", "graph.neighbours.groups"];

/// Every setting.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Reading and decoding video.
    #[cfg(feature = "ingest")]
    pub ingest: kinetograph_pipelines::Settings,
    /// Settings of a part that this program was built without.
    #[cfg(not(feature = "ingest"))]
    pub ingest: Table,
    /// Epochs and flow control.
    pub engine: engine::EngineSettings,
    /// Segments and stills.
    pub observe: kinetograph_dataflows::observe::stream::Settings,
    /// Finding what moves.
    pub mine: kinetograph_dataflows::observe::mine::Settings,
    /// Following it.
    pub track: kinetograph_dataflows::observe::track::Settings,
    /// From crop to vector.
    pub embed: Embed,
    /// Neighbours, codebook, clusters.
    pub graph: kinetograph_dataflows::settings::GraphSettings,
    /// The largest number of nodes that the graph holds, and which go first.
    pub budget: crate::budget::Settings,
    /// Training.
    pub train: crate::train::settings::Settings,
}

/// Which embedder makes the vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embed {
    /// A TorchScript module: n x 3 x side x side in, n x d out. Empty for the built-in HOG and colour descriptor.
    pub torchscript: String,
    /// Side of the module's input, pixels; crops are scaled to it.
    pub side: u32,
    /// The precision that vectors are kept in: `f32`, or `f16` for half of the memory. Lists are exact over the vectors as they are kept.
    pub precision: Precision,
}

/// Settings that cannot be read; says where they are.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be opened or is not TOML.
    #[error("{place}: {reason}")]
    Unreadable {
        /// The file, variable or flag.
        place: String,
        /// The fault.
        reason: String,
    },
    /// A key that does not exist, or a value of the wrong kind.
    #[error("{place}: {reason} (`kinetograph config` prints every key with its value)")]
    Wrong {
        /// The file, variable or flag.
        place: String,
        /// The fault.
        reason: String,
    },
    /// A value that cannot be.
    #[error("{0}")]
    Range(String),
}

impl Config {
    /// The paper's values (`--preset paper`).
    pub fn paper() -> Self {
        Config {
            mine: kinetograph_dataflows::observe::mine::Settings::paper(),
            track: kinetograph_dataflows::observe::track::Settings::paper(),
            graph: kinetograph_dataflows::settings::GraphSettings::paper(),
            train: crate::train::settings::Settings::paper(),
            ..Config::default()
        }
    }

    /// `base`, then `file`, then `environment`, then `flags` (`key = value` each, dotted keys).
    ///
    /// # Errors
    /// [`ConfigError`], naming the file, variable or flag.
    pub fn layered(
        base: &Config,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Config, ConfigError> {
        let mut config = base.clone();
        if let Some(file) = file {
            let place = file.display().to_string();
            let unreadable = |reason: String| ConfigError::Unreadable { place: place.clone(), reason };
            let text = std::fs::read_to_string(file).map_err(|e| unreadable(e.to_string()))?;
            let table: Table = text.parse().map_err(|e: toml::de::Error| unreadable(e.to_string()))?;
            config = config.overlaid(table, &place)?;
        }
        let variables: BTreeMap<String, String> = environment.into_iter().collect();
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(ENVIRONMENT) else { continue };
            if NO_SETTINGS.contains(&name) {
                continue;
            }
            let Some((section, key)) = name.split_once("__") else {
                let reason = "name it KINETOGRAPH_SECTION__KEY, with two underscores between".to_string();
                return Err(ConfigError::Wrong { place: format!("environment variable {variable}"), reason });
            };
            let path = format!("{section}.{}", key.replace("__", ".")).to_lowercase();
            config = config.overlaid(entry(&path, &value), &format!("environment variable {variable}"))?;
        }
        for flag in flags {
            let Some((path, value)) = flag.split_once('=') else {
                let reason = "write it as section.key=value".to_string();
                return Err(ConfigError::Unreadable { place: format!("--set {flag}"), reason });
            };
            config = config.overlaid(entry(path.trim(), value.trim()), &format!("--set {flag}"))?;
        }
        config.check().map_err(ConfigError::Range)?;
        Ok(config)
    }

    /// The configuration in `text`, TOML; `place` names it in messages.
    ///
    /// # Errors
    /// [`ConfigError`] when it is not TOML or has unknown keys.
    pub fn parse(text: &str, place: &str) -> Result<Config, ConfigError> {
        let unreadable = |e: toml::de::Error| ConfigError::Unreadable {
            place: place.to_string(),
            reason: e.message().to_string(),
        };
        Config::default().overlaid(text.parse().map_err(unreadable)?, place)
    }

    /// All of it as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.table()).unwrap_or_default()
    }

    /// All of it as JSON.
    ///
    /// # Errors
    /// Never for a configuration that was read: every setting is a plain value.
    pub fn to_json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self.table())
    }

    fn table(&self) -> Table {
        // Settings are plain structs, so they always have a table.
        let mut value = Value::try_from(self).unwrap_or_else(|_| Value::Table(Table::new()));
        shorten(&mut value);
        match value {
            Value::Table(table) => table,
            _ => Table::new(),
        }
    }

    fn overlaid(&self, mut over: Table, place: &str) -> Result<Config, ConfigError> {
        old_keys::read(&mut over);
        let mut table = self.table();
        overlay(&mut table, over, "");
        table.try_into().map_err(|e: toml::de::Error| ConfigError::Wrong {
            place: place.to_string(),
            reason: e.message().to_string(),
        })
    }
}

/// The settings that the stored graph depends on, dotted name to value: they cannot change under a state.
pub fn graph_settings(config: &Config, space: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let table = config.table();
    for section in ["observe", "mine", "track", "graph"] {
        if let Some(value) = table.get(section) {
            flatten(section, value, &mut settings);
        }
    }
    settings.insert("embed space".to_string(), space.to_string());
    // How lists are computed changes nothing in them.
    for of_no_effect in ["storage", "projection", "threads"] {
        settings.remove(&format!("graph.neighbours.{of_no_effect}"));
    }
    // Nodes are found on frames of that size.
    if let Some(side) = lookup(&table, "ingest.max_side") {
        settings.insert("ingest.max_side".to_string(), side.to_string());
    }
    settings
        .insert("engine.decision_delay_epochs".to_string(), config.engine.decision_delay_epochs.to_string());
    settings
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            table.iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, into));
        }
        value => drop(into.insert(path.to_string(), value.to_string())),
    }
}

fn overlay(table: &mut Table, over: Table, path: &str) {
    for (key, value) in over {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (table.get_mut(&key), value) {
            (Some(below), Value::Table(over))
                if CHOICES.contains(&path.as_str()) && changes_shape(below, &over) =>
            {
                let mut chosen = preset_of_shape(&path, &over);
                overlay(&mut chosen, over, &path);
                *below = Value::Table(chosen);
            }
            (Some(Value::Table(below)), Value::Table(over)) => overlay(below, over, &path),
            (_, value) => drop(table.insert(key, value)),
        }
    }
}

/// Returns true when `over` chooses another shape than `below` has.
fn changes_shape(below: &Value, over: &Table) -> bool {
    over.len() == 1 && over.keys().any(|shape| below.get(shape).is_none())
}

/// The values of the shape that `over` chooses, from the preset that has it, so that `over` need not give all of them.
fn preset_of_shape(path: &str, over: &Table) -> Table {
    let presets = [Config::default(), Config::paper()].map(|preset| preset.table());
    let chosen = presets.iter().filter_map(|preset| lookup(preset, path)?.as_table());
    chosen
        .into_iter()
        .find(|chosen| over.keys().all(|shape| chosen.contains_key(shape)))
        .cloned()
        .unwrap_or_default()
}

/// The value at a dotted path.
fn lookup<'t>(table: &'t Table, path: &str) -> Option<&'t Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let value = table.get(first)?;
    match rest {
        Some(rest) => lookup(value.as_table()?, rest),
        None => Some(value),
    }
}

/// A table with one value at a dotted path. What does not read as a TOML value is a string.
fn entry(path: &str, value: &str) -> Table {
    let value = format!("v = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| Value::String(value.to_string()));
    let mut keys = path.rsplit('.');
    let mut table = Table::new();
    table.insert(keys.next().unwrap_or_default().to_string(), value);
    for key in keys {
        table = Table::from_iter([(key.to_string(), Value::Table(table))]);
    }
    table
}

/// Prints a single-precision setting as it was written: 0.05, not 0.05000000074505806.
fn shorten(value: &mut Value) {
    match value {
        Value::Float(wide) if f64::from(*wide as f32) == *wide => {
            if let Ok(short) = (*wide as f32).to_string().parse() {
                *wide = short;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(shorten),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| shorten(value)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let flags: Vec<String> = flags.iter().map(|f| f.to_string()).collect();
        Config::layered(&Config::default(), Some(&path), environment, &flags)
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = "[engine]\nlanes = 1\nstills = 1\ntick_ms = 1";
        let environment = [("KINETOGRAPH_ENGINE__STILLS", "2"), ("KINETOGRAPH_ENGINE__TICK_MS", "2")];
        let config = with(file, &environment, &["engine.tick_ms=3"]).unwrap();
        assert_eq!((config.engine.lanes, config.engine.stills, config.engine.tick_ms), (1, 2, 3));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_says_where_it_stands() {
        let error = with("[engine]\nlames = 1", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("k.toml") && error.contains("lames"), "{error}");
        let error = with("", &[], &["engine.lames=1"]).unwrap_err().to_string();
        assert!(error.contains("--set engine.lames=1"), "{error}");
        let error = with("", &[("KINETOGRAPH_ENGINE__LAMES", "1")], &[]).unwrap_err().to_string();
        assert!(error.contains("KINETOGRAPH_ENGINE__LAMES"), "{error}");
        let error = with("", &[("KINETOGRAPH_TRACK_FRAMES", "15")], &[]).unwrap_err().to_string();
        assert!(error.contains("KINETOGRAPH_TRACK_FRAMES"), "{error}");
    }

    #[test]
    fn what_config_prints_reads_back_as_itself() {
        for config in [Config::default(), Config::paper()] {
            let text = config.to_toml();
            assert_eq!(Config::parse(&text, "here").unwrap().to_toml(), text);
        }
    }

    #[test]
    fn one_key_is_enough_to_choose_another_shape() {
        let k_means =
            with("", &[], &["graph.neighbours.codebook.k_means.cells=6"]).unwrap().graph.neighbours.codebook;
        let Config { graph: paper, .. } = Config::paper();
        let Value::Table(mut asked) = Value::try_from(&paper.neighbours.codebook).unwrap() else { panic!() };
        asked["k_means"]["cells"] = Value::Integer(6);
        assert_eq!(Value::try_from(&k_means).unwrap(), Value::Table(asked));
        let back =
            with("[graph.neighbours.codebook.growing]\ncap = 7", &[], &["graph.neighbours.groups=\"cells\""]);
        assert!(back.unwrap().to_toml().contains("cap = 7"));
    }
}
