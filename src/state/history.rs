//! Going back: for each committed epoch, what its transaction replaced; and the state as it was, from that.
//!
//! Nodes, sources, totals and most derived collections are kept here as they were before the epoch; those that the trainer follows
//! go back by its deltas (each [row of the register](crate::collections) says which). Of a crop or vector that goes only its digest is kept: a
//! node that was retired since is listed in what a past epoch shows, without picture and vector. Stills do not go back, and
//! sources that are known now are shown, with nothing taken of them before they came.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::key;
use super::record::EpochDelta;
use super::view::{Gone, View};
use super::{StateError, decode, encode};
use crate::collections::{Collection, History, each_collection};
use crate::store::{Batch, Snapshot, StoreError, Table, Visit};

#[cfg(test)]
mod tests;

/// The value of a key before an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Before {
    /// It was not there.
    Nothing,
    /// This.
    Record(Vec<u8>),
    /// Something that is gone for good; the digest of key and value.
    Gone(u128),
}

/// The values that one epoch replaced, by table number and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced(pub(super) BTreeMap<(u8, Vec<u8>), Before>);

/// The part of a change that is kept.
enum Kept {
    Record,
    Digest,
}

fn kept(table: Table, key: &[u8]) -> Option<Kept> {
    each_collection!(C => {
        if table == C::TABLE {
            return match C::history() {
                History::Replaced => Some(Kept::Record),
                History::Delta { .. } => None,
            };
        }
    });
    match table {
        Table::Nodes | Table::Sources | Table::SourceDecisions | Table::Connections => Some(Kept::Record),
        Table::Crops | Table::Vectors => Some(Kept::Digest),
        Table::Meta if key == key::TOTALS => Some(Kept::Record),
        _ => None,
    }
}

/// Adds to `batch`, which makes `epoch` of the state in `view`, what that replaces; drops what is older than the deltas are.
/// With `whole`, crops and vectors are kept, too, until [`settle`] takes them: the epoch can be [undone](undo).
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn keep(view: &View<'_>, epoch: u64, whole: bool, batch: &mut Batch) -> Result<(), StateError> {
    let mut replaced = Replaced::default();
    let mut forgotten = Vec::new();
    for (table, key, value) in batch.changes() {
        if *table == Table::Deltas && value.is_none() {
            forgotten.push(key.clone());
        }
        let Some(kept) = kept(*table, key) else { continue };
        if let std::collections::btree_map::Entry::Vacant(at) = replaced.0.entry((*table as u8, key.clone()))
        {
            at.insert(match (view.raw(*table, key)?, kept) {
                (None, _) => Before::Nothing,
                (Some(value), Kept::Record) => Before::Record(value),
                (Some(value), Kept::Digest) if whole => Before::Record(value),
                (Some(value), Kept::Digest) => Before::Gone(Digest::of_record(key, &value)),
            });
        }
    }
    forgotten.into_iter().for_each(|key| batch.delete(Table::History, key));
    batch.put(Table::History, key::epoch(epoch), encode(&replaced));
    Ok(())
}

/// Adds to `batch` that crops and vectors which went in one of `epochs` are gone for good.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn settle(view: &View<'_>, epochs: &BTreeSet<u64>, batch: &mut Batch) -> Result<(), StateError> {
    for epoch in epochs {
        let Some(bytes) = view.raw(Table::History, &key::epoch(*epoch))? else { continue };
        let mut replaced: Replaced = decode(&bytes, Table::History, view.place())?;
        for ((table, key), before) in &mut replaced.0 {
            if let (true, Before::Record(value)) = (gone_at_once(*table), &before) {
                *before = Before::Gone(Digest::of_record(key, value));
            }
        }
        batch.put(Table::History, key::epoch(*epoch), encode(&replaced));
    }
    Ok(())
}

fn gone_at_once(table: u8) -> bool {
    table == Table::Crops as u8 || table == Table::Vectors as u8
}

/// The epochs from `from` on that [`settle`] has something to take of.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn unsettled(view: &View<'_>, from: u64) -> Result<BTreeSet<u64>, StateError> {
    let whole = |Replaced(replaced): &Replaced| {
        replaced
            .iter()
            .any(|((table, _), before)| gone_at_once(*table) && matches!(before, Before::Record(_)))
    };
    let replaced = view.replaced(from)?;
    Ok(replaced.into_iter().filter(|(_, replaced)| whole(replaced)).map(|(epoch, _)| epoch).collect())
}

/// Returns what makes the state in `view` what it was at `epoch`: everything since is undone and no longer known.
///
/// # Errors
/// [`StateError`] when the store cannot be read, or something that went since is gone for good.
pub fn undo(view: &View<'_>, epoch: u64) -> Result<Batch, StateError> {
    let mut batch = Batch::default();
    for ((table, key), before) in Past::of(view, epoch)?.0 {
        match before {
            Before::Nothing => batch.delete(table, key),
            Before::Record(value) => batch.put(table, key, value),
            Before::Gone(_) => {
                return Err(StateError::NotKept {
                    place: view.place().to_string(),
                    asked: epoch,
                    since: view.epoch()?,
                    now: view.epoch()?,
                });
            }
        }
    }
    batch.put(Table::Meta, key::EPOCH, encode(&epoch));
    Ok(batch)
}

/// Adds to `batch` the end of all history: what is to be forgotten is in it too. Past epochs cannot be shown any more.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn erase(view: &View<'_>, batch: &mut Batch) -> Result<(), StateError> {
    for epoch in view.epochs(Table::History)? {
        batch.delete(Table::History, key::epoch(epoch));
    }
    Ok(())
}

