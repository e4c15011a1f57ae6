//! Why something was not written.

use crate::disk::DiskError;

/// Why a record or a segment was not written. Never a reason to stop: the writer counts what is lost and goes on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
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
    pub(crate) const fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), Self> {
        if found > limit { Err(Self::TooLarge { what, found, limit }) } else { Ok(()) }
    }

    /// Stable label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Disk(error) => error.kind(),
            Self::Paused => "paused",
            Self::TooLarge { .. } => "too_large",
        }
    }
}
