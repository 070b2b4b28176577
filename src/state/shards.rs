//! The shards of one graph, each in a store of its own, read as one state.
//!
//! A record belongs to the shard of its source, or of the first node in its key. What every shard has of its own, as the
//! log, is put together. A shard that is some epochs ahead of another is read as it was at the last epoch that all have.

mod joined;

use super::kept::KeptSince;
use super::record::{EpochDelta, EpochLog, Shard, Totals};
use super::view::View;
use super::{State, StateError, encode, key};
use crate::store::{Snapshot, StoreError, Table, Visit};

use joined::{Chunked, source_of};

/// Puts `shards` in order, and refuses what is not all of one graph.
///
/// # Errors
/// [`StateError::Shards`] when one is missing, named twice, or of another graph.
pub(super) fn in_order(shards: Vec<State>) -> Result<Vec<State>, StateError> {
    let mut named = Vec::new();
    for state in shards {
        let view = state.view()?;
        let (shard, made) = (view.shard()?, view.made_with()?);
        drop(view);
        named.push((shard, made, state));
    }
    named.sort_by_key(|(shard, ..)| shard.process);
    let refused = |state: &State, reason: String| Err(StateError::Shards { place: state.place(), reason });
    let Some((first, made, _)) = named.first() else { return Ok(Vec::new()) };
    for (at, (shard, other, state)) in named.iter().enumerate() {
        if shard.of != first.of || other != made {
            return refused(state, "not of the same graph as the other states".into());
        }
        let wanted = at as u32;
        if shard.process < wanted {
            return refused(state, format!("shard {} of {} is named twice", shard.process, shard.of));
        }
        if shard.process > wanted {
            return refused(state, missing(wanted, shard.of));
        }
    }
    if let (true, Some((_, _, last))) = (named.len() < first.of as usize, named.last()) {
        return refused(last, missing(named.len() as u32, first.of));
    }
    Ok(named.into_iter().map(|(.., state)| state).collect())
}

fn missing(process: u32, of: u32) -> String {
    format!("a graph in {of} shards: shard {process} is missing; name each with a --state of its own")
}

/// How often snapshots are taken again when one was taken so much later that it cannot go back to the others without loss.
const ATTEMPTS: usize = 8;

/// All of `shards`, in order, as of `epoch`, or as of the last that all have.
///
/// # Errors
/// [`StateError`] when a store cannot be read, or a shard cannot go back so far.
pub(super) fn view<'s>(shards: &'s [State], epoch: Option<u64>, place: &str) -> Result<View<'s>, StateError> {
    let mut attempts = 1;
    loop {
        let (joined, whole) = joined(shards, epoch)?;
        if whole || epoch.is_some() || attempts == ATTEMPTS {
            return Ok(View::new(Box::new(joined), place.to_string()));
        }
        attempts += 1;
    }
}

/// The shards' snapshots, and whether none lacks crops that were there at their epoch: while others commit, a shard that is read
/// later than the first may have to go back to what is gone for good.
fn joined(shards: &[State], epoch: Option<u64>) -> Result<(Joined<'_>, bool), StateError> {
    let mut views = Vec::new();
    for state in shards {
        views.push((state, state.view()?));
    }
    let mut last = u64::MAX;
    for (_, view) in &views {
        last = last.min(view.epoch()?);
    }
    let mut joined = Joined { shards: Vec::new(), epoch: epoch.unwrap_or(last).min(last) };
    let mut whole = true;
    for (state, mut view) in views {
        if view.epoch()? > joined.epoch {
            view = state.rewound(view, joined.epoch)?;
            whole &= view.retired_since() == 0;
        }
        joined.shards.push(view.into_snapshot());
    }
    Ok((joined, whole))
}

/// One snapshot of each shard, in order.
struct Joined<'s> {
    shards: Vec<Box<dyn Snapshot + 's>>,
    epoch: u64,
}

/// How the records of a table lie in the shards.
enum Lies {
    /// In the first alone.
    First,
    /// Each in the shard of its source.
    Apart,
    /// Each may be in several, with a part of the value.
    InParts,
}

fn lies(table: Table) -> Lies {
    match table {
        Table::Meta | Table::Log | Table::Deltas => Lies::InParts,
        Table::Decisions => Lies::First,
        _ => Lies::Apart,
    }
}

