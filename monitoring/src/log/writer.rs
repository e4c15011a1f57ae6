//! The prediction log's one writer.

use std::path::Path;

use super::outcome::Outcomes;
use super::{Limits, LogError, Segments, Stats};
use crate::events::{Outcome, UnixMillis};

/// Writes the prediction log. Belongs to one thread; a second writer on the same directory is the caller's to prevent.
#[derive(Debug)]
pub struct Writer {
    segments: Segments<Outcomes>,
}

impl Writer {
    /// Opens or makes the log in `dir` and goes on in a new segment.
    ///
    /// # Errors
    /// The directory cannot be made, listed or changed.
    pub fn open(dir: &Path, limits: Limits, now: UnixMillis) -> Result<Self, LogError> {
        Ok(Self { segments: Segments::open(dir, limits, now)? })
    }

    /// Adds an outcome, to memory until some have gathered or the next [`tick`](Self::tick). Does not wait for the disk
    /// except when a segment is full, which is sealed then.
    ///
    /// # Errors
    /// It, or others gathered before it, are lost, and counted so. After a failure of the file system every outcome is,
    /// with [`LogError::Paused`], until the next tick.
    pub fn append(&mut self, outcome: &Outcome) -> Result<(), LogError> {
        self.segments.append(outcome)
    }

    /// To be called about once a second: hands what has gathered to the system, seals the segment when it is old enough,
    /// removes what exceeds the limits, and tries again after a failure.
    ///
    /// # Errors
    /// The first thing that failed; the rest was done all the same.
    pub fn tick(&mut self, now: UnixMillis) -> Result<(), LogError> {
        let written = self.segments.tick(now);
        while self.segments.excess(now).is_some() {
            if let Err(error) = self.segments.remove_oldest() {
                return written.and(Err(error));
            }
        }
        written
    }

    /// Seals the open segment, at the end of the process.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn close(mut self) -> Result<(), LogError> {
        self.segments.seal()
    }

    /// What was written, lost and removed.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.segments.stats()
    }
}
