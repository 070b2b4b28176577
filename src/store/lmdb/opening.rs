//! Opening a state: who may write, how much address space to reserve, and whether what lies there is ours.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use heed::{Env, EnvFlags, EnvOpenOptions, WithoutTls};

use super::compaction;
use super::failure::Place;
use super::identity::Identity;
use super::tables::{self, Tables};
use super::{LmdbStore, length};
use crate::lock::FileLock;
use crate::store::StoreError;

/// Simultaneous snapshots over all processes; 64 bytes each in `lock.mdb`.
const MAX_READERS: u32 = 510;
/// `lock.mdb` with that many readers, rounded up to whole pages.
const LOCK_BYTES: usize = 36 << 10;

/// The time a reader waits for a file that looks cut short while its writer may be about to extend it.
const PATIENCE: Duration = Duration::from_millis(500);

/// The options of opening a state.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Address space to reserve for the file, in bytes. It costs neither memory nor disk. Less is taken where the
    /// process may not have that much; a state that outgrows it makes the map grow.
    pub map_bytes: usize,
}

impl Default for Opening {
    /// 1 TiB: no state on one machine's disk should outgrow it, so the map need never move under a snapshot.
    fn default() -> Self {
        Opening { map_bytes: usize::try_from(1_u64 << 40).unwrap_or(1 << 30) }
    }
}

impl Opening {
    /// Opens for writing; see [`LmdbStore::open`].
    ///
    /// # Errors
    /// As there.
    pub fn write(self, dir: &Path) -> Result<LmdbStore, StoreError> {
        let place = Place::new(dir);
        fs::create_dir_all(dir).map_err(|error| place.io(&error))?;
        let lock = lock_for_writing(&place)?;
        // What a kill left of a compaction is nobody's.
        compaction::clear(dir).map_err(|error| place.io(&error))?;
        prepare_reader_table(&place)?;
        let env = self.environment(&place, EnvFlags::empty())?;
        env.clear_stale_readers().map_err(|error| place.failure(error))?;
        if let Some(end) = ends_early_at(&env, &place)? {
            refuse_if_cut(end, &env, &place)?;
        }
        let tables = tables::create(&env, &place)?;
        sync_folder(dir).map_err(|error| place.io(&error))?;
        store(env, tables, place, Some(lock))
    }

    /// Opens for reading; see [`LmdbStore::open_read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(self, dir: &Path) -> Result<LmdbStore, StoreError> {
        let place = Place::new(dir);
        match fs::metadata(dir.join("data.mdb")) {
            Ok(data) if data.len() > 0 => {}
            Ok(_) => return Err(StoreError::Missing { place: place.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::Missing { place: place.to_string() });
            }
            Err(error) => return Err(place.io(&error)),
        }
        let env = self.environment(&place, EnvFlags::READ_ONLY)?;
        let since = Instant::now();
        while let Some(end) = ends_early_at(&env, &place)? {
            if since.elapsed() > PATIENCE {
                let reason = format!(
                    "data.mdb ends at byte {end}, before its last page; opening it once for writing checks it"
                );
                return Err(place.format(reason));
            }
            thread::sleep(PATIENCE / 50);
        }
        let tables = tables::open(&env, &place)?;
        store(env, tables, place, None)
    }

    fn environment(self, place: &Place, flags: EnvFlags) -> Result<Env<WithoutTls>, StoreError> {
        let mut bytes = self.map_bytes.next_multiple_of(1 << 16);
        loop {
            let mut options = EnvOpenOptions::new().read_txn_without_tls();
            options.map_size(bytes).max_readers(MAX_READERS).max_dbs(tables::DATABASES);
            // SAFETY: the only flag ever given is READ_ONLY, which relaxes no promise. The file is changed through
            // LMDB alone; `length` makes sure that none of it is read that does not exist.
            let opened = unsafe { options.flags(flags).open(place.dir()) };
            match opened {
                // A limit on address space: settle for less.
                Err(heed::Error::Io(error))
                    if error.kind() == io::ErrorKind::OutOfMemory && bytes >= 1 << 24 =>
                {
                    bytes /= 4;
                }
                other => return other.map_err(|error| place.failure(error)),
            }
        }
    }
}

fn store(
    env: Env<WithoutTls>,
    tables: Tables,
    place: Place,
    lock: Option<FileLock>,
) -> Result<LmdbStore, StoreError> {
    let file = env.try_clone_inner_file().map_err(|error| place.failure(error))?;
    let file = Identity::of(&file.metadata().map_err(|error| place.io(&error))?);
    Ok(LmdbStore {
        env,
        file,
        tables,
        place,
        map_in_use: RwLock::new(()),
        writer: lock.is_some().then(|| Mutex::new(())),
        commits: AtomicU32::new(0),
        _writer_lock: lock,
    })
}

/// One writing process. LMDB alone would let a second one in and make the two take turns.
fn lock_for_writing(place: &Place) -> Result<FileLock, StoreError> {
    match FileLock::take(&place.dir().join("writer.lock")) {
        Ok(lock) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy { place: place.to_string() }),
        Err(TryLockError::Error(error)) => Err(place.io(&error)),
    }
}

/// Gives a new state's reader table its disk space. LMDB would leave a hole there and write to it through a map,
/// which on a full disk kills the process.
fn prepare_reader_table(place: &Place) -> Result<(), StoreError> {
    let readers = place.dir().join("lock.mdb");
    let begun = fs::metadata(&readers).map_or(0, |found| found.len());
    // Once there is data, others may have the table open: then it is theirs too and stays.
    if place.dir().join("data.mdb").exists() || begun >= LOCK_BYTES as u64 {
        return Ok(());
    }
    fs::write(readers, vec![0; LOCK_BYTES]).map_err(|error| place.io(&error))
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()?;
    match dir.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// The file's length when that is less than its last page promises.
fn ends_early_at(env: &Env<WithoutTls>, place: &Place) -> Result<Option<u64>, StoreError> {
    let found = env.real_disk_size().map_err(|error| place.failure(error))?;
    Ok((found < length::promised_bytes(env)).then_some(found))
}

/// Looks whether anything was lost past `end`. If so, the file is left as it was.
fn refuse_if_cut(end: u64, env: &Env<WithoutTls>, place: &Place) -> Result<(), StoreError> {
    length::extend_to_last_page(env).map_err(|error| place.failure(error))?;
    let whole = tables::present(env, place).and_then(|tables| {
        let txn = env.read_txn().map_err(|error| place.failure(error))?;
        match length::anything_past(end, env, &txn, &tables).map_err(|error| place.failure(error))? {
            None => Ok(()),
            Some(at) => {
                Err(place.format(format!("data.mdb was cut at byte {end}, but holds something up to {at}")))
            }
        }
    });
    if whole.is_err() {
        let file = env.try_clone_inner_file().map_err(|error| place.failure(error))?;
        file.set_len(end).map_err(|error| place.io(&error))?;
    }
    whole
}
