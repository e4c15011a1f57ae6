//! The store and its bounds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use takt_artifact::fault::{self, DocumentError};

use super::list::{Unreadable, list, parts};
use super::sidecar::{Captured, sidecar};
use super::{CaptureConfig, CaptureError, Reason};
use crate::disk::{self, DiskError};
use crate::events::{Outcome, PredictionId, UnixMillis};

/// Keeps images. Belongs to one thread.
#[derive(Debug)]
pub struct Capture {
    dir: PathBuf,
    config: CaptureConfig,
    /// By sha256.
    images: HashMap<String, Entry>,
    /// The images of each reason, oldest first.
    queues: BTreeMap<Reason, Queue>,
    predictions: HashMap<PredictionId, String>,
    evicted: u64,
    lost: u64,
}

/// What of an image is held in memory.
#[derive(Debug, Clone)]
struct Entry {
    file: String,
    reason: Reason,
    at: UnixMillis,
    /// With what is known of it.
    bytes: u64,
    prediction: PredictionId,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: u64,
    images: BTreeSet<(UnixMillis, String)>,
}

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept, and so many others went for it.
    New {
        /// How many.
        evicted: usize,
    },
    /// The very same image was there already, now for the better of both reasons.
    Known,
    /// It is not kept.
    Refused(Refusal),
}

/// Why an image is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is kept for this reason.
    Off,
    /// It alone is larger than all that is kept for this reason.
    TooLarge,
}

/// How full the store is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CaptureStats {
    /// Images.
    pub images: usize,
    /// Their bytes, with what is known of them.
    pub bytes: u64,
    /// Images of each reason.
    pub reasons: BTreeMap<Reason, usize>,
    /// Images that went for others since the store was opened.
    pub evicted: u64,
    /// Images that could not be written, as on a full disk, since the store was opened.
    pub lost: u64,
}

impl Capture {
    /// Opens or makes the store. What a power cut left half is removed; files of a newer Takt, and of others, are left
    /// alone.
    ///
    /// # Errors
    /// The directory cannot be made, listed or cleaned.
    pub fn open(dir: &Path, config: CaptureConfig) -> Result<Self, CaptureError> {
        fs::create_dir_all(dir).map_err(DiskError::at("make", dir))?;
        let (images, queues, predictions) = (HashMap::new(), BTreeMap::new(), HashMap::new());
        let mut store = Self { dir: dir.to_owned(), config, images, queues, predictions, evicted: 0, lost: 0 };
        let (captured, unreadable) = list(dir)?;
        for Unreadable { path, error } in unreadable {
            match error {
                CaptureError::Document(DocumentError::Newer { .. }) => {
                    tracing::warn!(file = %path.display(), %error, "a captured image is left alone");
                }
                error => {
                    tracing::warn!(file = %path.display(), %error, "a captured image is lost");
                    disk::remove(&path)?;
                }
            }
        }
        for captured in captured {
            let bytes = fs::metadata(dir.join(sidecar(&captured.image.sha256))).map_or(0, |file| file.len());
            store.insert(&captured, bytes);
        }
        store.remove_strays()?;
        store.make_room(None)?;
        Ok(store)
    }

    /// Keeps the image of an outcome.
    ///
    /// # Errors
    /// It could not be written, or another not removed; the store is as it was, but for images that made room.
    pub fn keep(
        &mut self,
        image: &[u8],
        outcome: &Outcome,
        reason: Reason,
        now: UnixMillis,
    ) -> Result<Kept, CaptureError> {
        let kept = self.put(image, outcome, reason, now);
        self.lost += u64::from(kept.is_err());
        kept
    }

    fn put(&mut self, image: &[u8], outcome: &Outcome, reason: Reason, now: UnixMillis) -> Result<Kept, CaptureError> {
        let quota = self.config.bytes_for(reason);
        if quota == 0 {
            return Ok(Kept::Refused(Refusal::Off));
        }
        let captured = Captured::new(image, outcome.clone(), reason, now);
        if let Some(known) = self.images.get(&captured.image.sha256) {
            if reason < known.reason {
                let prediction = known.prediction;
                self.reclassify(prediction, reason)?;
            }
            return Ok(Kept::Known);
        }
        let description = fault::write_line(&captured)?;
        let bytes = (image.len() + description.len()) as u64;
        if bytes > quota.min(self.config.total_bytes) {
            return Ok(Kept::Refused(Refusal::TooLarge));
        }
        let evicted = self.make_room(Some((reason, bytes)))?;
        // The image first: what has no description is removed at the next start.
        disk::place(&self.dir, &captured.image.file, image)?;
        if let Err(error) = disk::place(&self.dir, &sidecar(&captured.image.sha256), &description) {
            let _ = disk::remove(&self.dir.join(&captured.image.file));
            return Err(error.into());
        }
        self.insert(&captured, description.len() as u64);
        Ok(Kept::New { evicted })
    }

