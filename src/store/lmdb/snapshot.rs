//! A view of one commit: an LMDB read transaction.

use std::ops::Bound;
use std::sync::{PoisonError, RwLockReadGuard};

use heed::{MdbError, RoTxn, WithoutTls};

use super::LmdbStore;
use crate::store::{MAX_KEY_BYTES, Snapshot, StoreError, Table, Visit};

/// Dropped in this order: the transaction ends before the map may move.
pub(super) struct LmdbSnapshot<'s> {
    txn: RoTxn<'s, WithoutTls>,
    store: &'s LmdbStore,
    _map_stays: RwLockReadGuard<'s, ()>,
}

/// A view of the last commit.
pub(super) fn take(store: &LmdbStore) -> Result<LmdbSnapshot<'_>, StoreError> {
    super::identity::in_place(store)?;
    match begin(store) {
        // Another process grew the map beyond ours: take its size.
        Err(heed::Error::Mdb(MdbError::MapResized)) => store.set_map(0)?,
        Err(heed::Error::Mdb(MdbError::ReadersFull)) => {
            store.env.clear_stale_readers().map_err(|error| store.place.failure(error))?;
        }
        other => return other.map_err(|error| store.place.failure(error)),
    }
    begin(store).map_err(|error| store.place.failure(error))
}

fn begin(store: &LmdbStore) -> heed::Result<LmdbSnapshot<'_>> {
    let map_stays = store.map_in_use.read().unwrap_or_else(PoisonError::into_inner);
    Ok(LmdbSnapshot { txn: store.env.read_txn()?, store, _map_stays: map_stays })
}

impl Snapshot for LmdbSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !(1..=MAX_KEY_BYTES).contains(&key.len()) {
            return Ok(None);
        }
        let value = self.store.tables[table as usize].get(&self.txn, key);
        Ok(value.map_err(|error| self.store.place.failure(error))?.map(<[u8]>::to_vec))
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        // LMDB has no empty keys, not even to start from.
        let start = if from.is_empty() { Bound::Unbounded } else { Bound::Included(from) };
        let failure = |error| self.store.place.failure(error);
        let range = (start, Bound::<&[u8]>::Unbounded);
        for entry in self.store.tables[table as usize].range(&self.txn, &range).map_err(failure)? {
            let (key, value) = entry.map_err(failure)?;
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
