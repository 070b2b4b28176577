//! Which derived collections a state keeps, and since when: a state of an earlier version lacks those that came later, until a
//! run [fills](crate::epoch::changes::fill) them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::view::View;
use super::{StateError, key};
use crate::collections::{Collection, each_collection};
use crate::store::Table;

/// The epoch from which the records of each collection are kept, by the number of its table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSince(BTreeMap<u8, u64>);

/// The derived collections of the first versions, which did not note what they keep.
const FIRST: [Table; 7] =
    [Table::Cells, Table::Groups, Table::Lists, Table::Clusters, Table::Edges, Table::Pairs, Table::Classes];

impl Default for KeptSince {
    /// That of a state that does not say.
    fn default() -> Self {
        KeptSince(FIRST.iter().map(|table| (*table as u8, 0)).collect())
    }
}

impl KeptSince {
    /// That of a state that keeps none.
    #[cfg(test)]
    pub(crate) fn nothing() -> Self {
        KeptSince(BTreeMap::new())
    }

    /// That of a new state: everything, from the start.
    pub fn everything() -> Self {
        let mut all = BTreeMap::new();
        each_collection!(C => {
            all.insert(C::TABLE as u8, 0);
        });
        KeptSince(all)
    }

    /// Returns true when the records of `table` are kept as of `epoch`.
    pub fn has(&self, table: Table, epoch: u64) -> bool {
        self.0.get(&(table as u8)).is_some_and(|since| *since <= epoch)
    }

    /// Notes that the records of `table` are kept from `epoch` on.
    pub fn add(&mut self, table: Table, epoch: u64) {
        self.0.insert(table as u8, epoch);
    }

    /// What both have.
    pub(super) fn meet(&mut self, other: &KeptSince) {
        self.0.retain(|table, since| {
            other.0.get(table).is_some_and(|of_other| {
                *since = (*since).max(*of_other);
                true
            })
        });
    }
}

impl View<'_> {
    /// Which derived collections the state keeps.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn kept_since(&self) -> Result<KeptSince, StateError> {
        Ok(self.meta(key::COLLECTIONS)?.unwrap_or_default())
    }

    /// Returns true when the state keeps a collection as of this epoch.
    ///
    /// # Errors
    /// See [`View::epoch`].
    pub fn keeps<C: Collection>(&self) -> Result<bool, StateError> {
        Ok(self.kept_since()?.has(C::TABLE, self.epoch()?))
    }
}
