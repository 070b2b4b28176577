//! Taking back for good: nodes and all that was derived from them leave the graph, the history, the trainer's files and
//! the disk.
//!
//! First one transaction, an epoch of its own, takes them out of every table and notes what is still to be erased
//! elsewhere. Then checkpoints are rewritten and the data file is written anew; the note goes with the old file. So a kill
//! leaves the state as it was before or as it is after, and whoever opens it to write next finishes the erasing.

pub mod age;
mod chosen;
mod codebook;
mod erase;
mod history;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kinetograph_dataflows::id::NodeId;
use kinetograph_dataflows::index::node::Row;
use kinetograph_dataflows::index::partition::codebook::Decision;
use kinetograph_dataflows::settings::GraphSettings;
use kinetograph_dataflows::time::{Diff, Epoch};

use crate::collections::{Collection, Listed, each_collection};
use crate::epoch::Changes;
use crate::epoch::changes;
use crate::state::record::{Counts, EpochLog, Erasing, Shard, SourceRecord};
use crate::state::stored::{Stored, stored};
use crate::state::view::View;
use crate::state::{State, StateError, encode, key, now_s};
use crate::store::lmdb::Compacted;
use crate::store::{Batch, StoreError, Table};
use crate::train::checkpoint::CheckpointError;
use crate::train::checkpoint::strike::Struck;
use crate::turn::{self, Given, Labels};

pub use chosen::Chosen;
pub use erase::finish;

/// The things to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A source, by its name or URI, with everything that was seen in it.
    Source(String),
    /// One node.
    Node(u64),
    /// Everything committed longer ago than this.
    OlderThan(Duration),
}

/// The settings of a forgetting.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Builds the codebook anew from what remains: its centroids are means over what is forgotten, too.
    pub rebuild_codebook: bool,
    /// Folders of checkpoints, the state's own left out.
    pub checkpoints: Vec<PathBuf>,
    /// Dataflow workers.
    pub workers: usize,
}

/// The numbers of what was forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Nodes.
    pub nodes: usize,
    /// Sources that are not taken in again.
    pub sources: Vec<String>,
    /// Whole stills.
    pub stills: usize,
    /// Other views of a track of which one was forgotten.
    pub other_views: Vec<NodeId>,
    /// The part that left the trainer's files.
    pub struck: Struck,
    /// The space that the disk got back.
    pub compacted: Compacted,
}

/// Why nothing was forgotten, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The trainer's files.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No source of that name.
    #[error("{place}: no source {asked}; there are {known}")]
    NoSource {
        /// The state's folder.
        place: String,
        /// The request, as it was given.
        asked: String,
        /// The sources there are.
        known: String,
    },
    /// Several sources of that name.
    #[error("{place}: several sources are called {asked}; say which by its URI: {known}")]
    SeveralSources {
        /// The state's folder.
        place: String,
        /// The request, as it was given.
        asked: String,
        /// Their URIs.
        known: String,
    },
    /// No such node.
    #[error("{place}: no node {asked}; there are {known}")]
    NoNode {
        /// The state's folder.
        place: String,
        /// The request, as it was given.
        asked: u64,
        /// The nodes there are.
        known: String,
    },
    /// The settings in the state cannot be read.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The stored lists lead to something else than the state holds.
    #[error(
        "{place}: the stored {collection} are not what the stored lists lead to; `kinetograph verify --state {place}` says \
         where, and --rebuild-codebook makes the graph anew"
    )]
    Inconsistent {
        /// The state's folder.
        place: String,
        /// The collection that differs.
        collection: &'static str,
    },
    /// The dataflow failed.
    #[error("{place}: {reason}")]
    Graph {
        /// The state's folder.
        place: String,
        /// Why.
        reason: String,
    },
    /// It is one shard of a graph.
    #[error(
        "{place}: shard {process} of a graph in {of}; put them together first: `kinetograph reshard --state DIR \
         (each of the {of}) --to WHOLE`, then forget there"
    )]
    Part {
        /// The state's folder.
        place: String,
        /// Which shard, counted from 0.
        process: u32,
        /// Of how many.
        of: u32,
    },
    /// A trainer writes checkpoints.
    #[error(
        "{0}: a training is under way there; stop it first, since its replay buffer holds what is to be forgotten"
    )]
    Training(PathBuf),
}

impl From<StoreError> for ForgetError {
    fn from(error: StoreError) -> Self {
        ForgetError::State(error.into())
    }
}

/// Returns what would be forgotten. Changes nothing.
///
/// # Errors
/// [`ForgetError`], as [`forget`].
pub fn look(dir: &Path, what: &What) -> Result<Chosen, ForgetError> {
    let state = State::open_read(dir)?;
    let view = state.view()?;
    refuse_part(&state, &view)?;
    Chosen::new(&view, what, &state.place(), now_s())
}