    /// Gives the image of a prediction another reason, as when a label shows that it was a false reject. `false` where
    /// it is not there.
    ///
    /// # Errors
    /// What is known of it could not be read or written; it keeps its reason.
    pub fn reclassify(&mut self, prediction: PredictionId, reason: Reason) -> Result<bool, CaptureError> {
        let Some(sha256) = self.predictions.get(&prediction).cloned() else {
            return Ok(false);
        };
        let name = sidecar(&sha256);
        let path = self.dir.join(&name);
        let bytes = fs::read(&path).map_err(DiskError::at("read", &path))?;
        let captured = Captured { reason, ..fault::read(&bytes)? };
        let description = fault::write_line(&captured)?;
        disk::place(&self.dir, &name, &description)?;
        self.forget(&sha256);
        self.insert(&captured, description.len() as u64);
        self.make_room(None)?;
        Ok(true)
    }

    /// Removes an image, such as one that was labelled. `false` where it is not there.
    ///
    /// # Errors
    /// It could not be removed.
    pub fn remove(&mut self, sha256: &str) -> Result<bool, CaptureError> {
        let Some(entry) = self.images.get(sha256) else {
            return Ok(false);
        };
        // The description first: an image without one is removed at the next start.
        disk::remove(&self.dir.join(sidecar(sha256)))?;
        disk::remove(&self.dir.join(&entry.file))?;
        self.forget(sha256);
        Ok(true)
    }

    /// How full the store is.
    #[must_use]
    pub fn stats(&self) -> CaptureStats {
        CaptureStats {
            images: self.images.len(),
            bytes: self.bytes(),
            reasons: self.queues.iter().map(|(reason, queue)| (*reason, queue.images.len())).collect(),
            evicted: self.evicted,
            lost: self.lost,
        }
    }

    fn bytes(&self) -> u64 {
        self.queues.values().map(|queue| queue.bytes).sum()
    }

    /// Removes images until one more of so many bytes fits, for its reason and in all.
    fn make_room(&mut self, coming: Option<(Reason, u64)>) -> Result<usize, CaptureError> {
        let before = self.evicted;
        let more = coming.map_or(0, |(_, bytes)| bytes);
        let of = |reason| coming.filter(|(of, _)| *of == reason).map_or(0, |(_, bytes)| bytes);
        loop {
            let held = |(reason, queue): (&Reason, &Queue)| queue.bytes + of(*reason) > self.config.bytes_for(*reason);
            let over = self.queues.iter().filter(|(_, queue)| !queue.images.is_empty()).find(|entry| held(*entry));
            let full = self.bytes() + more > self.config.total_bytes
                || self.images.len() + usize::from(coming.is_some()) > self.config.max_images;
            let from = match over {
                Some((reason, _)) => Some(*reason),
                // By its part of its own quota, or a small one would never be the fullest.
                None if full => self.queues.iter().max_by_key(|entry| self.fullness(*entry)).map(|(reason, _)| *reason),
                None => None,
            };
            let oldest =
                from.and_then(|reason| self.queues.get(&reason)?.images.first()).map(|(_, sha256)| sha256.clone());
            let Some(oldest) = oldest else {
                return Ok(usize::try_from(self.evicted - before).unwrap_or(usize::MAX));
            };
            self.remove(&oldest)?;
            self.evicted += 1;
        }
    }

    /// In millionths of the quota.
    fn fullness(&self, (reason, queue): (&Reason, &Queue)) -> u128 {
        u128::from(queue.bytes) * 1_000_000 / u128::from(self.config.bytes_for(*reason).max(1))
    }

    fn insert(&mut self, captured: &Captured, description_bytes: u64) {
        let sha256 = captured.image.sha256.clone();
        let entry = Entry {
            file: captured.image.file.clone(),
            reason: captured.reason,
            at: captured.at,
            bytes: captured.image.bytes + description_bytes,
            prediction: captured.outcome.prediction_id,
        };
        let queue = self.queues.entry(entry.reason).or_default();
        queue.bytes += entry.bytes;
        queue.images.insert((entry.at, sha256.clone()));
        self.predictions.insert(entry.prediction, sha256.clone());
        self.images.insert(sha256, entry);
    }

    fn forget(&mut self, sha256: &str) {
        let Some(entry) = self.images.remove(sha256) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&entry.reason) {
            queue.bytes -= entry.bytes;
            queue.images.remove(&(entry.at, sha256.to_owned()));
        }
        self.predictions.remove(&entry.prediction);
    }

    /// Removes files of ours that belong to no image that is known.
    fn remove_strays(&self) -> Result<(), CaptureError> {
        for entry in fs::read_dir(&self.dir).map_err(DiskError::at("list", &self.dir))? {
            let path = entry.map_err(DiskError::at("list", &self.dir))?.path();
            let Some((sha256, ending)) = parts(&path) else { continue };
            let known = self.images.contains_key(sha256);
            // A description that is left here is one of a newer Takt; its image is left with it.
            let described = self.dir.join(sidecar(sha256)).exists();
            if ending.ends_with(disk::TEMPORARY) || !known && !described {
                disk::remove(&path)?;
            }
        }
        Ok(())
    }
}
