//! The report of a run, for `--report` and the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kinetograph_dataflows::id::SourceId;
use serde::{Deserialize, Serialize};

use crate::state::record::Counts;
use crate::state::{State, StateError};
use crate::stats::stats;

/// A source that could not be read, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedSource {
    /// Its URI, or the argument that named it.
    pub source: String,
    /// Why.
    pub reason: String,
}

/// The report of a run: what it did, and what the state holds after it. Counts are over the life of the state unless said otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Frames that went through the vision code.
    pub frames: u64,
    /// Frames of this run.
    pub frames_this_run: u64,
    /// Frames of this run, each second until the last of them was committed.
    pub frames_per_s: f64,
    /// Frames dropped by policy. Files wait instead, so 0 for them.
    pub dropped: u64,
    /// Sources of this run that have been read to their end, in this run or before.
    pub sources_ended: u64,
    /// Sources of this run that did not fail, those still being read among them.
    pub sources_succeeded: u64,
    /// Sources of this run that failed, in this run or before, and why.
    pub sources_failed: Vec<FailedSource>,
    /// Sources of this run that were forgotten before, or have the content of one: they are not taken in again.
    pub sources_forgotten: Vec<String>,
    /// Frames with at least one mined region.
    pub mined: u64,
    /// Frames without one, by reason.
    pub rejected: BTreeMap<String, u64>,
    /// Tracks that became nodes.
    pub tracks: u64,
    /// Tracks begun.
    pub tracks_started: u64,
    /// Tracks dropped, by reason.
    pub tracks_lost: BTreeMap<String, u64>,
    /// Nodes.
    pub nodes: u64,
    /// Nodes that this run added.
    pub nodes_this_run: u64,
    /// Nodes that the budget took back.
    pub retired: u64,
    /// Nodes that the budget took back in this run.
    pub retired_this_run: u64,
    /// Nodes that somebody had forgotten.
    pub forgotten: u64,
    /// Nodes that the graph holds at most, by the setting or by the machine's memory.
    pub budget: u64,
    /// The storage of rows for the product of neighbours.
    pub kept_rows: Option<String>,
    /// Child clusters.
    pub clusters: u64,
    /// Inter-instance edges.
    pub inter_edges: u64,
    /// Share of them that joins two views of one track.
    pub inter_edges_one_track: f64,
    /// Share of them that joins two nodes of one source.
    pub inter_edges_one_source: f64,
    /// Intra-instance edges.
    pub intra_edges: u64,
    /// Transitive pairs by kind, one a reason.
    pub pairs: BTreeMap<String, u64>,
    /// Transitive pairs, each once.
    pub pairs_distinct: u64,
    /// Classes.
    pub classes: u64,
    /// Nodes of the largest class.
    pub largest_class: u64,
    /// Leaves of the codebook in use.
    pub cells: u64,
    /// Groups in use.
    pub groups: u64,
    /// The last committed epoch.
    pub epochs: u64,
    /// Training steps over the life of the state's trainer.
    pub train_steps: u64,
    /// Training steps of this run, each second spent in them.
    pub train_steps_per_s: f64,
    /// Why training ended early, if it did.
    pub train_failed: Option<String>,
    /// Mean loss of the first steps.
    pub loss_first: Option<f64>,
    /// Mean loss of the last steps.
    pub loss_last: Option<f64>,
    /// Largest resident memory of this process, bytes.
    pub peak_rss_bytes: u64,
    /// Seconds this run took.
    pub seconds: f64,
    /// Seconds by stage of this run, summed over workers.
    pub seconds_by_stage: BTreeMap<String, f64>,
    /// Mean and longest commit of this run, milliseconds.
    pub commit_ms: [f64; 2],
    /// Seconds from the start until the stored graph was back in memory and checked.
    pub restore_seconds: f64,
}

impl Report {
    /// Returns what `state` holds after a run over the sources in `named`; a node has at most `k` neighbours.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be read.
    pub fn of_state(state: &State, named: &BTreeSet<SourceId>, k: usize) -> Result<Self, StateError> {
        let stats = stats(state, k)?;
        let sources = state.view()?.sources()?;
        let mut counts = Counts::default();
        sources.values().for_each(|source| counts.add(&source.counts));
        let named = || named.iter().filter_map(|id| sources.get(id));
        let failed = named().filter_map(|source| {
            let reason = source.failure.clone()?;
            Some(FailedSource { source: source.uri.clone(), reason })
        });
        Ok(Report {
            frames: stats.frames,
            sources_ended: named().filter(|s| s.ended && s.failure.is_none()).count() as u64,
            sources_succeeded: named().filter(|s| s.failure.is_none()).count() as u64,
            sources_failed: failed.collect(),
            mined: counts.mined,
            rejected: counts.rejected,
            tracks: stats.tracks as u64,
            tracks_started: counts.tracks_started,
            tracks_lost: counts.tracks_lost,
            nodes: stats.nodes as u64,
            retired: stats.retired,
            forgotten: stats.forgotten,
            kept_rows: stats.kept_rows,
            clusters: stats.clusters as u64,
            inter_edges: stats.inter_edges as u64,
            inter_edges_one_track: stats.inter_within_track,
            inter_edges_one_source: stats.inter_within_source,
            intra_edges: stats.intra_edges as u64,
            pairs: stats.pairs.iter().map(|(kind, count)| (kind.to_string(), *count as u64)).collect(),
            pairs_distinct: stats.distinct_pairs as u64,
            classes: stats.classes as u64,
            largest_class: stats.largest_class as u64,
            cells: stats.cells as u64,
            groups: stats.groups as u64,
            epochs: stats.epoch,
            ..Report::default()
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: u64 = self.pairs.values().sum();
        writeln!(f, "video     {} frames, {:.0} a second", self.frames_this_run, self.frames_per_s)?;
        writeln!(
            f,
            "objects   {} frames with something moving, {} tracks finished of {} begun",
            self.mined, self.tracks, self.tracks_started
        )?;
        let retired = match self.retired_this_run {
            0 => String::new(),
            retired => format!(", {retired} retired (budget {})", self.budget),
        };
        writeln!(
            f,
            "nodes     {} in {} cells, {} new{retired}",
            self.nodes, self.cells, self.nodes_this_run
        )?;
        writeln!(
            f,
            "edges     {} between instances (from {} clusters), {} within",
            self.inter_edges, self.clusters, self.intra_edges
        )?;
        writeln!(f, "pairs     {} transitive ({} with all their reasons)", self.pairs_distinct, pairs)?;
        let share = 100.0 * self.largest_class as f64 / self.nodes.max(1) as f64;
        writeln!(
            f,
            "classes   {}, the largest with {} nodes, {share:.0} % of all",
            self.classes, self.largest_class
        )?;
        if let (Some(first), Some(last)) = (self.loss_first, self.loss_last) {
            writeln!(f, "training  {} steps, loss {first:.3} -> {last:.3}", self.train_steps)?;
        }
        write!(
            f,
            "took      {:.1} s, {} MiB at most; {} epochs, {:.1} ms a commit",
            self.seconds,
            self.peak_rss_bytes >> 20,
            self.epochs,
            self.commit_ms[0]
        )?;
        for source in &self.sources_forgotten {
            write!(f, "\nforgotten {source}: not taken in again; another --state takes it in")?;
        }
        if let Some(reason) = &self.train_failed {
            write!(f, "\ntraining  stopped: {reason}")?;
        }
        for failed in &self.sources_failed {
            write!(f, "\nfailed    {}: {}", failed.source, failed.reason)?;
        }
        Ok(())
    }
}
