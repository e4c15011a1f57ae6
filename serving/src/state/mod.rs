//! The state directory (`--state-dir`): what must be remembered when the process, or the power, is gone.
//!
//! ```text
//! schema.json             {"schema": 1}; a build refuses a directory newer than itself
//! lock, worker.lock       who owns the directory, who serves from it (flock, with the process id inside)
//! journal.json            quarantined digests, last good versions, open load intents, strikes
//! journal.previous.json   the journal one change earlier, in case the newest cannot be read
//! journal.corrupt-<time>  a journal that could not be read, kept for people (the newest few)
//! ```
//!
//! Which versions execute at this moment ([`RunningTable`]) must survive a process but not a power cut, so it lives in
//! memory (`/dev/shm`) where there is such a place, and wears no flash.
//!
//! [`StateDir`] owns the directory, [`Journal`] its memory; [`judge_death`] decides, purely, what a death of the process
//! means for the versions it had in hand, and [`settle`] writes that down.

mod boot;
mod error;
mod journal;
mod journal_file;
mod ledger;
mod lock;
mod running;
mod settle;
mod verdict;
mod version;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use error::StateError;
pub use journal::{Intent, Journal};
pub use journal_file::Recovery;
pub(crate) use journal_file::replace;
pub use ledger::{GoodVersion, IntentKind, IntentRecord, LastGood, Quarantined, Strike};
pub use running::{Running, RunningSlot, RunningTable};
pub use settle::{settle_death, settle_leftovers};
pub use takt_monitoring::events::UnixMillis;
pub use verdict::{Action, Death, Evidence, STRIKE_WINDOW, STRIKES_TO_QUARANTINE, judge_death};
pub use version::VersionId;

use lock::{Attempt, PidLock};

/// Schema of the directory that this build writes, and the newest it reads.
pub const SCHEMA: u64 = 1;

/// In which role a process opens the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The supervisor, or the serving process where there is none: at most one per directory.
    Owner,
    /// The serving process under a supervisor: at most one per directory. The supervisor writes only while none lives.
    Worker,
}

/// An opened state directory. Dropping it lets it go.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: PidLock,
}

impl StateDir {
    /// Opens the directory, creating it (mode 0700) where it is missing.
    ///
    /// # Errors
    /// It cannot be created or written, another process has it, or a newer build wrote it.
    pub fn open(path: &Path, access: Access) -> Result<Self, StateError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(StateError::io("create the state directory", path))?;
        let lock = match access {
            Access::Owner => Self::own(path)?,
            Access::Worker => Self::serve(path)?,
        };
        check_schema(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the journal; call once per process and share the handle.
    ///
    /// # Errors
    /// The journal exists but the system will not let it be read or moved aside. A corrupt journal is no error: see
    /// [`Journal::recovery`].
    pub fn journal(&self) -> Result<Journal, StateError> {
        Journal::open(&self.path)
    }

    /// Starts a fresh table of running versions, for the process that serves. The old one is lost: settle first.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn running_table(&self) -> Result<RunningTable, StateError> {
        let [memory, disk] = running::locations(&self.path);
        match RunningTable::create(&memory) {
            Ok(table) => Ok(table),
            Err(_) => RunningTable::create(&disk),
        }
    }

    /// The versions that were executing when the serving process died; empty if none, or if the machine was restarted.
    ///
    /// # Errors
    /// The file exists but cannot be read.
    pub fn running(&self) -> Result<Vec<Running>, StateError> {
        let mut found = Vec::new();
        for place in running::locations(&self.path) {
            found.extend(RunningTable::read(&place)?);
        }
        Ok(found)
    }

    /// Once the dead are judged, so that they are not judged again.
    fn forget_running(&self) {
        for place in running::locations(&self.path) {
            let _ = fs::remove_file(place);
        }
    }

    fn own(path: &Path) -> Result<PidLock, StateError> {
        let lock = match PidLock::attempt(&path.join("lock"))? {
            Attempt::Held(lock) => lock,
            Attempt::Taken(pid) => {
                return Err(StateError::Locked { path: path.to_owned(), pid });
            }
        };
        // A worker whose supervisor was killed drains for a while and may still write the journal.
        match PidLock::attempt(&path.join("worker.lock"))? {
            Attempt::Held(_) => Ok(lock),
            Attempt::Taken(pid) => Err(StateError::WorkerAlive { path: path.to_owned(), pid }),
        }
    }

