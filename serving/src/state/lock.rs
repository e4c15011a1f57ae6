//! A lock file that says who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::StateError;

/// An exclusive advisory lock (`flock`), held until dropped or until the process dies, however it dies.
#[derive(Debug)]
pub(super) struct PidLock {
    _file: File,
}

/// What came of trying.
#[derive(Debug)]
pub(super) enum Attempt {
    Held(PidLock),
    /// Somebody else has it; the process id, where the file says.
    Taken(Option<u32>),
}

impl PidLock {
    /// Takes the lock without waiting and writes this process's id into the file.
    pub(super) fn attempt(path: &Path) -> Result<Attempt, StateError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(StateError::io("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // Between lock and write the holder's file is empty: then nobody is named.
                let mut text = String::new();
                let _ = (&file).take(32).read_to_string(&mut text);
                return Ok(Attempt::Taken(text.trim().parse().ok()));
            }
            Err(TryLockError::Error(source)) => return Err(StateError::io("lock", path)(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(StateError::io("write the process id into", path))?;
        Ok(Attempt::Held(Self { _file: file }))
    }
}
