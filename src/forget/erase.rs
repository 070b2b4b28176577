//! The files after the transaction: the trainer's, and the data file itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::ForgetError;
use crate::lock::FileLock;
use crate::state::record::Erasing;
use crate::state::{State, key, train_dir};
use crate::store::Table;
use crate::store::lmdb::{Compacted, compact};
use crate::train::checkpoint::CheckpointError;
use crate::train::checkpoint::strike::{Struck, strike};
use crate::train::lock;

/// Finishes what a forgetting that was killed has left to be erased in `dir`. There need not be a state, or anything to
/// erase.
///
/// # Errors
/// [`ForgetError`]; the next call goes on.
pub fn finish(dir: &Path) -> Result<(), ForgetError> {
    if !dir.join("data.mdb").exists() {
        return Ok(());
    }
    let state = State::open(dir)?;
    let erasing: Option<Erasing> = state.view()?.meta(key::ERASING)?;
    drop(state);
    if let Some(erasing) = erasing {
        tracing::info!(nodes = erasing.nodes.len(), "a forgetting was interrupted; erasing the rest");
        let _trainings = keep_trainers_out(dir, &erasing.checkpoints)?;
        erase(dir)?;
    }
    Ok(())
}

/// The same folders by absolute names, which still name them when the erasing is finished from elsewhere.
pub(super) fn absolute(folders: &[PathBuf]) -> Result<Vec<PathBuf>, ForgetError> {
    let io = |file: &Path, source| CheckpointError::Io { file: file.into(), source }.into();
    folders.iter().map(|folder| folder.canonicalize().map_err(|error| io(folder, error))).collect()
}

/// Keeps trainers from writing to the state's own folder of checkpoints and to `others`, as long as what it returns
/// lives.
pub(super) fn keep_trainers_out(dir: &Path, others: &[PathBuf]) -> Result<Vec<FileLock>, ForgetError> {
    let locked = |folder: PathBuf| match lock::take(&folder) {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => Err(ForgetError::Training(folder)),
        Err(source) => Err(CheckpointError::Io { file: folder, source }.into()),
    };
    train_dirs(dir, others).filter(|folder| folder.is_dir()).map(locked).collect()
}

fn train_dirs(dir: &Path, others: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    std::iter::once(train_dir(dir)).chain(others.to_vec())
}

/// Strikes what was noted from the checkpoints, then writes the data file anew without the note.
pub(super) fn erase(dir: &Path) -> Result<(Struck, Compacted), ForgetError> {
    let state = State::open(dir)?;
    let erasing: Option<Erasing> = state.view()?.meta(key::ERASING)?;
    drop(state);
    let mut sum = Struck::default();
    if let Some(erasing) = erasing {
        let nodes: BTreeSet<_> = erasing.nodes.into_iter().collect();
        for folder in train_dirs(dir, &erasing.checkpoints) {
            let struck = strike(&folder, &nodes)?;
            sum.checkpoints += struck.checkpoints;
            sum.pairs += struck.pairs;
            sum.removed += struck.removed;
        }
    }
    Ok((sum, compact(dir, &[(Table::Meta, key::ERASING)])?))
}
