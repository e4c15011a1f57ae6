//! Files that several stages write: whole or not at all, and by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// A file opened for one process, or held by another. The lock is advisory and ends with the file, however its holder dies.
pub(crate) enum Lock {
    /// Held by us.
    Ours(File),
    /// Held by another process.
    Theirs(File),
}

/// Writes the file aside and renames it, so that nobody sees half of it. On failure nothing stays.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("partial");
    let written = fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

/// Opens a file for reading and writing, makes it where it is missing, and locks it. An error comes with what failed.
pub(crate) fn lock(path: &Path) -> Result<Lock, (&'static str, io::Error)> {
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = opened.map_err(|error| ("open", error))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock::Ours(file)),
        Err(TryLockError::WouldBlock) => Ok(Lock::Theirs(file)),
        Err(TryLockError::Error(error)) => Err(("lock", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/dev/full` refuses every write as a full disk does.
    #[cfg(target_os = "linux")]
    #[test]
    fn on_a_full_disk_the_old_file_stays_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        replace(&path, b"old").unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("report.partial")).unwrap();
        let error = replace(&path, b"new").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
