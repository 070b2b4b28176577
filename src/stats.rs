//! The numbers of a state, and the digest of each collection.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::ClassId;
use kinetograph_dataflows::relations::census::census;
use serde::Serialize;

use crate::collections::{Collection, Degrees, Groups, Inter, each_collection, kind_name};
use crate::state::record::{KeptRows, SourceDecision};
use crate::state::view::View;
use crate::state::{State, StateError, key};
use crate::store::Table;

/// A state in numbers, as of its last epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// The last committed epoch.
    pub epoch: u64,
    /// The earliest epoch that can be shown (`--as-of`).
    pub since: u64,
    /// Videos.
    pub sources: Sources,
    /// Frames that went through the vision code.
    pub frames: u64,
    /// Views of objects.
    pub nodes: usize,
    /// Those of them that were retired since this epoch: their crops and vectors are gone.
    pub retired_since: usize,
    /// Nodes that the budget took back, over the life of the state.
    pub retired: u64,
    /// Nodes that somebody had forgotten, over the life of the state.
    pub forgotten: u64,
    /// Objects followed.
    pub tracks: usize,
    /// Leaves of the codebook that store a node.
    pub cells: usize,
    /// Groups with a node in them.
    pub groups: usize,
    /// The storage of rows for the product of neighbours, in the last run.
    pub kept_rows: Option<String>,
    /// Lists of neighbours: one for each node and cell it looks into.
    pub lists: usize,
    /// Entries of the nodes' neighbours.
    pub neighbours: usize,
    /// Child clusters.
    pub clusters: usize,
    /// The node that is in the most clusters, and in how many.
    pub hub: Option<(NodeId, usize)>,
    /// Inter-instance edges.
    pub inter_edges: usize,
    /// Share of them that join two views of one track: 0 unless something is wrong.
    pub inter_within_track: f64,
    /// Share of them that join two nodes of one source.
    pub inter_within_source: f64,
    /// The node with the most inter-instance edges, and how many; `None` without edges, or when degrees are not kept yet.
    pub most_edges: Option<(NodeId, u32)>,
    /// Share of all inter-instance edges that it has.
    pub most_edges_share: f64,
    /// Mean number of inter-instance edges of the nodes that have any.
    pub mean_edges: f64,
    /// Intra-instance edges.
    pub intra_edges: usize,
    /// Transitive pairs by kind, each reason counted.
    pub pairs: BTreeMap<&'static str, usize>,
    /// Transitive pairs, however many reasons they have.
    pub distinct_pairs: usize,
    /// The node with the most pairs, reasons counted apart, and how many.
    pub most_pairs: Option<(NodeId, usize)>,
    /// Classes.
    pub classes: usize,
    /// Nodes in the largest class.
    pub largest_class: usize,
    /// Its share of all nodes (0 to 1).
    pub largest_class_share: f64,
    /// Whole pictures kept now, whichever epoch is shown.
    pub stills: usize,
    /// Epochs in the log.
    pub log_epochs: usize,
    /// Bytes of what is kept to go back: what epochs replaced, and the deltas that the trainer follows too.
    pub history_bytes: [u64; 2],
    /// Collection to its digest: equal digests mean equal collections, and of classes equal partitions.
    pub digests: BTreeMap<&'static str, String>,
}

/// The numbers of sources, by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sources {
    /// All of them.
    pub all: usize,
    /// Whose end was committed.
    pub ended: usize,
    /// That ended early.
    pub failed: usize,
    /// Of which only the address is left.
    pub forgotten: usize,
    /// That are not read until they are resumed.
    pub paused: usize,
    /// That were removed from a running engine: they are not read any more.
    pub removed: usize,
    /// Gaps between connections with live sources.
    pub gaps: usize,
    /// Frames of live sources that were dropped because nobody took those before them in time.
    pub dropped: u64,
}

/// The inputs of derived collections.
const INPUTS: [(&str, Table); 3] =
    [("nodes", Table::Nodes), ("crops", Table::Crops), ("vectors", Table::Vectors)];

