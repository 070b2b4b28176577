//! The state that the engine keeps on disk: typed records over the [`store`](crate::store), one transaction an epoch.

pub mod digest;
pub mod history;
pub mod kept;
mod migration;
pub mod record;
pub mod shards;
pub mod stored;
pub mod view;
pub mod visit;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::store::key;
use crate::store::lmdb::LmdbStore;
use crate::store::{Batch, Store, StoreError, Table};
use kept::KeptSince;
use record::Format;
use view::View;

/// Version of the records below. A state of an earlier one is brought to it by whoever opens it to write; one of a later is refused.
pub const FORMAT_VERSION: u32 = 3;

/// A state's failure.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store underneath.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no state where one was expected.
    #[error("{0}: no kinetograph state here; `kinetograph run SOURCE... --state {0}` makes one")]
    Missing(String),
    /// The state was written by another version of this program.
    #[error(
        "{place}: state format {found}, this program reads {FORMAT_VERSION}; use the version that wrote it"
    )]
    Version {
        /// The state's folder.
        place: String,
        /// The version found.
        found: u32,
    },
    /// The state was written by an earlier version of this program and is only to be read.
    #[error(
        "{place}: state format {found}, of an earlier version; `kinetograph migrate --state {place}` brings it to format \
         {FORMAT_VERSION}, and so does the next run"
    )]
    Earlier {
        /// The state's folder.
        place: String,
        /// The version found.
        found: u32,
    },
    /// A record that cannot be read.
    #[error("{place}: damaged record in {table:?}: {reason}; `kinetograph verify` says what else is wrong")]
    Damaged {
        /// The state's folder.
        place: String,
        /// The table of the record.
        table: Table,
        /// The fault in it.
        reason: String,
    },
    /// An epoch that the state cannot be shown at.
    #[error(
        "{place}: cannot be shown as of epoch {asked}: changes are kept from epoch {since} (engine.deltas_kept_epochs) \
         to {now}, the last"
    )]
    NotKept {
        /// The state's folder.
        place: String,
        /// The epoch asked for.
        asked: u64,
        /// The earliest that can be shown.
        since: u64,
        /// The last committed.
        now: u64,
    },
    /// States that are not all the shards of one graph.
    #[error("{place}: {reason}")]
    Shards {
        /// The folder of the state that does not fit.
        place: String,
        /// Why.
        reason: String,
    },
    /// A setting that the stored graph depends on is not what it was when the state was made.
    #[error(
        "{place}: made with {key} = {stored}, now asked for {key} = {asked}; keep it, or start a new --state"
    )]
    Setting {
        /// The state's folder.
        place: String,
        /// Dotted name of the setting.
        key: String,
        /// Its value in the state.
        stored: String,
        /// Its value now.
        asked: String,
    },
}

/// A state folder: the store, the trainer's files, the name they are known by in messages. Or several folders that
/// hold the shards of one graph, to read.
#[derive(Clone)]
pub struct State {
    store: Arc<dyn Store>,
    dir: PathBuf,
    /// All of the graph's shards, in order, when there are several.
    shards: Arc<[State]>,
}

