//! Giving space back, and with it every byte of what was deleted: the records are written to a new file, which then
//! takes the old one's place by one rename.
//!
//! LMDB can copy itself compactly, but copies whole pages, in which deleted keys live on; records inserted in order
//! leave nothing behind and fill their pages.

use std::fs;
use std::path::Path;

use heed::PutFlags;

use super::{LmdbStore, length};
use crate::store::{Snapshot, Store, StoreError, Table};

/// The new file grows in this folder of the state. What a kill leaves there is removed by whoever opens it to write.
const FOLDER: &str = "compacting";
/// Bytes of records in a transaction.
const CHUNK_BYTES: usize = 32 << 20;

/// The result of a compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Size of the data file before, in bytes.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// A record as its file is rewritten: key and value, or nothing.
pub type Rewritten = Option<(Vec<u8>, Vec<u8>)>;

/// Says what becomes of a record, of its table, key and value; or why it can become nothing.
pub type Rewriting<'c> = dyn Fn(Table, &[u8], &[u8]) -> Result<Rewritten, String> + 'c;

/// Rewrites the data file of the state in `dir` without the pages that are not in use, and without the records
/// `leave_out`: see [`rewrite`].
///
/// # Errors
/// As of [`rewrite`].
pub fn compact(dir: &Path, leave_out: &[(Table, &[u8])]) -> Result<Compacted, StoreError> {
    rewrite(dir, &|table, key, value| {
        Ok((!leave_out.contains(&(table, key))).then(|| (key.to_vec(), value.to_vec())))
    })
}

/// Rewrites the data file of the state in `dir`, each record as `change` has it, which may not change the order of a table's
/// keys. A kill at any moment leaves the old file or the new one. Processes that have the state open for reading go
/// on with the snapshots they have; a new one is refused.
///
/// # Errors
/// [`StoreError`], as for opening for writing; [`StoreError::Full`] when there is no room for the new file beside the
/// old one. [`StoreError::Format`] with the reason that `change` gives. The state is then as it was.
pub fn rewrite(dir: &Path, change: &Rewriting<'_>) -> Result<Compacted, StoreError> {
    let old = LmdbStore::open(dir)?;
    let done = replace(&old, change);
    // After a success the lock files are left, after a failure all of the new file.
    let cleared = clear(dir);
    let done = done?;
    cleared.map_err(|error| old.place.io(&error))?;
    Ok(done)
}

fn replace(old: &LmdbStore, change: &Rewriting<'_>) -> Result<Compacted, StoreError> {
    let io = |error| old.place.io(&error);
    let (dir, before) = (old.dir(), old.file_bytes()?);
    let folder = dir.join(FOLDER);
    let new = LmdbStore::open(&folder)?;
    copy(old, &new, change)?;
    meet(old, &new)?;
    length::extend_to_last_page(&new.env).map_err(|error| old.place.failure(error))?;
    let after = new.file_bytes()?;
    drop(new);
    fs::rename(folder.join("data.mdb"), dir.join("data.mdb")).map_err(io)?;
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    tracing::info!(place = %dir.display(), before, after, "data file rewritten");
    Ok(Compacted { before, after })
}

fn copy(old: &LmdbStore, new: &LmdbStore, change: &Rewriting<'_>) -> Result<(), StoreError> {
    let snapshot = super::snapshot::take(old)?;
    for table in Table::ALL {
        let mut chunk: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let (mut bytes, mut failure) = (0, None);
        snapshot.scan(table, &[], &mut |key, value| {
            match change(table, key, value) {
                Ok(Some(record)) => {
                    bytes += record.0.len() + record.1.len();
                    chunk.push(record);
                }
                Ok(None) => return true,
                Err(reason) => failure = Some(old.place.format(reason)),
            }
            if bytes >= CHUNK_BYTES {
                failure = failure.take().or(append(new, table, &std::mem::take(&mut chunk)).err());
                bytes = 0;
            }
            failure.is_none()
        })?;
        match failure {
            Some(failure) => return Err(failure),
            None => append(new, table, &chunk)?,
        }
    }
    Ok(())
}

fn append(new: &LmdbStore, table: Table, records: &[(Vec<u8>, Vec<u8>)]) -> Result<(), StoreError> {
    let write = || -> heed::Result<()> {
        let mut txn = new.env.write_txn()?;
        for (key, value) in records {
            new.tables[table as usize].put_with_flags(&mut txn, PutFlags::APPEND, key, value)?;
        }
        txn.commit()
    };
    let changes: Vec<super::Change<'_>> =
        records.iter().map(|(key, value)| (table, key.as_slice(), Some(value.as_slice()))).collect();
    write().map_err(|error| new.place.failure_of(error, &changes))
}

/// Brings the new file to a transaction number of the old one's parity. A process that reads the state meanwhile keeps the
/// lock file in use, and with it the old number, whose parity says which of a file's two meta pages is the last:
/// so whoever opens the new file under the old number finds the right one.
fn meet(old: &LmdbStore, new: &LmdbStore) -> Result<(), StoreError> {
    let number = |store: &LmdbStore| store.env.info().last_txn_id;
    if number(old) % 2 == number(new) % 2 {
        return Ok(());
    }
    // The last value that is there, written once more, is a transaction. There is always the format record.
    let snapshot = new.snapshot()?;
    let mut record = None;
    snapshot.scan(Table::Meta, &[], &mut |key, value| {
        record = Some((key.to_vec(), value.to_vec()));
        true
    })?;
    drop(snapshot);
    let mut batch = crate::store::Batch::default();
    record.into_iter().for_each(|(key, value)| batch.put(Table::Meta, key, value));
    new.commit(&batch)?;
    match number(old) % 2 == number(new) % 2 {
        true => Ok(()),
        false => Err(old.place.engine("the compacted file did not take another transaction")),
    }
}

/// Removes what there is of a new file for the state in `dir`.
pub(super) fn clear(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir.join(FOLDER)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
