//! Which sources a run reads: arguments become sources, sources get their ids for good.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kinetograph_dataflows::id::SourceId;

use super::lanes::{Lane, Waiting};
use super::member::Member;
use super::report::FailedSource;
use crate::state::digest::Digest;
use crate::state::record::{Counts, SourceRecord};
use crate::state::{State, StateError, encode, key};
use crate::store::{Batch, Table};

/// Ids have 24 bits.
const MOST_SOURCES: u32 = 1 << 24;

/// The sources of a run.
#[derive(Debug, Default)]
pub struct Enlisted {
    /// Sources with something left to read, by id.
    pub waiting: Vec<Waiting>,
    /// Sources whose end was committed before.
    pub ended_before: u64,
    /// Sources that were forgotten, or have the content of one: they are not taken in again.
    pub forgotten: Vec<String>,
    /// Sources that could not even be looked at.
    pub failed: Vec<FailedSource>,
    /// Every source that was named and could be looked at.
    pub named: BTreeSet<SourceId>,
    /// Sources that the state has not seen, until [`Enlisted::keep`].
    pub added: BTreeMap<SourceId, SourceRecord>,
}

impl Enlisted {
    /// Gives the new sources their ids for good.
    ///
    /// # Errors
    /// [`StateError`] when `state` cannot be written.
    pub fn keep(&self, state: &State) -> Result<(), StateError> {
        if self.added.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        self.added
            .iter()
            .for_each(|(id, record)| batch.put(Table::Sources, key::source(*id), encode(record)));
        state.commit(&batch)
    }

    /// What tells these sources, and all that `state` knows, from others.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub fn digest(&self, state: &State) -> Result<String, StateError> {
        let mut digest = Digest::default();
        let mut sources = state.view()?.sources()?;
        sources.extend(self.added.clone());
        for (id, source) in &sources {
            digest.add(&id.0.to_be_bytes(), format!("{} {}", source.uri, source.fingerprint).as_bytes());
        }
        Ok(format!("{} sources, {digest}", sources.len()))
    }
}

/// Finds the sources that `arguments` name and gives an id to those the state has not seen, which is [kept](Enlisted::keep)
/// later.
///
/// # Errors
/// [`StateError`] when the state cannot be read. A source that cannot be read is no error: it is in `failed`.
pub fn enlist(state: &State, arguments: &[String]) -> Result<Enlisted, StateError> {
    let mut enlisted = Enlisted::default();
    let mut sources = Vec::new();
    for argument in arguments {
        match kinetograph_pipelines::expand(std::slice::from_ref(argument)) {
            Ok(found) => sources.extend(found),
            Err(error) => {
                enlisted.failed.push(FailedSource { source: argument.clone(), reason: error.to_string() })
            }
        }
    }
    kinetograph_pipelines::tell_apart(&mut sources);
    let known = state.view()?.sources()?;
    // Content that was forgotten stays so under another name.
    let forgotten: HashSet<String> =
        known.values().filter(|source| source.forgotten).map(|source| source.fingerprint.clone()).collect();
    let mut next = known.keys().next_back().map_or(0, |id| id.0 + 1);
    let mut ids: HashMap<(String, String), (SourceId, u64, bool)> = known
        .into_iter()
        .map(|(id, record)| ((record.uri, record.fingerprint), (id, record.position, record.ended)))
        .collect();
    for source in sources {
        let fingerprint = match source.fingerprint() {
            Ok(fingerprint) => fingerprint,
            Err(error) => {
                let failed = FailedSource { source: source.uri.clone(), reason: error.to_string() };
                enlisted.failed.push(failed);
                continue;
            }
        };
        if forgotten.contains(&fingerprint) {
            enlisted.forgotten.push(source.uri.clone());
            continue;
        }
        let identity = (source.uri.clone(), fingerprint);
        if let Some((id, position, ended)) = ids.get(&identity).copied() {
            enlisted.named.insert(id);
            if ended {
                enlisted.ended_before += 1;
            } else if !enlisted.waiting.iter().any(|w| w.id == id) {
                enlisted.waiting.push(Waiting { id, source, position });
            }
            continue;
        }
        if next >= MOST_SOURCES {
            let reason = format!("the state has {MOST_SOURCES} sources already; start another --state");
            enlisted.failed.push(FailedSource { source: source.uri.clone(), reason });
            continue;
        }
        let id = SourceId(next);
        next += 1;
        let record = SourceRecord {
            uri: source.uri.clone(),
            name: source.name.clone(),
            fingerprint: identity.1.clone(),
            position: 0,
            ended: false,
            failure: None,
            counts: Counts::default(),
            forgotten: false,
        };
        enlisted.added.insert(id, record);
        ids.insert(identity, (id, 0, false));
        enlisted.named.insert(id);
        enlisted.waiting.push(Waiting { id, source, position: 0 });
    }
    enlisted.waiting.sort_by_key(|w| w.id);
    Ok(enlisted)
}

/// Shares sources out to `lanes` lanes by id, and the lanes of this process to its workers.
pub fn share_out(waiting: Vec<Waiting>, lanes: u64, member: Member) -> Vec<Vec<Lane>> {
    let lanes = lanes.max(1);
    let mut all: Vec<Lane> = (0..lanes).map(|_| Lane::default()).collect();
    for source in waiting.into_iter().filter(|source| member.shard().has(source.id)) {
        all[(u64::from(source.id.0) % lanes) as usize].push(source);
    }
    let mut shares: Vec<Vec<Lane>> = (0..member.workers).map(|_| Vec::new()).collect();
    for (i, lane) in all.into_iter().enumerate() {
        if i % member.of == member.process {
            shares[i / member.of % member.workers].push(lane);
        }
    }
    shares
}