impl Joined<'_> {
    fn of(&self) -> u32 {
        self.shards.len() as u32
    }

    /// The value that the shards' `values` of one key make together.
    fn put_together(&self, table: Table, key: &[u8], mut values: Vec<Vec<u8>>) -> Option<Vec<u8>> {
        match table {
            Table::Meta if key == key::EPOCH => Some(encode(&self.epoch)),
            Table::Meta if key == key::SHARD => None,
            Table::Meta if key == key::SINCE => greatest(&values),
            Table::Meta if key == key::COLLECTIONS => Some(self.kept(&values)),
            Table::Meta if key == key::TOTALS => Some(sum(&values, |sum: &mut Totals, more| {
                sum.retired += more.retired;
                sum.forgotten += more.forgotten;
            })),
            Table::Log => Some(sum(&values, add_log)),
            Table::Deltas => Some(sum(&values, EpochDelta::add)),
            _ => (!values.is_empty()).then(|| values.swap_remove(0)),
        }
    }
}

impl Joined<'_> {
    /// Which collections all shards keep, of which `values` are told.
    fn kept(&self, values: &[Vec<u8>]) -> Vec<u8> {
        let told = values.iter().filter_map(|value| postcard::from_bytes::<KeptSince>(value).ok());
        let silent = std::iter::repeat_with(KeptSince::default).take(self.shards.len() - values.len());
        let kept = told.chain(silent).reduce(|mut all, kept| {
            all.meet(&kept);
            all
        });
        encode(&kept.unwrap_or_default())
    }
}

impl Snapshot for Joined<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match lies(table) {
            Lies::First => self.shards[0].get(table, key),
            Lies::Apart => match source_of(table, key) {
                Some(source) => {
                    self.shards[Shard::of_source(source, self.of()).process as usize].get(table, key)
                }
                None => Ok(None),
            },
            Lies::InParts => {
                let mut values = Vec::new();
                for shard in &self.shards {
                    values.extend(shard.get(table, key)?);
                }
                Ok(if values.is_empty() { None } else { self.put_together(table, key, values) })
            }
        }
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if let Lies::First = lies(table) {
            return self.shards[0].scan(table, from, visit);
        }
        let mut rest: Vec<Chunked<'_>> = Vec::new();
        for shard in &self.shards {
            rest.push(Chunked::new(&**shard, table, from)?);
        }
        loop {
            let Some(least) = rest.iter().filter_map(Chunked::key).min().map(<[u8]>::to_vec) else {
                return Ok(());
            };
            let mut values = Vec::new();
            for (process, shard) in (0..).zip(&mut rest) {
                if shard.key() == Some(&least) {
                    let value = shard.take()?;
                    // Of a source every shard has a record, but only its own knows how far it was read.
                    let this = Shard { process, of: self.of() };
                    let other = table == Table::Sources && !this.keeps(table, &least);
                    values.extend((!other).then_some(value));
                }
            }
            let on = match lies(table) {
                Lies::InParts => {
                    self.put_together(table, &least, values).is_none_or(|value| visit(&least, &value))
                }
                // A key that is in two shards is a fault, which is not to be hidden.
                _ => values.iter().all(|value| visit(&least, value)),
            };
            if !on {
                return Ok(());
            }
        }
    }
}

/// Records that cannot be read count for nothing here: `verify` reads them one by one.
fn sum<T>(values: &[Vec<u8>], add: impl Fn(&mut T, T)) -> Vec<u8>
where
    T: Default + serde::Serialize + serde::de::DeserializeOwned,
{
    let mut all = T::default();
    values.iter().filter_map(|value| postcard::from_bytes(value).ok()).for_each(|more| add(&mut all, more));
    encode(&all)
}

fn greatest(values: &[Vec<u8>]) -> Option<Vec<u8>> {
    values.iter().filter_map(|value| postcard::from_bytes::<u64>(value).ok()).max().map(|most| encode(&most))
}

fn add_log(log: &mut EpochLog, more: EpochLog) {
    log.slices.extend(more.slices);
    log.slices.sort_by_key(|(source, ..)| *source);
    log.decisions.extend(more.decisions);
    log.retired = log.retired.take().or(more.retired);
    log.forgotten += more.forgotten;
    log.committed_s = log.committed_s.max(more.committed_s);
}

impl Shard {
    /// The records that this shard has, by table and key.
    pub fn keeps(self, table: Table, key: &[u8]) -> bool {
        match source_of(table, key) {
            Some(source) => self.has(source),
            None => self.process == 0,
        }
    }
}

#[cfg(test)]
mod tests;