/// The earliest epoch that `view` can go back to.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub fn since(view: &View<'_>) -> Result<u64, StateError> {
    let (history, deltas) = (view.epochs(Table::History)?, view.epochs(Table::Deltas)?);
    let lost = |epoch: &&u64| !history.contains(epoch) || !deltas.contains(epoch);
    Ok(view.epochs(Table::Log)?.iter().rev().find(lost).copied().unwrap_or(0))
}

/// The values, at an epoch, of the keys that changed after it.
#[derive(Debug, Default)]
struct Past(BTreeMap<(Table, Vec<u8>), Before>);

impl Past {
    /// As of `epoch`, which is not before [`since`].
    fn of(view: &View<'_>, epoch: u64) -> Result<Self, StateError> {
        let mut past = Past::default();
        let (replaced, deltas) = (view.replaced(epoch + 1)?, view.deltas(epoch + 1)?);
        // What was replaced first is what was there.
        for Replaced(replaced) in replaced.into_values().rev() {
            for ((table, key), before) in replaced {
                if let Some(table) = Table::ALL.iter().find(|t| **t as u8 == table) {
                    past.0.insert((*table, key), before);
                }
            }
        }
        deltas.values().rev().for_each(|delta| past.undo(delta));
        for (at, log) in view.log(epoch + 1)? {
            let mut orders: BTreeMap<u64, u64> = BTreeMap::new();
            for (effective, _) in &log.decisions {
                let order = orders.entry(*effective).or_default();
                past.0.insert(
                    (Table::Decisions, key::decision(key::FIRST_SPACE, *effective, *order)),
                    Before::Nothing,
                );
                *order += 1;
            }
            for table in [Table::Log, Table::Deltas, Table::History] {
                past.0.insert((table, key::epoch(at)), Before::Nothing);
            }
        }
        let last = view.epochs(Table::Log)?.range(..=epoch).next_back().copied().unwrap_or(0);
        past.0.insert((Table::Meta, key::EPOCH.to_vec()), Before::Record(encode(&last)));
        Ok(past)
    }

    /// What went in an epoch was there before it; what came and did not go was not.
    fn undo(&mut self, delta: &EpochDelta) {
        each_collection!(C => {
            if let History::Delta { of, .. } = C::history() {
                let mut changes: Vec<_> = of(delta).iter().collect();
                changes.sort_by_key(|(_, diff)| std::cmp::Reverse(*diff));
                for (record, diff) in changes {
                    let (key, value) = C::parts(record);
                    let before = if *diff < 0 { Before::Record(C::value_bytes(value)) } else { Before::Nothing };
                    self.0.insert((C::TABLE, C::stored_key(key::FIRST_SPACE, key)), before);
                }
            }
        });
    }

    /// The records that were there and are gone for good.
    fn gone(&self) -> Vec<Gone> {
        let gone = self.0.iter().filter_map(|((table, key), before)| match before {
            Before::Gone(digest) => Some(Gone { table: *table, key: key.clone(), digest: *digest }),
            _ => None,
        });
        gone.collect()
    }
}

/// `view` as it was at `epoch`, to which it can go back.
///
/// # Errors
/// [`StateError`] when the store cannot be read.
pub(super) fn rewound<'s>(view: View<'s>, epoch: u64) -> Result<View<'s>, StateError> {
    let past = Past::of(&view, epoch)?;
    let gone = past.gone();
    Ok(view.over(|now| Box::new(Rewound { now, past }), gone))
}

/// A snapshot as it was.
struct Rewound<'s> {
    now: Box<dyn Snapshot + 's>,
    past: Past,
}

impl Snapshot for Rewound<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.past.0.get(&(table, key.to_vec())) {
            Some(Before::Record(value)) => Ok(Some(value.clone())),
            Some(Before::Nothing | Before::Gone(_)) => Ok(None),
            None => self.now.get(table, key),
        }
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let past = self.past.0.range((table, from.to_vec())..).take_while(|((at, _), _)| *at == table);
        let mut past = past.peekable();
        let mut on = true;
        self.now.scan(table, from, &mut |key, value| {
            while let Some(((_, was), before)) = past.next_if(|((_, was), _)| was.as_slice() < key) {
                if let Before::Record(value) = before {
                    on = visit(was, value);
                    if !on {
                        return false;
                    }
                }
            }
            on = match past.next_if(|((_, was), _)| was == key) {
                Some((_, Before::Record(was))) => visit(key, was),
                Some(_) => true,
                None => visit(key, value),
            };
            on
        })?;
        for ((_, key), before) in past.by_ref() {
            if let (true, Before::Record(value)) = (on, before) {
                on = visit(key, value);
            }
        }
        Ok(())
    }
}

impl View<'_> {
    /// Returns what each epoch from `from` on replaced.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn replaced(&self, from: u64) -> Result<BTreeMap<u64, Replaced>, StateError> {
        self.collect_from(Table::History, &key::epoch(from), |key, value| {
            let replaced = decode(value, Table::History, self.place())?;
            Ok(key::u64_at(key, 0).map(|epoch| (epoch, replaced)))
        })
    }

    /// The epochs that `table` has records of.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn epochs(&self, table: Table) -> Result<BTreeSet<u64>, StateError> {
        self.collect_from(table, &[], |key, _| Ok(key::u64_at(key, 0)))
    }
}
