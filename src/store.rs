//! Durable state behind one small trait: named tables of ordered byte keys, changed by whole transactions.

pub mod key;
pub mod lmdb;
pub mod memory;
pub mod remote;

/// A table of the store. Its number on disk never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Single values by name: format, configuration, last epoch, digests, counters.
    Meta = 0,
    /// Source id to its record: URI, fingerprint, position, how it ended.
    Sources = 1,
    /// Node to where it was seen.
    Nodes = 2,
    /// Node to its crop, JPEG.
    Crops = 3,
    /// Embedding space and node to the vector, little-endian f32.
    Vectors = 4,
    /// Node to its cell.
    Cells = 5,
    /// Node to its group.
    Groups = 6,
    /// Node and cell to the best neighbours found in that cell.
    Lists = 7,
    /// Child clusters, keyed by their members.
    Clusters = 8,
    /// Inter-instance edges.
    Edges = 9,
    /// Transitive pairs with their reasons.
    Pairs = 10,
    /// Node to its class.
    Classes = 11,
    /// Epoch to what arrived in it and which decisions were taken from it.
    Log = 12,
    /// Epoch to the changes that the trainer follows.
    Deltas = 13,
    /// The reservoir of whole stills, JPEG.
    Stills = 14,
    /// Decisions about the codebook, by the epoch they take effect at.
    Decisions = 15,
    /// Epoch to what its transaction replaced.
    History = 16,
    /// Source, epoch and place in it to what was decided about the source while the engine ran.
    SourceDecisions = 17,
    /// Live source and first frame to a connection with it.
    Connections = 18,
    /// Node to the number of its inter-instance edges.
    Degrees = 19,
}

impl Table {
    /// Every table, in the order of its number.
    pub const ALL: [Table; 20] = [
        Table::Meta,
        Table::Sources,
        Table::Nodes,
        Table::Crops,
        Table::Vectors,
        Table::Cells,
        Table::Groups,
        Table::Lists,
        Table::Clusters,
        Table::Edges,
        Table::Pairs,
        Table::Classes,
        Table::Log,
        Table::Deltas,
        Table::Stills,
        Table::Decisions,
        Table::History,
        Table::SourceDecisions,
        Table::Connections,
        Table::Degrees,
    ];
}

/// The longest key, in bytes. Keys have at least one byte.
pub const MAX_KEY_BYTES: usize = 511;

/// A store's failure. Each names the place and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: nothing of the transaction was written.
    #[error("{place}: no space left on the device; free some and start again, nothing committed is lost")]
    Full {
        /// The state's folder.
        place: String,
    },
    /// Another process writes to this state.
    #[error("{place}: another kinetograph process is writing to this state; wait for it or stop it")]
    Busy {
        /// The state's folder.
        place: String,
    },
    /// There is no state in this folder, or its first commit is still to come.
    #[error("{place}: no kinetograph state here (yet)")]
    Missing {
        /// The state's folder.
        place: String,
    },
    /// The data in the folder is damaged, foreign or of another version. It was left as it is.
    #[error("{place}: not a state that this kinetograph can read: {reason}")]
    Format {
        /// The state's folder.
        place: String,
        /// The version or damage that was found, and what was expected.
        reason: String,
    },
    /// The file was replaced since it was opened for reading: what it holds may be forgotten by now.
    #[error(
        "{place}: `kinetograph forget`, or a later version, has rewritten this state meanwhile; start again to see what it is now"
    )]
    Replaced {
        /// The state's folder.
        place: String,
    },
    /// The folder was deleted, moved or replaced while this process had it open: what it wrote since is gone with it.
    #[error(
        "{place}: this state was deleted or moved while it was in use; put it back or give another --state, and start again"
    )]
    Gone {
        /// The state's folder.
        place: String,
    },
    /// A commit to a store that was opened for reading.
    #[error("{place}: this state was opened for reading only")]
    ReadOnly {
        /// The state's folder.
        place: String,
    },
    /// A key that is empty or longer than [`MAX_KEY_BYTES`].
    #[error("{place}: a key of table {table:?} has {bytes} bytes; 1 to {MAX_KEY_BYTES} can be kept")]
    Key {
        /// The state's folder.
        place: String,
        /// The table that it was meant for.
        table: Table,
        /// The key's length.
        bytes: usize,
    },
    /// Anything else the engine underneath reports.
    #[error("{place}: {reason}")]
    Engine {
        /// The state's folder.
        place: String,
        /// The engine's own words.
        reason: String,
    },
}

/// One change: table, key, and the value to set or `None` to remove.
pub type Change = (Table, Vec<u8>, Option<Vec<u8>>);

/// Changes that become visible and durable together, or not at all. Later changes of one key win.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: Vec<Change>,
}

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push((table, key.into(), Some(value.into())));
    }

    /// Removes `key`; nothing happens when it is not there.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.changes.push((table, key.into(), None));
    }

    /// The changes in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Refuses keys that not every engine can keep.
    pub(crate) fn check_keys(&self, place: &str) -> Result<(), StoreError> {
        match self.changes.iter().find(|(_, key, _)| !(1..=MAX_KEY_BYTES).contains(&key.len())) {
            None => Ok(()),
            Some((table, key, _)) => {
                Err(StoreError::Key { place: place.into(), table: *table, bytes: key.len() })
            }
        }
    }

    /// Returns true when the batch changes nothing.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// A durable store. One process writes at a time; readers see the last commit and never wait for the writer.
pub trait Store: Send + Sync {
    /// Makes the whole batch visible and durable (on disk, past a power cut) before it returns.
    ///
    /// # Errors
    /// [`StoreError`]; the store is then as before the call.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// A view of the last commit that later commits do not change.
    ///
    /// # Errors
    /// [`StoreError`] when the engine cannot be read.
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>, StoreError>;
}

/// The function that `Snapshot::scan` calls for each (key, value); the scan goes on while it returns `true`.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> bool + 'v;

/// The store as of one commit.
pub trait Snapshot {
    /// The value at `key`.
    ///
    /// # Errors
    /// [`StoreError`] when the engine cannot be read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Calls `visit` for each key at or after `from`, in the order of their bytes, until it returns `false`.
    ///
    /// # Errors
    /// [`StoreError`] when the engine cannot be read.
    fn scan(&self, table: Table, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;
}
