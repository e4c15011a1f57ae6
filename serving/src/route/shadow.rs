//! What is kept of the copies that go to the candidate: room for them, counts, and what they showed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use takt_monitoring::events::PredictionId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::disagreement::{Compared, Disagreements, Said};
use crate::request::Origin;

/// Shadow copies of one route.
#[derive(Debug)]
pub struct Shadow {
    room: Arc<Semaphore>,
    run: Semaphore,
    counts: ShadowCounts,
    seen: Mutex<Disagreements>,
    discordant: Mutex<Vec<Discordant>>,
}

/// A frame that one version passes and the other rejects.
#[derive(Debug, Clone, PartialEq)]
pub struct Discordant {
    /// Of stable's answer.
    pub prediction: PredictionId,
    /// Where it was taken.
    pub station: Option<String>,
    /// What it shows.
    pub part: Option<String>,
    /// Whether it is stable that passes it.
    pub stable_good: bool,
}

/// Copies that may wait for a quiet moment.
const MOST_WAITING: usize = 64;
/// Disagreements that wait to be fetched, at most.
const MOST_DISCORDANT: usize = 4096;

/// What became of the copies. All rise only.
#[derive(Debug, Default)]
pub struct ShadowCounts {
    /// Requests that the sample chose.
    pub sampled: AtomicU64,
    /// Those that were answered by both and compared.
    pub compared: AtomicU64,
    /// Those dropped because stable was busy or the copies before them were still running.
    pub dropped: AtomicU64,
}

impl Shadow {
    /// For a candidate whose batches have at most so many rows: no more copies run at a time.
    #[must_use]
    pub fn new(batch: usize) -> Self {
        let batch = batch.max(1);
        Self {
            room: Arc::new(Semaphore::new(MOST_WAITING.max(batch))),
            run: Semaphore::new(batch),
            counts: ShadowCounts::default(),
            seen: Mutex::default(),
            discordant: Mutex::default(),
        }
    }

    /// Room for one copy, or none: then it is dropped, and counted as such.
    #[must_use]
    pub fn admit(&self) -> Option<OwnedSemaphorePermit> {
        self.counts.sampled.fetch_add(1, Relaxed);
        let permit = Arc::clone(&self.room).try_acquire_owned().ok();
        if permit.is_none() {
            self.drop_one();
        }
        permit
    }

    /// A place among the copies that run.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        self.run.acquire().await.ok()
    }

    /// A copy was dropped after it was let in.
    pub fn drop_one(&self) {
        self.counts.dropped.fetch_add(1, Relaxed);
    }

    /// Both answered: adds what they said of each frame of the request that stable answered with `prediction`.
    pub fn compare(&self, origin: &Origin, prediction: PredictionId, frames: &[(Said, Said)], now: Instant) {
        self.counts.compared.fetch_add(1, Relaxed);
        for (row, (stable, candidate)) in frames.iter().enumerate() {
            if let (Some(stable_good), Some(good)) = (stable.good, candidate.good)
                && stable_good != good
            {
                self.disagree(Discordant {
                    prediction: prediction.row(row),
                    station: origin.station.clone(),
                    part: origin.part_id.clone(),
                    stable_good,
                });
            }
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.add(origin.part_id.as_deref(), frames, now);
    }

    /// Takes the units that are complete: parts without a new frame for `quiet`.
    #[must_use]
    pub fn take(&self, quiet: Duration, now: Instant) -> Vec<Compared> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).take(quiet, now)
    }

    fn disagree(&self, frame: Discordant) {
        let mut discordant = self.discordant.lock().unwrap_or_else(PoisonError::into_inner);
        if discordant.len() < MOST_DISCORDANT {
            discordant.push(frame);
        }
    }

    /// Takes the frames on which the versions disagreed.
    #[must_use]
    pub fn take_discordant(&self) -> Vec<Discordant> {
        std::mem::take(&mut *self.discordant.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts of the copies.
    #[must_use]
    pub fn counts(&self) -> &ShadowCounts {
        &self.counts
    }
}
