//! How a run tells what it does while it does it, and how it is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use super::decide::Why;
use super::key::Key;
use super::summary::Row;
use crate::progress::{Progress, Silent};
use crate::train;

/// Who watches a run. Libraries print nothing; the program turns this into lines and bars.
pub trait Observer: Sync {
    /// A stage begins; `number` of `total`, from 1. `resumes` where an earlier run left something to go on from.
    fn begin(&self, stage: &str, number: usize, total: usize, why: &Why, resumes: bool) {
        let _ = (stage, number, total, why, resumes);
    }

    /// A stage that began has ended, well or not.
    fn end(&self, row: &Row) {
        let _ = row;
    }

    /// A stage's result is there already.
    fn skip(&self, row: &Row, number: usize, total: usize) {
        let _ = (row, number, total);
    }

    /// Something is wrong that the run can repair by itself.
    fn warn(&self, stage: &str, message: &str) {
        let _ = (stage, message);
    }

    /// Where the stage at hand tells how far it is. Each `begin` of it is a new count.
    fn progress(&self) -> &dyn Progress {
        &Silent
    }

    /// Where a stage that trains tells its steps and epochs.
    fn training(&self) -> &dyn train::Observer {
        &train::Unobserved
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// What a stage sees of the run around it.
pub struct Context<'a> {
    pub(super) observer: &'a dyn Observer,
    pub(super) stop: &'a AtomicBool,
    pub(super) key: Option<&'a Key>,
}

impl<'a> Context<'a> {
    /// For running a stage by itself.
    #[must_use]
    pub fn new(observer: &'a dyn Observer, stop: &'a AtomicBool) -> Self {
        Self { observer, stop, key: None }
    }

    /// The key under which the result will be kept, where a run asks for it.
    #[must_use]
    pub const fn key(&self) -> Option<&'a Key> {
        self.key
    }

    /// Where to tell how far the stage is.
    #[must_use]
    pub fn progress(&self) -> &'a dyn Progress {
        self.observer.progress()
    }

    /// Where to tell of steps and epochs of training.
    #[must_use]
    pub fn training(&self) -> &'a dyn train::Observer {
        self.observer.training()
    }

    /// Whether to write a checkpoint at the next good moment and return [`Unfinished::Stopped`](super::Unfinished).
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The flag itself, for work that takes one.
    #[must_use]
    pub fn stop(&self) -> &'a AtomicBool {
        self.stop
    }
}
