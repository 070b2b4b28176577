//! The sources of a run: arguments become sources, sources get their ids for good.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kinetograph_dataflows::id::SourceId;
use kinetograph_pipelines::{IngestError, Life, NamedSource};
use serde::{Deserialize, Serialize};

use super::lanes::{Lane, Waiting};
use super::member::Member;
use super::report::FailedSource;
use crate::state::record::{Counts, SourceDecision, SourceRecord};
use crate::state::{State, StateError, encode, key};
use crate::store::{Batch, Table};

/// Ids have 24 bits.
pub(super) const MOST_SOURCES: u32 = 1 << 24;

/// The sources of a run.
#[derive(Debug, Default)]
pub struct Enlisted {
    /// Sources with something left to read, by id.
    pub waiting: Vec<Waiting>,
    /// Sources whose end was committed before.
    pub ended_before: u64,
    /// Sources with something left to read that are paused.
    pub paused: Vec<Waiting>,
    /// Sources that were removed from a running engine: they are not read any more.
    pub removed: Vec<String>,
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
    /// `source`, or something that it names, cannot be looked at. What several name is told once.
    fn failed(&mut self, source: &str, error: &IngestError) {
        let reason = error.to_string();
        if !self.failed.iter().any(|failed| failed.reason == reason) {
            self.failed.push(FailedSource { source: source.to_string(), reason });
        }
    }

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

    /// Returns what tells these sources, and all that `state` knows, from others.
    ///
    /// # Errors
    /// [`StateError`] when the state cannot be read.
    pub fn known(&self, state: &State) -> Result<Known, StateError> {
        let mut sources = state.view()?.sources()?;
        sources.extend(self.added.clone());
        Ok(Known(sources.into_iter().map(|(id, of)| (id.0, (of.uri, of.fingerprint))).collect()))
    }
}

/// Sources by their number: address and fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known(BTreeMap<u32, (String, String)>);

impl Known {
    /// The first source that is not the same in `theirs`: how it is called in a list, and what it is there and here.
    pub fn first_unlike(&self, theirs: &Known) -> Option<(String, [String; 2])> {
        let ids: BTreeSet<u32> = self.0.keys().chain(theirs.0.keys()).copied().collect();
        let id = ids.into_iter().find(|id| self.0.get(id) != theirs.0.get(id))?;
        let uri = |known: &Known| known.0.get(&id).map(|(uri, _)| uri.clone());
        let (there, here) = (uri(theirs), uri(self));
        if let (Some(uri), true) = (&here, here == there) {
            let print = |known: &Known| known.0.get(&id).map_or_else(String::new, |(_, print)| print.clone());
            return Some((format!("the content of {uri}"), [print(theirs), print(self)]));
        }
        let named = |uri: Option<String>| uri.unwrap_or_else(|| "nothing".to_string());
        Some((format!("number {} of the list of sources", id + 1), [named(there), named(here)]))
    }
}

/// Finds the sources that `arguments` name and gives a number to those the state has not seen, which is [kept](Enlisted::keep)
/// later. Unless in lock-step (`batch`), sources that were added to a running engine before are read on, too.
///
/// # Errors
/// [`StateError`] when the state cannot be read. A source that cannot be read is no error: it is in `failed`.
pub fn enlist(state: &State, arguments: &[String], batch: bool) -> Result<Enlisted, StateError> {
    let view = state.view()?;
    let (known, decisions) = (view.sources()?, view.source_decisions()?);
    let mut enlisted = Enlisted::default();
    let named = found(arguments, &mut enlisted);
    // What was removed or has ended is not even looked at: it may be gone.
    let added_before: Vec<NamedSource> = decisions
        .iter()
        .filter(|(_, of)| !batch && of.contains(&SourceDecision::Added))
        .filter(|(_, of)| of.last() != Some(&SourceDecision::Removed))
        .filter_map(|(id, _)| {
            let record = known.get(id).filter(|record| !record.forgotten)?;
            let named = NamedSource::from_uri(&record.uri).ok()?;
            let over = record.ended && named.source.life() == Life::Replayable;
            (!over).then_some(NamedSource { name: record.name.clone(), ..named })
        })
        .collect();
    // Content that was forgotten stays so under another name.
    let forgotten: HashSet<String> =
        known.values().filter(|source| source.forgotten).map(|source| source.fingerprint.clone()).collect();
    let mut next = known.keys().next_back().map_or(0, |id| id.0 + 1);
    let mut ids: HashMap<(String, String), (SourceId, u64, bool)> = known
        .into_iter()
        .map(|(id, record)| ((record.uri, record.fingerprint), (id, record.position, record.ended)))
        .collect();
    for source in named.into_iter().chain(added_before) {
        let uri = source.uri().to_owned();
        let live = source.source.life() == Life::Live;
        if batch && live {
            let reason = format!("{uri}: has no end, so --batch cannot read it; leave --batch out");
            enlisted.failed.push(FailedSource { source: uri, reason });
            continue;
        }
        let fingerprint = match source.source.fingerprint() {
            Ok(fingerprint) => fingerprint,
            Err(error) => {
                enlisted.failed(&uri, &error);
                continue;
            }
        };
        if forgotten.contains(&fingerprint) {
            enlisted.forgotten.push(uri);
            continue;
        }
        let identity = (uri.clone(), fingerprint);
        if let Some((id, position, ended)) = ids.get(&identity).copied() {
            if !enlisted.named.insert(id) {
                continue;
            }
            match decisions.get(&id).and_then(|of| of.last()) {
                Some(SourceDecision::Removed) => enlisted.removed.push(uri),
                // What ended a live source may be over.
                _ if ended && !live => enlisted.ended_before += 1,
                Some(SourceDecision::Paused) => enlisted.paused.push(Waiting { id, source, position }),
                _ => enlisted.waiting.push(Waiting { id, source, position }),
            }
            continue;
        }
        if next >= MOST_SOURCES {
            let reason = format!("the state has {MOST_SOURCES} sources already; start another --state");
            enlisted.failed.push(FailedSource { source: uri, reason });
            continue;
        }
        let id = SourceId(next);
        next += 1;
        enlisted.added.insert(id, new_record(&source, identity.1.clone()));
        ids.insert(identity, (id, 0, false));
        enlisted.named.insert(id);
        enlisted.waiting.push(Waiting { id, source, position: 0 });
    }
    enlisted.waiting.sort_by_key(|w| w.id);
    Ok(enlisted)
}