/// The digest of each collection, by name.
fn digests(view: &View<'_>) -> Result<BTreeMap<&'static str, String>, StateError> {
    let mut digests = BTreeMap::new();
    for (name, table) in INPUTS {
        digests.insert(name, view.digest(table)?.1.to_string());
    }
    each_collection!(C => {
        if view.keeps::<C>()? {
            digests.insert(C::NAME, view.digest(C::TABLE)?.1.to_string());
        }
    });
    Ok(digests)
}

/// The numbers of `state`; a node has at most `k` neighbours.
///
/// # Errors
/// [`StateError`] when the store cannot be read or a record is damaged.
pub fn stats(state: &State, k: usize) -> Result<Stats, StateError> {
    let view = state.view()?;
    stats_of(&view, state.since()?, k)
}

/// As [`stats`], as of `epoch`.
///
/// # Errors
/// [`StateError`], also when that epoch cannot be shown.
pub fn stats_as_of(state: &State, epoch: u64, k: usize) -> Result<Stats, StateError> {
    stats_of(&state.view_as_of(epoch)?, state.since()?, k)
}

fn stats_of(view: &View<'_>, since: u64, k: usize) -> Result<Stats, StateError> {
    let sources = view.sources()?;
    let decisions = view.source_decisions()?;
    let decided = |last| decisions.values().filter(|of| of.last() == Some(&last)).count();
    let nodes = view.nodes()?;
    let totals = view.totals()?;
    let inter: Vec<(NodeId, NodeId)> = view.read::<Inter>()?.into_keys().collect();
    let within = |same: &dyn Fn(NodeId, NodeId) -> bool| {
        inter.iter().filter(|(a, b)| same(*a, *b)).count() as f64 / inter.len().max(1) as f64
    };
    let mut tracks: BTreeMap<_, usize> = BTreeMap::new();
    nodes.keys().for_each(|node| *tracks.entry(node.track()).or_default() += 1);
    let (clusters, all_pairs, class_of) = (view.clusters()?, view.pairs()?, view.classes()?);
    let census = census(&clusters, &all_pairs, class_of.iter().map(|(node, class)| (*node, *class)));
    let classes: BTreeSet<ClassId> = class_of.into_values().collect();
    let mut pairs: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut distinct = BTreeSet::new();
    for pair in all_pairs {
        *pairs.entry(kind_name(pair.kind)).or_default() += 1;
        distinct.insert((pair.a, pair.b));
    }
    let degrees = view.read::<Degrees>()?;
    let most_edges = degrees.iter().map(|(node, degree)| (*node, *degree));
    let most_edges = most_edges.max_by_key(|(node, degree)| (*degree, std::cmp::Reverse(*node)));
    let share = |(_, degree): (NodeId, u32)| f64::from(degree) / inter.len().max(1) as f64;
    Ok(Stats {
        epoch: view.epoch()?,
        since,
        sources: Sources {
            paused: decided(SourceDecision::Paused),
            removed: decided(SourceDecision::Removed),
            gaps: view.gaps()?.len(),
            dropped: view.connections()?.values().map(|connection| connection.dropped).sum(),
            all: sources.len(),
            ended: sources.values().filter(|s| s.ended && !s.forgotten).count(),
            failed: sources.values().filter(|s| s.failure.is_some()).count(),
            forgotten: sources.values().filter(|s| s.forgotten).count(),
        },
        frames: sources.values().map(|s| s.counts.frames).sum(),
        nodes: nodes.len(),
        retired_since: view.retired_since(),
        retired: totals.retired,
        forgotten: totals.forgotten,
        cells: view.cells()?.into_values().collect::<BTreeSet<_>>().len(),
        groups: view.read::<Groups>()?.into_values().collect::<BTreeSet<_>>().len(),
        kept_rows: view.meta::<KeptRows>(key::KEPT_ROWS)?.map(|kept| kept.to_string()),
        lists: view.lists()?.len(),
        neighbours: view.neighbours(k)?.values().map(Vec::len).sum(),
        clusters: clusters.len(),
        hub: census.hub,
        most_pairs: census.most_pairs,
        inter_edges: inter.len(),
        inter_within_track: within(&|a, b| a.track() == b.track()),
        inter_within_source: within(&|a, b| a.source() == b.source()),
        most_edges,
        most_edges_share: most_edges.map_or(0.0, share),
        mean_edges: degrees.values().copied().map(f64::from).sum::<f64>() / degrees.len().max(1) as f64,
        intra_edges: tracks.values().map(|views| views * (views - 1) / 2).sum(),
        tracks: tracks.len(),
        pairs,
        distinct_pairs: distinct.len(),
        largest_class: census.largest_class.map_or(0, |(_, size)| size),
        largest_class_share: census.largest_class_share,
        classes: classes.len(),
        stills: view.stills()?.len(),
        log_epochs: view.log(0)?.len(),
        history_bytes: [view.bytes(Table::History)?, view.bytes(Table::Deltas)?],
        digests: digests(view)?,
    })
}

/// `n` with a comma between thousands.
pub fn grouped(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let mut line = |name: &str, count: String, note: String| {
            let space = if note.is_empty() { "" } else { "   " };
            writeln!(f, "{name:<12} {count:>12}{space}{note}")
        };
        line("epoch", grouped(self.epoch), format!("can be shown from {}", grouped(self.since)))?;
        let Sources { all, ended, failed, forgotten, paused, removed, gaps, dropped } = self.sources;
        let mut sources = format!("{ended} ended, {failed} failed");
        for (count, what) in [(forgotten, "forgotten"), (paused, "paused"), (removed, "removed")] {
            if count > 0 {
                sources += &format!(", {count} {what}");
            }
        }
        line("sources", grouped(all), sources)?;
        let missed = match (gaps, dropped) {
            (0, 0) => String::new(),
            _ => format!("live sources: {} gaps, {} frames dropped", grouped(gaps), grouped(dropped)),
        };
        line("frames", grouped(self.frames), missed)?;
        if self.retired + self.forgotten > 0 {
            let note = format!("by the budget; {} forgotten", grouped(self.forgotten));
            line("retired", grouped(self.retired), note)?;
        }
        if self.nodes == 0 {
            let gone = self.retired + self.forgotten > 0;
            let why = if gone { "all are retired or forgotten" } else { "nothing was mined yet" };
            return line("nodes", "0".to_string(), why.to_string());
        }
        let retired = match self.retired_since {
            0 => String::new(),
            since => format!(", {} of them retired since", grouped(since)),
        };
        line("nodes", grouped(self.nodes), format!("of {} tracks{retired}", grouped(self.tracks)))?;
        line("cells", grouped(self.cells), format!("and {} groups", grouped(self.groups)))?;
        line("neighbours", grouped(self.neighbours), format!("in {} lists", grouped(self.lists)))?;
        if let Some(kept) = &self.kept_rows {
            line("rows kept", String::new(), kept.clone())?;
        }
        let standing_out = |what: Option<(NodeId, usize)>| {
            what.map_or(String::new(), |(node, count)| format!("node {node} is in {}", grouped(count)))
        };
        line("clusters", grouped(self.clusters), standing_out(self.hub))?;
        let shares = format!(
            "{} within a source, {} within a track",
            percent(self.inter_within_source),
            percent(self.inter_within_track)
        );
        line("inter edges", grouped(self.inter_edges), shares)?;
        if let Some((node, degree)) = self.most_edges {
            let share = percent(self.most_edges_share);
            let note = format!("of node {node}, {share} of them all; the mean is {:.1}", self.mean_edges);
            line("degree", grouped(degree), note)?;
        }
        line("intra edges", grouped(self.intra_edges), String::new())?;
        let mut kinds: Vec<String> = self.pairs.iter().map(|(k, n)| format!("{k} {}", grouped(*n))).collect();
        kinds.extend(self.most_pairs.map(|most| standing_out(Some(most))));
        line("pairs", grouped(self.distinct_pairs), kinds.join(", "))?;
        line(
            "classes",
            grouped(self.classes),
            format!(
                "the largest has {}, {} of all nodes",
                grouped(self.largest_class),
                percent(self.largest_class_share)
            ),
        )?;
        line("stills", grouped(self.stills), String::new())?;
        line("log", grouped(self.log_epochs), "epochs".to_string())?;
        let [replaced, deltas] = self.history_bytes;
        line("history", grouped(replaced + deltas), format!("bytes, {} of them deltas", grouped(deltas)))?;
        for (name, digest) in &self.digests {
            line("digest", (*name).to_string(), digest.clone())?;
        }
        Ok(())
    }
}
