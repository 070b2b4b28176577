//! LMDB's errors in the store's words.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use heed::MdbError;

use super::Change;
use crate::store::StoreError;

/// `EIO`, which LMDB reports for a write that came out short: most often a disk that filled up half-way.
const EIO: i32 = 5;

/// The state's folder, which each error names.
#[derive(Debug)]
pub(super) struct Place(PathBuf);

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(formatter)
    }
}

impl Place {
    pub(super) fn new(dir: &Path) -> Self {
        Place(dir.to_path_buf())
    }

    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    pub(super) fn engine(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Engine { place: self.to_string(), reason: reason.into() }
    }

    pub(super) fn format(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Format { place: self.to_string(), reason: reason.into() }
    }

    pub(super) fn io(&self, error: &io::Error) -> StoreError {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => StoreError::Full { place: self.to_string() },
            _ => self.engine(error.to_string()),
        }
    }

    pub(super) fn failure(&self, error: heed::Error) -> StoreError {
        match error {
            heed::Error::Io(error) => self.io(&error),
            heed::Error::Mdb(
                error @ (MdbError::Invalid
                | MdbError::VersionMismatch
                | MdbError::Corrupted
                | MdbError::PageNotFound
                | MdbError::Incompatible),
            ) => self.format(error.to_string()),
            heed::Error::EnvAlreadyOpened => {
                self.engine("open already in this process: a state can be named only once")
            }
            other => self.engine(other.to_string()),
        }
    }

    /// The same for a commit, where a short write has to be told from a broken disk.
    pub(super) fn failure_of(&self, error: heed::Error, changes: &[Change<'_>]) -> StoreError {
        let short = matches!(&error, heed::Error::Io(error) if error.raw_os_error() == Some(EIO));
        if short && !self.has_room(changes) {
            return StoreError::Full { place: self.to_string() };
        }
        self.failure(error)
    }

    /// Tries whether about as much as these changes fits on the disk.
    fn has_room(&self, changes: &[Change<'_>]) -> bool {
        let bytes: usize =
            changes.iter().map(|(_, key, value)| key.len() + value.map_or(0, <[u8]>::len)).sum();
        let probe = self.0.join("space.probe");
        let written = fs::write(&probe, vec![0xA5; bytes.max(1 << 20)]);
        let removed = fs::remove_file(&probe);
        written.is_ok() && removed.is_ok()
    }
}