/// The sources that `arguments` name. What cannot be looked at is noted in `enlisted`.
fn found(arguments: &[String], enlisted: &mut Enlisted) -> Vec<NamedSource> {
    let mut sources = Vec::new();
    for argument in arguments {
        match kinetograph_pipelines::expand(std::slice::from_ref(argument)) {
            Ok(found) => {
                sources.extend(found.sources);
                found.skipped.iter().for_each(|error| enlisted.failed(argument, error));
            }
            Err(error) => enlisted.failed(argument, &error),
        }
    }
    kinetograph_pipelines::tell_apart(&mut sources);
    sources
}

/// The record of a source that nothing was read of yet.
pub(super) fn new_record(source: &NamedSource, fingerprint: String) -> SourceRecord {
    SourceRecord {
        uri: source.uri().to_owned(),
        name: source.name.clone(),
        fingerprint,
        position: 0,
        ended: false,
        failure: None,
        counts: Counts::default(),
        forgotten: false,
    }
}

/// Finds the worker that reads a source: lanes are dealt out by the source's number, and the lanes of a process to its workers.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    /// Lanes of all processes.
    pub count: u64,
    /// The process.
    pub member: Member,
}

impl Lanes {
    /// The lane of a source.
    fn of(self, source: SourceId) -> usize {
        (u64::from(source.0) % self.count.max(1)) as usize
    }

    /// The worker of this process, and which of its lanes reads `source`.
    pub fn place(self, source: SourceId) -> (usize, usize) {
        let at = self.of(source) / self.member.of;
        (at % self.member.workers, at / self.member.workers)
    }

    /// The lanes of each worker of this process, with the sources that they are to read.
    pub fn share_out(self, waiting: Vec<Waiting>) -> Vec<Vec<Lane>> {
        let mut shares: Vec<Vec<Lane>> = (0..self.member.workers).map(|_| Vec::new()).collect();
        for lane in 0..self.count.max(1) as usize {
            if lane % self.member.of == self.member.process {
                shares[lane / self.member.of % self.member.workers].push(Lane::default());
            }
        }
        for source in waiting.into_iter().filter(|source| self.member.shard().has(source.id)) {
            let (worker, lane) = self.place(source.id);
            shares[worker][lane].push(source);
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_lists_the_first_source_that_differs_is_named() {
        let known = |sources: &[(&str, &str)]| {
            let sources = sources.iter().map(|(uri, print)| (uri.to_string(), print.to_string()));
            Known((0..).zip(sources).collect())
        };
        let here = known(&[("file:///a", "1"), ("file:///b", "2")]);
        let unlike = |theirs: &[(&str, &str)]| {
            here.first_unlike(&known(theirs)).map(|(what, [there, here])| format!("{what}: {there}, {here}"))
        };
        assert_eq!(unlike(&[("file:///a", "1"), ("file:///b", "2")]), None);
        let said = |words: &str| Some(words.to_string());
        assert_eq!(
            unlike(&[("file:///a", "1")]),
            said("number 2 of the list of sources: nothing, file:///b")
        );
        assert_eq!(
            unlike(&[("file:///c", "1"), ("file:///b", "3")]),
            said("number 1 of the list of sources: file:///c, file:///a")
        );
        assert_eq!(unlike(&[("file:///a", "1"), ("file:///b", "3")]), said("the content of file:///b: 3, 2"));
        let third = [("file:///a", "1"), ("file:///b", "2"), ("file:///c", "3")];
        assert_eq!(unlike(&third), said("number 3 of the list of sources: file:///c, nothing"));
    }
}
