//! The store in memory: the twin that tests use where the disk is not the point.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Batch, Snapshot, Store, StoreError, Table, Visit};

type Tables = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: RwLock<Arc<Tables>>,
}

impl Store for MemoryStore {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        batch.check_keys("memory")?;
        let mut guard = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let tables = Arc::make_mut(&mut guard);
        for (table, key, value) in batch.changes() {
            match value {
                Some(value) => tables.insert((*table, key.clone()), value.clone()),
                None => tables.remove(&(*table, key.clone())),
            };
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        Ok(Box::new(self.tables.read().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

impl Snapshot for Arc<Tables> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.as_ref().get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for ((at, key), value) in self.range((table, from.to_vec())..) {
            if *at != table || !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}
