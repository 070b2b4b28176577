//! One trainer a folder: two would write each other's checkpoints away, and one must not write while another process
//! strikes nodes from them.

use std::fs::TryLockError;
use std::io;
use std::path::Path;

use crate::lock::FileLock;

const FILE: &str = "trainer.lock";

/// Takes the lock of `dir`, which is held until it is dropped.
///
/// # Errors
/// `ResourceBusy` when somebody holds it; what the file system says.
pub fn take(dir: &Path) -> io::Result<FileLock> {
    match FileLock::take(&dir.join(FILE)) {
        Ok(lock) => Ok(lock),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another training, or `kinetograph forget`, is at work in this folder",
        )),
    }
}
