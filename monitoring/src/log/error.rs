//! Why something was not written.

use std::io;
use std::path::{Path, PathBuf};

/// Why a record or a segment was not written. Never a reason to stop: the writer counts what is lost and goes on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}; {}", path.display(), advice(source))]
    Io {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing failed a moment ago; it is tried again at the next tick, and until then records are counted as lost.
    #[error("the log could not be written a moment ago; it is tried again at the next tick")]
    Paused,
    /// The record is larger than any that makes sense.
    #[error("{what}: found {found}, expected at most {limit}; this record is not kept")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The largest that is kept.
        limit: usize,
    },
}

impl LogError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    pub(crate) const fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Self> {
        if found > limit { Err(Self::TooLarge { what, found, limit }) } else { Ok(()) }
    }

    /// Stable label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io { source, .. } if is_full(source) => "disk_full",
            Self::Io { .. } => "io",
            Self::Paused => "paused",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if is_full(error) => "free some space or lower the limits; predictions go on unlogged",
        io::ErrorKind::PermissionDenied => "let the server's user write there; predictions go on unlogged",
        _ => "look at the disk; predictions go on unlogged",
    }
}
