//! Requests to a running engine: sources are added, paused, resumed and removed.
//!
//! ```text
//! handle --(order, where the answer goes)--> committer --> one transaction with the epoch --> lanes, board, answer
//! ```
//!
//! An order is answered when it is durable.

use std::collections::BTreeMap;

use crossbeam::channel::Sender;
use kinetograph_dataflows::id::SourceId;
use kinetograph_dataflows::time::Epoch;
use kinetograph_pipelines::{IngestError, Life, NamedSource};

use super::board::{Board, SourceState, SourceStatus};
use super::events::{Event, Events};
use super::lanes::{LaneOrder, Waiting};
use super::sources::{MOST_SOURCES, new_record};
use crate::state::encode;
use crate::state::key;
use crate::state::record::{SourceDecision, SourceRecord};
use crate::store::{Batch, Table};

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The name that was given is no source.
    #[error(transparent)]
    Source(#[from] IngestError),
    /// There is no such source in this run.
    #[error("{0}: not a source of this run")]
    Unknown(String),
    /// The source was forgotten, or has the content of one that was.
    #[error("{0}: was forgotten; another --state takes it in")]
    Forgotten(String),
    /// The source is read to its end, failed, or removed.
    #[error("{uri}: {state}, so it cannot be {asked}")]
    State {
        /// The source.
        uri: String,
        /// Its state, in words.
        state: &'static str,
        /// The request, in words.
        asked: &'static str,
    },
    /// The content of a source is not what it was when it was paused.
    #[error("{0}: its content has changed since it was paused; add it, and it is taken in as another source")]
    Changed(String),
    /// A source without an end, or one that came later, does not fit a run in lock-step.
    #[error("a run with --batch reads the files that it was started with, and no others")]
    Batch,
    /// Sources of several processes are given when they start.
    #[error("several processes run this graph: their sources are given when they start")]
    Cluster,
    /// All numbers are given away.
    #[error("the state has {MOST_SOURCES} sources already; start another --state")]
    Full,
    /// The run is over, or about to be.
    #[error("the run is over")]
    Over,
}

/// Something asked of a running engine.
#[derive(Debug)]
pub enum Order {
    /// Read this source, too, whose content is known by this fingerprint.
    Add(NamedSource, String),
    /// Do not read this source until it is resumed.
    Pause(SourceId),
    /// Read this source again, whose content is known by this fingerprint now.
    Resume(SourceId, String),
    /// Do not read this source any more.
    Remove(SourceId),
}

/// The answer to an order: the source it was about.
pub type Answer = Result<SourceStatus, ControlError>;

/// An order and where its answer goes.
#[derive(Debug)]
pub struct Request {
    /// The order.
    pub order: Order,
    /// Takes the answer, once.
    pub answer: Sender<Answer>,
}

/// An order that is carried out with an epoch.
struct Decided {
    source: SourceId,
    decision: SourceDecision,
    /// For the lane that reads the source.
    lane: LaneOrder,
    answer: Sender<Answer>,
}

/// The orders that an epoch's transaction carries out, and what follows once it is durable.
#[derive(Default)]
pub struct Decisions(Vec<Decided>);

impl Decisions {
    /// Decides about `requests`, in order; those that cannot be carried out are answered at once. `sources` are all that the state
    /// knows, and come to hold those that are added.
    pub fn of(requests: Vec<Request>, sources: &mut BTreeMap<SourceId, SourceRecord>, board: &Board) -> Self {
        let mut decided = Vec::new();
        for Request { order, answer } in requests {
            // Of several orders about one source each sees what those before it lead to.
            let state = |id: SourceId| {
                let before = decided.iter().rev().find(|d: &&Decided| d.source == id);
                before.map(|d| after(d.decision)).or_else(|| board.get(id).map(|status| status.state))
            };
            match decide(order, sources, &state) {
                Ok((source, decision, lane)) => decided.push(Decided { source, decision, lane, answer }),
                // Whoever asked may have gone.
                Err(error) => drop(answer.send(Err(error))),
            }
        }
        Decisions(decided)
    }

    /// Returns true when nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the decisions to the transaction of `epoch`, with the records of the sources that they add.
    pub fn put(&self, epoch: Epoch, sources: &BTreeMap<SourceId, SourceRecord>, batch: &mut Batch) {
        for (order, Decided { source, decision, .. }) in (0..).zip(&self.0) {
            batch.put(Table::SourceDecisions, key::source_decision(*source, epoch, order), encode(decision));
            if let (SourceDecision::Added, Some(record)) = (decision, sources.get(source)) {
                batch.put(Table::Sources, key::source(*source), encode(record));
            }
        }
    }

