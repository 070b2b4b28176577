//! The time and memory that a run over operations took.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// One epoch with operations.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The epoch.
    pub epoch: u64,
    /// Nodes that came.
    pub inserts: usize,
    /// Nodes that went.
    pub deletes: usize,
    /// Records that came or went, in all collections.
    pub changes: usize,
    /// From the first row given to the epoch being closed on all workers.
    pub latency: Duration,
}

/// Percentiles of latency, milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Half are not above.
    pub p50: f64,
    /// Nine of ten are not above.
    pub p90: f64,
    /// 99 of a hundred are not above.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// Figures of some of the epochs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rates {
    /// Epochs.
    pub epochs: usize,
    /// Nodes that came.
    pub inserts: usize,
    /// Nodes that went.
    pub deletes: usize,
    /// Records that came or went, in all collections.
    pub changes: usize,
    /// The sum of their latencies.
    pub seconds: f64,
    /// Nodes that came or went, a second.
    pub ops_per_s: f64,
    /// Of an epoch.
    pub latency_ms: Latency,
}

impl Rates {
    /// Of `turns`.
    pub fn of<'t>(turns: impl IntoIterator<Item = &'t Turn>) -> Self {
        let mut rates = Rates::default();
        let mut all = Vec::new();
        for turn in turns {
            rates.epochs += 1;
            rates.inserts += turn.inserts;
            rates.deletes += turn.deletes;
            rates.changes += turn.changes;
            rates.seconds += turn.latency.as_secs_f64();
            all.push(turn.latency);
        }
        all.sort_unstable();
        // The nearest rank: the smallest latency that at least this share is not above.
        let at = |share: f64| {
            let rank = ((share * all.len() as f64).ceil() as usize).clamp(1, all.len().max(1));
            all.get(rank - 1).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        rates.latency_ms = Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) };
        if rates.seconds > 0.0 {
            rates.ops_per_s = (rates.inserts + rates.deletes) as f64 / rates.seconds;
        }
        rates
    }
}

/// The contents of `timings.json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Timings {
    /// Dataflow workers.
    pub workers: usize,
    /// Values of a vector.
    pub dimensions: usize,
    /// Nodes at the end.
    pub nodes: usize,
    /// Cells with nodes in them at the end.
    pub cells: usize,
    /// Every epoch with operations.
    pub all: Rates,
    /// Epochs in which nodes only came: `ops_per_s` is inserts a second.
    pub inserting: Rates,
    /// Epochs in which nodes only went: `ops_per_s` is deletes a second.
    pub deleting: Rates,
    /// Epochs in which nodes came and went.
    pub mixed: Rates,
    /// The last tenth of the epochs in which nodes only came: what an insert costs once the graph is large.
    pub inserting_last_tenth: Rates,
    /// Epochs without operations, run for decisions that were to take effect.
    pub settling_epochs: usize,
    /// Seconds they took.
    pub settling_seconds: f64,
    /// Scores computed for lists.
    pub scored: u64,
    /// Seconds by what the time went to: reading (operations, vectors), graph (the workers' epochs), deciding (the codebook), following (keeping
    /// what is written in the end) and writing.
    pub seconds: BTreeMap<&'static str, f64>,
    /// Seconds in each operator of the graph, all workers together.
    pub operator_seconds: BTreeMap<String, f64>,
    /// Largest resident memory, bytes; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_latency_that_was_measured() {
        let turn =
            |ms| Turn { epoch: ms, inserts: 2, deletes: 1, changes: 0, latency: Duration::from_millis(ms) };
        let turns: Vec<Turn> = (1..=200).rev().map(turn).collect();
        let rates = Rates::of(&turns);
        let Latency { p50, p90, p99, max } = rates.latency_ms;
        assert_eq!([p50, p90, p99, max], [100.0, 180.0, 198.0, 200.0]);
        assert_eq!((rates.epochs, rates.inserts, rates.deletes), (200, 400, 200));
        assert!((rates.ops_per_s - 600.0 / 20.1).abs() < 1e-9);
        assert_eq!(Rates::of(&[]).latency_ms.max, 0.0);
    }
}
