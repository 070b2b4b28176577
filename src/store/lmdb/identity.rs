//! The identity of a data file tells whether the one that a store has open is still the one in its folder.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use super::LmdbStore;
use crate::store::StoreError;

/// A file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of(file: &fs::Metadata) -> Self {
        Identity { device: file.dev(), inode: file.ino() }
    }
}

/// Returns true when the file that `store` has open is still the state's.
pub(super) fn in_place(store: &LmdbStore) -> Result<(), StoreError> {
    let place = || store.place.to_string();
    match fs::metadata(store.dir().join("data.mdb")) {
        Ok(now) if Identity::of(&now) == store.file => Ok(()),
        // Only a writer replaces the file of a state that is in use, and this is the one there can be.
        Ok(_) if store.writer.is_some() => Err(StoreError::Gone { place: place() }),
        Ok(_) => Err(StoreError::Replaced { place: place() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Gone { place: place() }),
        Err(error) => Err(store.place.io(&error)),
    }
}