    fn serve(path: &Path) -> Result<PidLock, StateError> {
        match PidLock::attempt(&path.join("worker.lock"))? {
            Attempt::Held(lock) => Ok(lock),
            Attempt::Taken(pid) => Err(StateError::Locked { path: path.to_owned(), pid }),
        }
    }
}

#[derive(Deserialize)]
struct SchemaFile {
    schema: u64,
}

fn check_schema(dir: &Path) -> Result<(), StateError> {
    let path = dir.join("schema.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("{{\"schema\": {SCHEMA}}}\n");
            return journal_file::replace(dir, "schema.json", text.as_bytes());
        }
        Err(source) => return Err(StateError::io("read", &path)(source)),
    };
    match serde_json::from_slice::<SchemaFile>(&text) {
        Ok(SchemaFile { schema: SCHEMA }) => Ok(()),
        Ok(SchemaFile { schema: found }) if found > SCHEMA => {
            Err(StateError::NewerSchema { path, found, supported: SCHEMA })
        }
        Ok(SchemaFile { schema: found }) => Err(StateError::BadSchema { path, reason: format!("schema {found}") }),
        Err(error) => Err(StateError::BadSchema { path, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/state");
        (parent, path)
    }

    #[test]
    fn opening_creates_a_private_directory_with_its_schema() {
        let (_parent, path) = scratch();
        let dir = StateDir::open(&path, Access::Owner).unwrap();
        assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_to_string(path.join("schema.json")).unwrap(), "{\"schema\": 1}\n");
        drop(dir);
        StateDir::open(&path, Access::Owner).unwrap();
    }

    #[test]
    fn second_owner_is_refused_and_told_who_holds_the_directory() {
        let (_parent, path) = scratch();
        let _first = StateDir::open(&path, Access::Owner).unwrap();
        let error = StateDir::open(&path, Access::Owner).unwrap_err();
        let pid = std::process::id();
        assert!(matches!(error, StateError::Locked { pid: Some(p), .. } if p == pid), "{error}");
        assert!(error.to_string().contains(&format!("process {pid}")), "{error}");
    }

    #[test]
    fn worker_opens_beside_its_owner_but_keeps_a_second_owner_out_when_orphaned() {
        let (_parent, path) = scratch();
        let owner = StateDir::open(&path, Access::Owner).unwrap();
        let worker = StateDir::open(&path, Access::Worker).unwrap();
        assert_eq!(StateDir::open(&path, Access::Worker).unwrap_err().kind(), "locked");
        drop(owner);
        assert_eq!(StateDir::open(&path, Access::Owner).unwrap_err().kind(), "worker_alive");
        drop(worker);
        StateDir::open(&path, Access::Owner).unwrap();
    }

    #[test]
    fn newer_schema_is_refused_with_both_numbers() {
        let (_parent, path) = scratch();
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("schema.json"), "{\"schema\": 2, \"unknown\": true}").unwrap();
        let error = StateDir::open(&path, Access::Owner).unwrap_err();
        assert_eq!(error.kind(), "newer_schema");
        assert!(error.to_string().contains("schema 2") && error.to_string().contains("schema 1"), "{error}");
    }

    #[test]
    fn schema_file_that_is_something_else_is_named() {
        let (_parent, path) = scratch();
        fs::create_dir_all(&path).unwrap();
        for text in ["", "{\"schema\": 0}", "[]", "{\"schema\": \"1\"}"] {
            fs::write(path.join("schema.json"), text).unwrap();
            let error = StateDir::open(&path, Access::Owner).unwrap_err();
            assert_eq!(error.kind(), "bad_schema", "{text}: {error}");
        }
    }

    #[test]
    fn a_file_in_the_way_is_a_clear_error() {
        let (_parent, path) = scratch();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        let error = StateDir::open(&path, Access::Owner).unwrap_err().to_string();
        assert!(error.contains("state") && error.contains("--state-dir"), "{error}");
    }
}
