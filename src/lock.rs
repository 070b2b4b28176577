//! A file that one process at a time holds.

use std::fs::{File, TryLockError};
use std::path::Path;

/// A lock that ends with its holder.
///
/// It is given back by name when dropped: a child process that was being started just then has the file open, too, and
/// closing it here alone would leave the lock with the child.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Takes the lock of the file at `path`, which is made if missing.
    ///
    /// # Errors
    /// `WouldBlock` when somebody holds it; what the file system says.
    pub fn take(path: &Path) -> Result<Self, TryLockError> {
        let open = File::options().create(true).truncate(false).write(true).open(path);
        let file = open.map_err(TryLockError::Error)?;
        file.try_lock()?;
        Ok(FileLock(file))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Where that fails, closing the file is the next best.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_holder_though_a_child_has_the_file_open_still() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = FileLock::take(&path).unwrap();
        // A child that is being started has the same open file, as a clone has.
        let with_child = lock.0.try_clone().unwrap();
        assert!(matches!(FileLock::take(&path), Err(TryLockError::WouldBlock)));
        drop(lock);
        assert!(FileLock::take(&path).is_ok());
        drop(with_child);
    }
}
