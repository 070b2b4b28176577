//! `reshard`: a graph's state dealt out anew to as many processes as are to run it.
//!
//! The graph goes on where it stood: nodes, lists, classes, source positions, what trainers follow. What is not taken along is
//! the record of past epochs (`--as-of`): it goes back from what one process replaced, and now another has it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::state::record::{EpochDelta, EpochLog, Erasing, Shard, Totals};
use crate::state::view::View;
use crate::state::{State, StateError, encode, key, train_dir};
use crate::store::{Batch, Table};

/// Bytes of keys and values in one transaction, so that no part of a large state is in memory at once.
const TRANSACTION_BYTES: usize = 16 << 20;

/// Why a state could not be dealt out.
#[derive(Debug, thiserror::Error)]
pub enum ReshardError {
    /// The states could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The new folder has something in it.
    #[error("{0}: there is something already; name a new or empty folder")]
    Taken(PathBuf),
    /// Something was forgotten and is not erased yet.
    #[error(
        "{0}: `kinetograph forget` was interrupted here; run it again to finish, then deal the state out"
    )]
    Erasing(String),
    /// A file could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The numbers of what was dealt out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// The epoch it stands at.
    pub epoch: u64,
    /// Nodes that each new state has.
    pub nodes: Vec<u64>,
}

/// Deals the graph whose shards lie in `from` out to the new folders `to`, one for each process. `from` stays as it is; each folder
/// appears when all are complete.
///
/// # Errors
/// [`ReshardError`]; then none of the new folders is there.
pub fn reshard(from: &[PathBuf], to: &[PathBuf]) -> Result<Dealt, ReshardError> {
    let state = State::open_shards(from)?;
    let view = state.view()?;
    let erasing: Erasing = view.meta(key::ERASING)?.unwrap_or_default();
    if erasing != Erasing::default() {
        return Err(ReshardError::Erasing(state.place()));
    }
    for folder in to {
        let empty = fs::read_dir(folder).map(|mut entries| entries.next().is_none());
        if to.iter().filter(|other| *other == folder).count() > 1 || !empty.unwrap_or(!folder.exists()) {
            return Err(ReshardError::Taken(folder.clone()));
        }
    }
    let mut nodes = Vec::new();
    let partial: Vec<Partial> = to.iter().map(|folder| Partial(beside(folder))).collect();
    for (process, Partial(folder)) in (0..).zip(&partial) {
        let shard = Shard { process, of: to.len() as u32 };
        nodes.push(fill(&view, shard, folder)?);
        if process == 0 {
            copy_training(&train_dir(state.dir()), &train_dir(folder))?;
        }
    }
    for (Partial(folder), to) in partial.iter().zip(to) {
        // An empty folder gives way.
        let _ = fs::remove_dir(to);
        fs::rename(folder, to).map_err(io_error(to))?;
    }
    Ok(Dealt { epoch: view.epoch()?, nodes })
}

/// A folder that is removed unless it was renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    folder.with_file_name(name)
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> ReshardError {
    move |error| ReshardError::Io { path: path.to_path_buf(), error }
}

/// Writes to `folder` what `shard` has of the graph in `view`. Returns how many nodes that is.
fn fill(view: &View<'_>, shard: Shard, folder: &Path) -> Result<u64, ReshardError> {
    // What an earlier attempt left.
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(io_error(folder))?;
    }
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    let state = State::open(folder)?;
    let mut writer = Writer { state: &state, batch: Batch::default(), bytes: 0, failure: None };
    let mut nodes = 0;
    // A state that does not say what it keeps is of an earlier version, which the new one is not.
    writer.put(Table::Meta, key::COLLECTIONS, encode(&view.kept_since()?));
    for table in Table::ALL {
        view.scan(table, &[], &mut |key, value| match part(shard, table, key, value) {
            None => true,
            Some(value) => {
                nodes += u64::from(table == Table::Nodes);
                writer.put(table, key, value)
            }
        })?;
    }
    if shard != Shard::WHOLE {
        writer.put(Table::Meta, key::SHARD, encode(&shard));
    }
    writer.end()?;
    Ok(nodes)
}

/// Returns what `shard` has of a record.
pub(crate) fn part(shard: Shard, table: Table, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    match table {
        Table::History => None,
        // Every process gives the sources their names, so each has all of them.
        Table::Sources => Some(value.to_vec()),
        Table::Meta if key == key::TOTALS && shard.process > 0 => Some(encode(&Totals::default())),
        Table::Meta => Some(value.to_vec()),
        Table::Log => Some(rewritten(value, |log: &mut EpochLog| {
            log.slices.retain(|(source, ..)| shard.has(*source));
            if shard.process > 0 {
                (log.decisions, log.retired, log.forgotten) = (Vec::new(), None, 0);
            }
        })),
        Table::Deltas => Some(rewritten(value, |delta: &mut EpochDelta| {
            delta.retain_at_home(|node| shard.has(node.source()));
        })),
        _ => shard.keeps(table, key).then(|| value.to_vec()),
    }
}

/// A damaged record goes along as it is, for `verify` to find.
fn rewritten<T>(value: &[u8], change: impl Fn(&mut T)) -> Vec<u8>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let Ok(mut record) = postcard::from_bytes(value) else { return value.to_vec() };
    change(&mut record);
    encode(&record)
}

/// Puts records into a state, some at a time.
struct Writer<'s> {
    state: &'s State,
    batch: Batch,
    bytes: usize,
    failure: Option<StateError>,
}

impl Writer<'_> {
    /// Says whether to go on.
    fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) -> bool {
        self.bytes += key.len() + value.len();
        self.batch.put(table, key, value);
        if self.bytes > TRANSACTION_BYTES {
            self.bytes = 0;
            self.failure = self.state.commit(&std::mem::take(&mut self.batch)).err();
        }
        self.failure.is_none()
    }

    fn end(self) -> Result<(), StateError> {
        match self.failure {
            Some(failure) => Err(failure),
            None => self.state.commit(&self.batch),
        }
    }
}

/// Copies checkpoints and the loss curve.
fn copy_training(from: &Path, to: &Path) -> Result<(), ReshardError> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io_error(from))?,
    };
    fs::create_dir_all(to).map_err(io_error(to))?;
    for entry in entries {
        let path = entry.map_err(io_error(from))?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            fs::copy(&path, to.join(name)).map_err(io_error(&path))?;
        }
    }
    Ok(())
}
