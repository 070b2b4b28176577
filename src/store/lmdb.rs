//! The durable store: LMDB through heed. Why this engine: `docs/decisions/0001-store.md`.
//!
//! A state is a folder with `data.mdb` (everything), `lock.mdb` (LMDB's reader table; worthless once nobody has the
//! state open) and `writer.lock` (held by the one process that writes). It must lie on a local disk: LMDB's
//! locks do not work over network file systems.
//!
//! Deleting frees pages for later commits; the file itself shrinks only when it is [compacted](compact). A snapshot keeps the pages that it sees from
//! being used again, so drop snapshots when they have been read.

mod compaction;
mod failure;
mod identity;
mod length;
mod opening;
mod snapshot;
mod tables;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, TryLockError};

use heed::{Env, MdbError, WithoutTls};

use super::{Batch, Snapshot, Store, StoreError, Table};
use crate::lock::FileLock;
pub use compaction::{Compacted, Rewriting, Rewritten, compact, rewrite};
use failure::Place;
pub use opening::Opening;
use tables::Tables;

/// Every this many commits, the slots of reader processes that died are cleared: a dead reader keeps pages from
/// being used again.
const COMMITS_PER_READER_CHECK: u32 = 64;

/// A state on disk, opened for writing or for reading. Share one handle within a process (it is `Sync`): a second
/// one on the same folder is refused.
#[derive(Debug)]
pub struct LmdbStore {
    env: Env<WithoutTls>,
    tables: Tables,
    place: Place,
    /// Snapshots hold it for reading, growing the map takes it for writing: the map may only move when nobody looks.
    map_in_use: RwLock<()>,
    /// Commits of several threads queue here. `None` when opened for reading.
    writer: Option<Mutex<()>>,
    commits: AtomicU32,
    /// Which file this is, to tell when another has taken its place.
    file: identity::Identity,
    /// Held for its lock. The last field, so that the next writer gets in only after the environment is closed.
    _writer_lock: Option<FileLock>,
}

impl LmdbStore {
    /// Opens the state in `dir` for writing and creates it when there is none.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another process writes to it, [`StoreError::Format`] when what lies there is not a
    /// state of this version, [`StoreError::Full`] and [`StoreError::Engine`] from the disk.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Opening::default().write(dir)
    }

    /// Opens the state in `dir` for reading, while another process may be writing to it. Each snapshot
    /// sees the commits made until then.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no state or not yet, otherwise as for [`LmdbStore::open`] without `Busy`.
    pub fn open_read(dir: &Path) -> Result<Self, StoreError> {
        Opening::default().read(dir)
    }

    /// The state's folder.
    pub fn dir(&self) -> &Path {
        self.place.dir()
    }

    /// The size of the data file in bytes, pages waiting to be used again included.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when it cannot be told.
    pub fn file_bytes(&self) -> Result<u64, StoreError> {
        self.env.real_disk_size().map_err(|error| self.place.failure(error))
    }

    fn write(&self, changes: &[Change<'_>]) -> heed::Result<()> {
        let mut txn = self.env.write_txn()?;
        for &(table, key, value) in changes {
            let at = &self.tables[table as usize];
            match value {
                Some(value) => at.put(&mut txn, key, value)?,
                None => {
                    at.delete(&mut txn, key)?;
                }
            }
        }
        txn.commit()
    }

    /// Sets the map to `bytes`; 0 takes the size that the writer has recorded.
    fn set_map(&self, bytes: usize) -> Result<(), StoreError> {
        let _nobody_looks = match self.map_in_use.try_write() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let reason = "the memory map must grow, which it cannot while snapshots are open: \
                              drop them and try again, or allow the process more address space";
                return Err(self.place.engine(reason));
            }
        };
        // SAFETY: no transaction is active in this process. Read transactions live in snapshots, each of which holds
        // `map_in_use`, and write transactions only in `write`, whose callers hold `writer` and end it before this.
        unsafe { self.env.resize(bytes) }.map_err(|error| self.place.failure(error))
    }
}

/// Table, key, and the value or `None` to delete.
type Change<'b> = (Table, &'b [u8], Option<&'b [u8]>);

/// The last change of each key, in the order of the tables' pages: neighbours are written together.
fn last_changes(batch: &Batch) -> Vec<Change<'_>> {
    let mut changes: Vec<Change<'_>> = batch
        .changes()
        .iter()
        .rev()
        .map(|(table, key, value)| (*table, key.as_slice(), value.as_deref()))
        .collect();
    changes.sort_by_key(|&(table, key, _)| (table, key));
    changes.dedup_by_key(|&mut (table, key, _)| (table, key));
    changes
}

impl Store for LmdbStore {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let Some(writer) = &self.writer else {
            return Err(StoreError::ReadOnly { place: self.place.to_string() });
        };
        batch.check_keys(&self.place.to_string())?;
        if batch.is_empty() {
            return Ok(());
        }
        let changes = last_changes(batch);
        let _turn = writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.commits.fetch_add(1, Ordering::Relaxed).is_multiple_of(COMMITS_PER_READER_CHECK) {
            self.env.clear_stale_readers().map_err(|error| self.place.failure(error))?;
        }
        loop {
            match self.write(&changes) {
                Ok(()) => break,
                Err(heed::Error::Mdb(MdbError::MapFull)) => {
                    self.set_map(self.env.info().map_size.saturating_mul(2))?;
                }
                Err(error) => return Err(self.place.failure_of(error, &changes)),
            }
        }
        length::extend_to_last_page(&self.env).map_err(|error| self.place.failure(error))?;
        // Nothing is durable in a file that nobody can open again.
        identity::in_place(self)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError> {
        Ok(Box::new(snapshot::take(self)?))
    }
}
