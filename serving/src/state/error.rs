//! What can go wrong with the state directory, said so that an operator can act on it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the state directory, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}; {}", path.display(), advice(source))]
    Io {
        /// What was being done, as in "cannot ... <path>".
        action: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process owns the directory.
    #[error(
        "state directory {} is in use by {}; stop that process or choose another --state-dir",
        path.display(), holder(*pid)
    )]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// The process that holds it, where the lock file says.
        pid: Option<u32>,
    },
    /// A worker outlived its supervisor and still drains.
    #[error(
        "state directory {} is still used by {}, a worker whose supervisor is gone; it ends by itself when it has \
         drained: wait, stop it, or choose another --state-dir",
        path.display(), holder(*pid)
    )]
    WorkerAlive {
        /// The state directory.
        path: PathBuf,
        /// The worker, where the lock file says.
        pid: Option<u32>,
    },
    /// The directory was written by a newer build.
    #[error(
        "{} says schema {found}, this build knows schema {supported}; run the newer build, or choose another --state-dir",
        path.display()
    )]
    NewerSchema {
        /// `schema.json`.
        path: PathBuf,
        /// Schema it names.
        found: u64,
        /// Newest schema this build reads.
        supported: u64,
    },
    /// `schema.json` is not what it should be.
    #[error(
        "{} is not a schema file: {reason}; expected {{\"schema\": 1}}. If the directory is not Takt's, choose another \
         --state-dir; if it is, correct the file",
        path.display()
    )]
    BadSchema {
        /// `schema.json`.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

impl StateError {
    /// Stable label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Locked { .. } => "locked",
            Self::WorkerAlive { .. } => "worker_alive",
            Self::NewerSchema { .. } => "newer_schema",
            Self::BadSchema { .. } => "bad_schema",
        }
    }

    /// For `map_err`: attaches what was done and to what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "a process that has not said its id".to_owned(), |pid| format!("process {pid}"))
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "give this user write access, or choose another --state-dir",
        io::ErrorKind::ReadOnlyFilesystem => "choose a --state-dir on a writable file system",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file is in the way: move it, or choose another --state-dir"
        }
        io::ErrorKind::Unsupported => "this file system has no locks: choose a --state-dir on a local one",
        _ => "check the disk and the permissions, or choose another --state-dir",
    }
}
