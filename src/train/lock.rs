//! One trainer a folder: two would write each other's checkpoints away, and one must not write while another process
//! strikes nodes from them.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

const FILE: &str = "trainer.lock";

/// Takes the lock of `dir`, which is held as long as the file is open.
///
/// # Errors
/// `ResourceBusy` when somebody holds it; what the file system says.
pub fn take(dir: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(dir.join(FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another training, or `kinetograph forget`, is at work in this folder",
        )),
    }
}
