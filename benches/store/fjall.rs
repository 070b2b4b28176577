//! The candidate fjall: a log-structured merge tree in Rust.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable};
use kinetograph::store::{Batch, Snapshot, Store, StoreError, Table, Visit};

pub(crate) struct FjallStore {
    database: Database,
    tables: Vec<Keyspace>,
}

fn failure(error: impl std::fmt::Display) -> StoreError {
    StoreError::Engine { place: "fjall".into(), reason: error.to_string() }
}

impl FjallStore {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let database = Database::builder(dir).cache_size(64 << 20).open().map_err(failure)?;
        let options = |table| match table {
            // Its own advice for large values.
            Table::Crops | Table::Vectors | Table::Stills => {
                KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()))
            }
            _ => KeyspaceCreateOptions::default(),
        };
        let tables: fjall::Result<Vec<_>> = Table::ALL
            .iter()
            .map(|&table| database.keyspace(&format!("{:02}", table as u8), || options(table)))
            .collect();
        Ok(FjallStore { tables: tables.map_err(failure)?, database })
    }
}

impl Store for FjallStore {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut writes = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (table, key, value) in batch.changes() {
            let at = &self.tables[*table as usize];
            match value {
                Some(value) => writes.insert(at, key.as_slice(), value.as_slice()),
                None => writes.remove(at, key.as_slice()),
            }
        }
        writes.commit().map_err(failure)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        Ok(Box::new(FjallSnapshot { snapshot: self.database.snapshot(), tables: &self.tables }))
    }
}

struct FjallSnapshot<'s> {
    snapshot: fjall::Snapshot,
    tables: &'s [Keyspace],
}

impl Snapshot for FjallSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.snapshot.get(&self.tables[table as usize], key).map_err(failure)?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        for entry in self.snapshot.range(&self.tables[table as usize], from..) {
            let (key, value) = entry.into_inner().map_err(failure)?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }
}