    /// Carries out what is durable now: `tell` takes an order for the lane of its source.
    pub fn carry_out(self, board: &Board, events: &Events, mut tell: impl FnMut(SourceId, LaneOrder)) {
        for Decided { source, decision, lane, answer } in self.0 {
            let id = source.0;
            if let LaneOrder::Read(waiting) = &lane
                && decision == SourceDecision::Added
            {
                let named = &waiting.source;
                if board.get(source).is_none() {
                    let status = SourceStatus::waiting(source, &named.name, &*named.source, waiting.position);
                    board.add(status);
                }
            }
            board.change(source, |status| {
                let over = matches!(status.state, SourceState::Ended | SourceState::Failed);
                // It may have come to its end in the very epoch. A lane that reads it on says so itself.
                if !over || decision == SourceDecision::Removed {
                    status.state = after(decision);
                }
            });
            events.tell(match decision {
                SourceDecision::Added => {
                    let uri = board.get(source).map_or_else(String::new, |status| status.uri);
                    Event::SourceAdded { id, uri }
                }
                SourceDecision::Paused => Event::SourcePaused { id },
                SourceDecision::Resumed => Event::SourceResumed { id },
                SourceDecision::Removed => Event::SourceRemoved { id },
            });
            tell(source, lane);
            if let Some(status) = board.get(source) {
                let _ = answer.send(Ok(status));
            }
        }
    }
}

/// Tells whether the source at an address is live.
fn is_live(uri: &str) -> bool {
    NamedSource::from_uri(uri).is_ok_and(|named| named.source.life() == Life::Live)
}

/// Returns what a source does after a decision.
fn after(decision: SourceDecision) -> SourceState {
    match decision {
        SourceDecision::Added | SourceDecision::Resumed => SourceState::Waiting,
        SourceDecision::Paused => SourceState::Paused,
        SourceDecision::Removed => SourceState::Removed,
    }
}

fn decide(
    order: Order,
    sources: &mut BTreeMap<SourceId, SourceRecord>,
    state: &dyn Fn(SourceId) -> Option<SourceState>,
) -> Result<(SourceId, SourceDecision, LaneOrder), ControlError> {
    let (id, asked, decision) = match order {
        Order::Add(named, fingerprint) => return add(named, fingerprint, sources, state),
        Order::Pause(id) => (id, "paused", SourceDecision::Paused),
        Order::Resume(id, fingerprint) => {
            if sources.get(&id).is_some_and(|record| record.fingerprint != fingerprint) {
                return Err(ControlError::Changed(sources[&id].uri.clone()));
            }
            (id, "resumed", SourceDecision::Resumed)
        }
        Order::Remove(id) => (id, "removed", SourceDecision::Removed),
    };
    let record = sources.get(&id).ok_or_else(|| ControlError::Unknown(format!("source {}", id.0)))?;
    let now = state(id).ok_or_else(|| ControlError::Unknown(record.uri.clone()))?;
    let refused = |state| Err(ControlError::State { uri: record.uri.clone(), state, asked });
    match (now, decision) {
        (SourceState::Removed, _) => refused("it was removed"),
        // What has ended and is removed is not looked for again.
        (SourceState::Ended | SourceState::Failed, SourceDecision::Removed) => Ok(()),
        (SourceState::Ended, _) => refused("it was read to its end"),
        // What ended a live source may be over.
        (SourceState::Failed, SourceDecision::Resumed) if is_live(&record.uri) => Ok(()),
        (SourceState::Failed, _) => refused("it failed"),
        (SourceState::Paused, SourceDecision::Paused) => refused("it is paused"),
        (SourceState::Waiting | SourceState::Running, SourceDecision::Resumed) => refused("it is being read"),
        _ => Ok(()),
    }?;
    let lane = match decision {
        SourceDecision::Resumed => LaneOrder::Read(Waiting {
            id,
            source: NamedSource::from_uri(&record.uri)?,
            position: record.position,
        }),
        SourceDecision::Paused => LaneOrder::Leave(id, SourceState::Paused),
        _ => LaneOrder::Leave(id, SourceState::Removed),
    };
    Ok((id, decision, lane))
}

/// A number for a new source; one that the state knows goes on where it stood.
fn add(
    source: NamedSource,
    fingerprint: String,
    sources: &mut BTreeMap<SourceId, SourceRecord>,
    state: &dyn Fn(SourceId) -> Option<SourceState>,
) -> Result<(SourceId, SourceDecision, LaneOrder), ControlError> {
    let uri = source.uri().to_owned();
    if sources.values().any(|known| known.forgotten && known.fingerprint == fingerprint) {
        return Err(ControlError::Forgotten(uri));
    }
    let known = sources.iter().find(|(_, known)| known.uri == uri && known.fingerprint == fingerprint);
    let asked = "added";
    let (id, position) = match known {
        Some((id, known)) => match state(*id) {
            _ if known.ended && !is_live(&uri) => {
                let state = if known.failure.is_some() { "it failed" } else { "it was read to its end" };
                return Err(ControlError::State { uri, state, asked });
            }
            Some(SourceState::Waiting | SourceState::Running) => {
                return Err(ControlError::State { uri, state: "it is being read", asked });
            }
            Some(SourceState::Paused) => {
                return Err(ControlError::State { uri, state: "it is paused", asked });
            }
            _ => (*id, known.position),
        },
        None => {
            let next = sources.keys().next_back().map_or(0, |id| id.0 + 1);
            if next >= MOST_SOURCES {
                return Err(ControlError::Full);
            }
            sources.insert(SourceId(next), new_record(&source, fingerprint));
            (SourceId(next), 0)
        }
    };
    Ok((id, SourceDecision::Added, LaneOrder::Read(Waiting { id, source, position })))
}