/// Forgets `what` in the state in `dir`.
///
/// # Errors
/// [`ForgetError`]; before the transaction the state is as it was, after it the next call, or the next run, goes on.
pub fn forget(dir: &Path, what: &What, settings: &Settings) -> Result<Forgotten, ForgetError> {
    // Opening to write would make a state where there is none.
    let state = State::open_read(dir)?;
    refuse_part(&state, &state.view()?)?;
    drop(state);
    erase::finish(dir)?;
    let state = State::open(dir)?;
    let folders = erase::absolute(&settings.checkpoints)?;
    let trainings = erase::keep_trainers_out(dir, &folders)?;
    let view = state.view()?;
    let chosen = Chosen::new(&view, what, &state.place(), now_s())?;
    let mut forgotten = Forgotten {
        nodes: chosen.nodes.len(),
        sources: chosen.sources.values().map(|source| source.uri.clone()).collect(),
        stills: chosen.stills.len(),
        other_views: chosen.other_views.clone(),
        ..Forgotten::default()
    };
    if chosen.is_empty() && !settings.rebuild_codebook {
        return Ok(forgotten);
    }
    let batch = transaction(&state, &view, &chosen, settings, &folders)?;
    drop(view);
    state.commit(&batch)?;
    // The data file is about to be replaced: nobody may have it open to write.
    drop(state);
    (forgotten.struck, forgotten.compacted) = erase::erase(dir)?;
    drop(trainings);
    Ok(forgotten)
}

/// Returns what is forgotten takes neighbours from nodes that another process has.
fn refuse_part(state: &State, view: &View<'_>) -> Result<(), ForgetError> {
    match view.shard()? {
        Shard::WHOLE => Ok(()),
        Shard { process, of } => Err(ForgetError::Part { place: state.place(), process, of }),
    }
}

/// Everything that changes in the store, as one transaction.
fn transaction(
    state: &State,
    view: &View<'_>,
    chosen: &Chosen,
    settings: &Settings,
    folders: &[PathBuf],
) -> Result<Batch, ForgetError> {
    let place = state.place();
    let config = match view.made_with()? {
        Some(made) => crate::config::Config::parse(&made.config, &place)?,
        None => crate::config::Config::default(),
    };
    let start = view.epoch()?;
    let epoch = start + 1;
    let mut stored = stored(state, view, config.engine.decision_delay_epochs)?;
    // The epoch is used up: what was to go in it anyway goes, too.
    let retired: BTreeSet<NodeId> = stored.retiring.remove(&epoch).unwrap_or_default().into_iter().collect();
    let retired: Vec<NodeId> = retired.difference(&chosen.nodes).copied().collect();
    let gone: Vec<NodeId> = chosen.nodes.iter().chain(&retired).copied().collect();

    let graph = Graph { settings: &config.graph, workers: settings.workers, place: &place };
    let mut batch = Batch::default();
    let (outputs, decisions) = match settings.rebuild_codebook {
        true => {
            // All of a collection that was not kept comes in this epoch.
            changes::fill(&Changes::default(), view, epoch, &mut batch)?;
            graph.anew(view, stored, &gone, epoch)?
        }
        false => {
            let [restored, outputs] = graph.less(view, stored, &gone, start)?;
            changes::fill(&restored, view, epoch, &mut batch)?;
            (outputs, Vec::new())
        }
    };
    changes::put(&outputs, &gone, &mut batch);
    for still in &chosen.stills {
        batch.delete(Table::Stills, still.clone());
    }
    for (source, record) in &chosen.sources {
        batch.put(Table::Sources, key::source(*source), encode(&tombstone(record)));
        for table in [Table::SourceDecisions, Table::Connections] {
            view.keys_of_source(table, *source)?.into_iter().for_each(|key| batch.delete(table, key));
        }
    }
    history::scrub(view, chosen, settings.rebuild_codebook, &mut batch)?;
    crate::state::history::erase(view, &mut batch)?;
    for (order, decision) in decisions.iter().enumerate() {
        batch.put(Table::Decisions, key::decision(key::FIRST_SPACE, epoch, order as u64), encode(decision));
    }
    let mut delta = changes::delta(std::iter::empty(), &outputs, &retired);
    delta.strike(|node| chosen.nodes.contains(&node));
    let log = EpochLog {
        decisions: decisions.into_iter().map(|decision| (epoch, decision)).collect(),
        forgotten: chosen.nodes.len() as u64,
        committed_s: now_s(),
        ..EpochLog::default()
    };
    batch.put(Table::Log, key::epoch(epoch), encode(&log));
    batch.put(Table::Deltas, key::epoch(epoch), encode(&delta));
    let mut totals = view.totals()?;
    totals.retired += retired.len() as u64;
    totals.forgotten += chosen.nodes.len() as u64;
    batch.put(Table::Meta, key::TOTALS, encode(&totals));
    batch.put(Table::Meta, key::EPOCH, encode(&epoch));
    let erasing = Erasing { nodes: chosen.nodes.iter().copied().collect(), checkpoints: folders.to_vec() };
    batch.put(Table::Meta, key::ERASING, encode(&erasing));
    Ok(batch)
}

