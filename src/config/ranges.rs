//! The ranges of settings, checked before anything is read or written.

use toml::{Table, Value};

use super::{Config, lookup};

/// Whole numbers by their least and greatest, with the reason where it is not plain.
const RANGES: [(&str, i64, i64, &str); 14] = [
    ("engine.slice_frames", 1, i64::MAX, ""),
    ("engine.lanes", 1, i64::MAX, ""),
    ("engine.max_lag_epochs", 1, i64::MAX, ""),
    ("engine.decision_delay_epochs", 1, i64::MAX, ""),
    ("observe.segment_frames", 1, i64::MAX, ""),
    // Near-duplicates all know each other: the cliques among k neighbours may number 3 to the power of k / 3.
    ("graph.neighbours.k", 1, 32, "; the cost of clusters grows exponentially with it"),
    ("graph.neighbours.nprobe", 1, i64::MAX, ""),
    ("graph.neighbours.codebook.growing.cap", 2, i64::MAX, ""),
    ("graph.neighbours.codebook.k_means.cells", 1, i64::MAX, ""),
    ("graph.neighbours.codebook.k_means.first_nodes", 1, i64::MAX, ""),
    ("graph.closure.min_cluster", 2, i64::MAX, "; one node is no cluster"),
    ("track.frames", 2, i64::MAX, "; a track has a first and a last view"),
    ("track.max_tracks", 1, i64::MAX, ""),
    ("mine.pyramid_levels", 1, i64::MAX, ""),
];

/// The largest multiple of its own cell's distance at which a node may look; more would be any distance.
const FURTHEST: f64 = 100.0;

impl Config {
    /// Says which value cannot be, if one cannot.
    ///
    /// # Errors
    /// The sentence to show.
    pub fn check(&self) -> Result<(), String> {
        let table = self.table();
        numbers("", &table)?;
        for (path, least, greatest, why) in RANGES {
            if let Some(Value::Integer(value)) = lookup(&table, path)
                && !(least..=greatest).contains(value)
            {
                let most =
                    if greatest < i64::MAX { format!(" and at most {greatest}") } else { String::new() };
                return Err(format!("{path} = {value} must be at least {least}{most}{why}"));
            }
        }
        let near = &self.graph.neighbours;
        if near.probe_within > 0.0 {
            if !(1.0..=FURTHEST).contains(&near.probe_within) {
                return Err(format!(
                    "graph.neighbours.probe_within = {} must be at least 1 and at most {FURTHEST}, or 0 for any distance",
                    near.probe_within
                ));
            }
            if near.nprobe == 1 {
                return Err("graph.neighbours.probe_within says how far away other cells may be; with graph.neighbours.nprobe = 1 a node probes none".to_owned());
            }
        }
        #[cfg(feature = "ingest")]
        self.ingest.check().map_err(|error| error.to_string())?;
        self.train.check()
    }
}

/// No setting is negative, infinite or undefined.
fn numbers(path: &str, table: &Table) -> Result<(), String> {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(table) => numbers(&path, table)?,
            Value::Integer(value) if *value < 0 => {
                return Err(format!("{path} = {value} must not be negative"));
            }
            Value::Float(value) if !value.is_finite() || *value < 0.0 => {
                return Err(format!("{path} = {value} must be a number of at least 0"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(flag: &str) -> Result<Config, String> {
        let none = std::iter::empty::<(String, String)>();
        Config::layered(&Config::default(), None, none, &[flag.to_string()]).map_err(|e| e.to_string())
    }

    #[test]
    fn the_presets_pass() {
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!(Config::paper().check(), Ok(()));
    }

    #[test]
    fn a_value_that_cannot_be_is_named() {
        for flag in [
            "engine.slice_frames=0",
            "engine.decision_delay_epochs=0",
            "observe.segment_frames=0",
            "graph.neighbours.k=0",
            "graph.neighbours.k=100",
            "graph.neighbours.separation_s=-1.0",
            "graph.neighbours.probe_within=0.9",
            "graph.neighbours.probe_within=1.1",
            "graph.neighbours.probe_within=1e6",
            "graph.closure.min_cluster=1",
            "track.frames=1",
            "track.padding=nan",
            "mine.moving_px=-0.5",
            "mine.moving_px=inf",
            "train.batch_pairs=0",
        ] {
            let error = with(flag).unwrap_err();
            let key = flag.split_once('=').unwrap().0;
            assert!(error.contains(key), "{flag}: {error}");
        }
        #[cfg(feature = "ingest")]
        assert!(with("ingest.max_side=0").unwrap_err().contains("max_side"));
    }
}