impl State {
    /// The state in `dir`, made if missing, for the one process that writes to it. One of an earlier format is brought to this.
    ///
    /// # Errors
    /// [`StateError`] when another process writes to it, or it cannot be opened.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        match State::over(Arc::new(LmdbStore::open(dir)?), dir) {
            Err(StateError::Earlier { found: migration::EARLIEST, .. }) => {
                migration::from_2(dir)?;
                State::over(Arc::new(LmdbStore::open(dir)?), dir)
            }
            state => state,
        }
    }

    /// Brings the state in `dir` to the present format, if it is of an earlier one.
    ///
    /// # Errors
    /// [`StateError`] when there is none, another process writes to it, or it cannot be read or written.
    pub fn migrate(dir: &Path) -> Result<(), StateError> {
        // Opening to write would make a state where there is none.
        match dir.join("data.mdb").exists() {
            true => State::open(dir).map(drop),
            false => Err(StateError::Missing(dir.display().to_string())),
        }
    }

    /// The state in `dir`, to read; another process may be writing to it.
    ///
    /// # Errors
    /// [`StateError`] when there is none, or it cannot be opened.
    pub fn open_read(dir: &Path) -> Result<Self, StateError> {
        State::over_existing(Arc::new(LmdbStore::open_read(dir)?), dir)
    }

    /// The graph whose shards lie in `dirs`, in any order, to read; other processes may be writing to them. The trainer's
    /// files are those of shard 0.
    ///
    /// # Errors
    /// [`StateError`] as of [`State::open_read`], and when these are not all the shards of one graph.
    pub fn open_shards(dirs: &[PathBuf]) -> Result<Self, StateError> {
        let shards = dirs.iter().map(|dir| State::open_read(dir)).collect::<Result<Vec<_>, _>>()?;
        State::of_shards(shards)
    }

    /// One state of all `shards` of a graph, at least one.
    ///
    /// # Errors
    /// [`StateError::Shards`] when these are not all the shards of one graph.
    pub fn of_shards(shards: Vec<State>) -> Result<Self, StateError> {
        let shards = shards::in_order(shards)?;
        match &shards[..] {
            [] => Err(StateError::Missing("no state was named".into())),
            [whole] => Ok(whole.clone()),
            [first, ..] => {
                Ok(State { store: first.store.clone(), dir: first.dir.clone(), shards: shards.into() })
            }
        }
    }

    /// A state over `store` that is known as `dir` in messages; a store without a format record is given one.
    ///
    /// # Errors
    /// [`StateError`] when the store cannot be read or holds another version's records.
    pub fn over(store: Arc<dyn Store>, dir: &Path) -> Result<Self, StateError> {
        let state = State { store, dir: dir.to_path_buf(), shards: Arc::new([]) };
        match state.format()? {
            Some(found) => state.of_format(found),
            None => {
                let mut batch = Batch::default();
                batch.put(Table::Meta, key::FORMAT, encode(&Format { version: FORMAT_VERSION }));
                batch.put(Table::Meta, key::COLLECTIONS, encode(&KeptSince::everything()));
                state.store.commit(&batch)?;
                Ok(state)
            }
        }
    }

    /// A state over a store that is only read.
    ///
    /// # Errors
    /// [`StateError`] when there is no state in it, or another version's.
    pub fn over_existing(store: Arc<dyn Store>, dir: &Path) -> Result<Self, StateError> {
        let state = State { store, dir: dir.to_path_buf(), shards: Arc::new([]) };
        match state.format()? {
            Some(found) => state.of_format(found),
            None => Err(StateError::Missing(state.place())),
        }
    }

    /// This, which is of format `found`, if that is the present one.
    fn of_format(self, found: u32) -> Result<Self, StateError> {
        match found {
            FORMAT_VERSION => Ok(self),
            migration::EARLIEST..FORMAT_VERSION => Err(StateError::Earlier { place: self.place(), found }),
            _ => Err(StateError::Version { place: self.place(), found }),
        }
    }

    /// The state's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder as messages name it.
    pub fn place(&self) -> String {
        match self.shards.len() {
            0 => self.dir.display().to_string(),
            more => format!("{} and the other {} of its shards", self.dir.display(), more - 1),
        }
    }

    /// The store of a state of one shard, to let others read.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Where the trainer keeps checkpoints and its loss curve.
    pub fn train_dir(&self) -> PathBuf {
        train_dir(&self.dir)
    }

    /// Everything as of the last commit; later commits do not change it.
    ///
    /// # Errors
    /// [`StateError`] when the store cannot be read.
    pub fn view(&self) -> Result<View<'_>, StateError> {
        if !self.shards.is_empty() {
            return shards::view(&self.shards, None, &self.place());
        }
        Ok(View::new(self.store.snapshot()?, self.place()))
    }

    /// Everything as of `epoch`: see [`history`] for what is kept. An epoch in which nothing was committed shows what was
    /// there then.
    ///
    /// # Errors
    /// [`StateError::NotKept`] for an epoch before the earliest that is kept, or after the last; and when the store cannot be read.
    pub fn view_as_of(&self, epoch: u64) -> Result<View<'_>, StateError> {
        let view = self.view()?;
        if self.shards.is_empty() {
            return self.rewound(view, epoch);
        }
        let (since, now) = (self.since()?, view.epoch()?);
        if !(since..=now).contains(&epoch) {
            return Err(StateError::NotKept { place: self.place(), asked: epoch, since, now });
        }
        shards::view(&self.shards, Some(epoch), &self.place())
    }

    /// The earliest epoch that this can be shown at.
    ///
    /// # Errors
    /// [`StateError`] when the store cannot be read.
    pub fn since(&self) -> Result<u64, StateError> {
        if self.shards.is_empty() {
            return history::since(&self.view()?);
        }
        self.shards.iter().try_fold(0, |latest: u64, shard| Ok(latest.max(shard.since()?)))
    }

    /// `view`, which is of this, as it was at `epoch`.
    fn rewound<'s>(&self, view: View<'s>, epoch: u64) -> Result<View<'s>, StateError> {
        let (since, now) = (history::since(&view)?, view.epoch()?);
        if !(since..=now).contains(&epoch) {
            return Err(StateError::NotKept { place: self.place(), asked: epoch, since, now });
        }
        history::rewound(view, epoch)
    }

    /// Makes `batch` durable.
    ///
    /// # Errors
    /// [`StateError`]; nothing of the batch is then written.
    pub fn commit(&self, batch: &Batch) -> Result<(), StateError> {
        if !self.shards.is_empty() {
            return Err(StoreError::ReadOnly { place: self.place() }.into());
        }
        Ok(self.store.commit(batch)?)
    }

    fn format(&self) -> Result<Option<u32>, StateError> {
        let snapshot = self.store.snapshot()?;
        let Some(bytes) = snapshot.get(Table::Meta, key::FORMAT)? else { return Ok(None) };
        let format: Format = decode(&bytes, Table::Meta, &self.place())?;
        Ok(Some(format.version))
    }
}

/// Where the trainer of the state in `dir` keeps checkpoints and its loss curve.
pub fn train_dir(dir: &Path) -> PathBuf {
    dir.join("train")
}

/// The wall clock: seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A record's bytes.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    // Records are plain structs, maps and numbers; postcard fails only on types whose length is unknown.
    postcard::to_stdvec(record).expect("a plain record always has an encoding")
}

/// The record in `bytes`.
///
/// # Errors
/// [`StateError::Damaged`] when they hold no such record.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], table: Table, place: &str) -> Result<T, StateError> {
    postcard::from_bytes(bytes).map_err(|error| StateError::Damaged {
        place: place.to_string(),
        table,
        reason: error.to_string(),
    })
}