/// Returns what is left of a source: enough to know it again.
fn tombstone(record: &SourceRecord) -> SourceRecord {
    SourceRecord {
        uri: record.uri.clone(),
        name: record.name.clone(),
        fingerprint: record.fingerprint.clone(),
        position: 0,
        ended: true,
        failure: None,
        counts: Counts::default(),
        forgotten: true,
    }
}

/// The graph of a state, to be turned one epoch on.
struct Graph<'a> {
    settings: &'a GraphSettings,
    workers: usize,
    place: &'a str,
}

impl Graph<'_> {
    /// Returns what there is when all is restored that is `stored`, and what changes when `gone` are taken back from it. No distance is
    /// computed but to refill lists.
    fn less(
        &self,
        view: &View<'_>,
        stored: Stored,
        gone: &[NodeId],
        start: Epoch,
    ) -> Result<[Changes; 2], ForgetError> {
        let [restored, outputs] = self.step(Step {
            epoch: start,
            decisions: stored.decisions,
            rows: stored.rows,
            then: gone.iter().map(|node| (Row::gone(*node), -1)).collect(),
            classes: stored.classes,
        })?;
        match changes::inconsistent(&restored, view)? {
            Some(collection) => Err(ForgetError::Inconsistent { place: self.place.to_string(), collection }),
            None => Ok([restored, outputs]),
        }
    }

    /// Returns what changes when all but `gone` are put into an empty graph with a codebook made of them alone, and that codebook.
    fn anew(
        &self,
        view: &View<'_>,
        stored: Stored,
        gone: &[NodeId],
        epoch: Epoch,
    ) -> Result<(Changes, Vec<Decision>), ForgetError> {
        let gone: BTreeSet<NodeId> = gone.iter().copied().collect();
        let mut rows = stored.rows;
        rows.retain(|row| !gone.contains(&row.id));
        rows.iter_mut().for_each(|row| row.known = None);
        let decisions = codebook::made_of(&rows, &self.settings.neighbours);
        let [_, mut outputs] = self.step(Step {
            epoch: epoch - 1,
            decisions: decisions.iter().map(|decision| (epoch, decision.clone())).collect(),
            rows: Vec::new(),
            then: rows.into_iter().map(|row| (row, 1)).collect(),
            classes: stored.classes,
        })?;
        outputs.merge(held(view)?);
        outputs.settle();
        Ok((outputs, decisions))
    }

    /// Returns what the two epochs of `step` change.
    fn step(&self, step: Step) -> Result<[Changes; 2], ForgetError> {
        let failed = |reason: String| ForgetError::Graph { place: self.place.to_string(), reason };
        let Step { epoch, decisions, rows, then, classes } = step;
        let mut given: [Given; 2] = Default::default();
        given[0].rows = rows.into_iter().map(|row| (row, 1)).collect();
        given[1].rows = then;
        for (effective, decision) in decisions {
            // Those of later epochs do not matter yet.
            if let Some(given) = given.get_mut(effective.saturating_sub(epoch) as usize) {
                given.decisions.push(decision);
            }
        }
        let turn = || -> anyhow::Result<[Changes; 2]> {
            let mut graph = turn::Graph::start(self.workers, self.settings, classes)?;
            let [first, second] = given;
            let changes = [graph.turn(epoch, first)?.0, graph.turn(epoch + 1, second)?.0];
            graph.finish()?;
            Ok(changes)
        };
        let changes = turn().map_err(|error| failed(error.to_string()))?;
        match changes.iter().flat_map(|changes| &changes.errors).next() {
            Some(error) => Err(failed(error.clone())),
            None => Ok(changes),
        }
    }
}

/// What the graph is given in two epochs.
struct Step {
    /// The first of them.
    epoch: Epoch,
    /// Decisions with the epoch they take effect at, in order.
    decisions: Vec<(Epoch, Decision)>,
    /// What there is in the first epoch.
    rows: Vec<Row>,
    /// What comes and goes in the second.
    then: Vec<(Row, Diff)>,
    /// Labels of classes from before.
    classes: Labels,
}

/// Every derived record of a state, as going.
fn held(view: &View<'_>) -> Result<Changes, StateError> {
    let mut held = Changes::default();
    each_collection!(C => {
        let records = C::of_mut(&mut held.of);
        view.each::<C>(|key, value| records.push((C::join(key, value), -1)))?;
    });
    Ok(held)
}
