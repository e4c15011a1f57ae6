//! Batches of tensors, made ahead by threads of their own so that whoever trains does not wait for a decoder.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::augment::Augment;
use super::corrupt::Corruption;
use super::error::DataError;
use super::images::{Buffers, Images, Variation};
use super::partition::shuffle;
use crate::rng::Rng;

/// Batches that each thread may have ready before anybody asks for them.
const AHEAD: usize = 2;

/// How samples become batches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batching {
    /// Images per batch.
    pub size: NonZeroUsize,
    /// What becomes of the samples that fill no batch.
    pub tail: Tail,
    /// Which view of each sample is given.
    pub views: Views,
    /// Threads that decode. Does not change the batches.
    pub threads: NonZeroUsize,
}

/// What becomes of the samples at the end that fill no batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// They are a smaller batch, as evaluation needs it.
    Keep,
    /// They are left out this time, as batch statistics want it.
    Drop,
}

/// Which view of a sample is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Views {
    /// The image as serving would see it.
    Plain,
    /// A variation of it.
    Augmented {
        /// How much it may differ.
        augment: Augment,
        /// Start of all randomness.
        seed: u64,
        /// Number of the view: the epoch, or the epoch modulo the number of views that a teacher's answers are kept for.
        view: u64,
    },
    /// The image made worse.
    Corrupted {
        /// How.
        corruption: Corruption,
        /// Start of all randomness.
        seed: u64,
    },
}

/// Some images with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Tensors one after another.
    pub inputs: Vec<f32>,
    /// Images, then the shape of one tensor: [N, channels, height, width] for NCHW.
    pub shape: [usize; 4],
    /// Label index of each image.
    pub labels: Vec<u32>,
    /// Index of each image in its data set.
    pub samples: Vec<usize>,
}

/// The batches of one pass, in order. Ends after the last one, or after the first error.
#[derive(Debug)]
pub struct Batches {
    /// One per thread: batch `n` comes from thread `n` modulo their number.
    sources: Vec<Receiver<Result<Batch, DataError>>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    count: usize,
}

/// The samples in the order of one epoch: a pure function of seed and epoch.
#[must_use]
pub fn epoch_order(samples: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = samples.to_vec();
    shuffle(&mut order, &mut Rng::new(seed, &[0x6f, epoch]));
    order
}

impl Batches {
    /// Starts to make batches of the samples in the order given.
    ///
    /// # Errors
    /// An augmentation out of range, or threads that cannot be started.
    pub fn start(images: &Arc<Images>, order: &[usize], batching: Batching) -> Result<Self, DataError> {
        match batching.views {
            Views::Plain => {}
            Views::Augmented { augment, .. } => augment.check()?,
            Views::Corrupted { corruption, .. } => corruption.check()?,
        }
        let size = batching.size.get();
        let count = match batching.tail {
            Tail::Keep => order.len().div_ceil(size),
            Tail::Drop => order.len() / size,
        };
        let threads = batching.threads.get().min(count.max(1));
        let order: Arc<[usize]> = order.into();
        let mut batches = Self { sources: Vec::new(), workers: Vec::new(), next: 0, count };
        for first in 0..threads {
            let (sender, receiver) = sync_channel(AHEAD);
            let (images, order) = (Arc::clone(images), Arc::clone(&order));
            let numbers = (first..count).step_by(threads);
            let worker = thread::Builder::new()
                .name(format!("takt-batch-{first}"))
                .spawn(move || work(&images, &order, batching, numbers, &sender))
                .map_err(|error| DataError::Thread { what: format!("cannot be started ({error})") })?;
            batches.sources.push(receiver);
            batches.workers.push(worker);
        }
        Ok(batches)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.count {
            return None;
        }
        let source = self.sources.get(self.next % self.sources.len().max(1))?;
        let batch = source.recv().unwrap_or_else(|_| {
            let what = format!("ended before batch {} of {}", self.next + 1, self.count);
            Err(DataError::Thread { what })
        });
        self.next = if batch.is_ok() { self.next + 1 } else { self.count };
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.count - self.next))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // Whoever is about to send finds nobody there and ends.
        self.sources.clear();
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::error!("a thread that decodes images panicked");
            }
        }
    }
}

fn work(
    images: &Images,
    order: &[usize],
    batching: Batching,
    numbers: impl Iterator<Item = usize>,
    to: &SyncSender<Result<Batch, DataError>>,
) {
    let mut buffers = Buffers::default();
    for number in numbers {
        let size = batching.size.get();
        let samples = order.iter().copied().skip(number * size).take(size).collect();
        let batch = make(images, samples, batching.views, &mut buffers);
        let failed = batch.is_err();
        if to.send(batch).is_err() || failed {
            return;
        }
    }
}

fn make(images: &Images, samples: Vec<usize>, views: Views, buffers: &mut Buffers) -> Result<Batch, DataError> {
    let [a, b, c] = images.shape();
    let mut inputs = vec![0.0; samples.len() * images.elements()];
    for (sample, out) in samples.iter().zip(inputs.chunks_exact_mut(images.elements())) {
        let variation = match views {
            Views::Plain => Variation::Plain,
            Views::Augmented { augment, seed, view } => Variation::View(augment.view(seed, view, *sample)),
            Views::Corrupted { corruption, seed } => Variation::Corrupted { corruption, seed },
        };
        images.tensor(*sample, variation, buffers, out)?;
    }
    let labels = samples.iter().map(|sample| images.label(*sample)).collect::<Result<_, _>>()?;
    Ok(Batch { inputs, shape: [samples.len(), a, b, c], labels, samples })
}
