//! Encoded images of queued requests and the pool that decodes them ahead of their batch.
//!
//! The queue holds compressed bytes; at most two batches' worth is decoded ahead while the previous batch runs, so a
//! long queue of large frames costs kilobytes each, not megabytes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;

use takt_image::ImageStatistics;

use super::buffer::AlignedBuffer;
use crate::error::InferError;

/// Turns encoded images into rows of a model's input tensor.
pub trait ImageDecoder: Send + Sync {
    /// Bytes of one row.
    fn row_bytes(&self) -> usize;

    /// Decodes, resizes and normalises one image into `row`, which is aligned to 8 and [`Self::row_bytes`] long. Takes its
    /// figures on the way where `measure` says so.
    ///
    /// # Errors
    /// The image is unusable; says what was found and what is accepted.
    fn decode(&self, encoded: &[u8], row: &mut [u8], measure: bool) -> Result<Option<ImageStatistics>, InferError>;
}

/// One encoded image on its way to a row of pixels. Whoever claims it first decodes it.
pub struct ImageSlot {
    decoder: Arc<dyn ImageDecoder>,
    measure: bool,
    /// What came; shared with the message it came in, which lives as long.
    encoded: Bytes,
    state: Mutex<SlotState>,
    done: Condvar,
}

enum SlotState {
    Encoded,
    Claimed,
    Decoded(AlignedBuffer, Option<ImageStatistics>),
    Failed(InferError),
}

impl ImageSlot {
    /// A slot that nobody has claimed. `measure` asks for figures of the image.
    #[must_use]
    pub fn new(decoder: Arc<dyn ImageDecoder>, encoded: Bytes, measure: bool) -> Self {
        let state = Mutex::new(SlotState::Encoded);
        Self { decoder, measure, encoded, state, done: Condvar::new() }
    }

    /// Decodes now if nobody else has begun; does not wait for one who has.
    pub fn decode_if_unclaimed(&self) {
        {
            let mut state = self.lock();
            if !matches!(*state, SlotState::Encoded) {
                return;
            }
            *state = SlotState::Claimed;
        }
        let mut row = AlignedBuffer::zeroed(self.decoder.row_bytes());
        let result = self.decoder.decode(&self.encoded, row.bytes_mut(), self.measure);
        *self.lock() = match result {
            Ok(figures) => SlotState::Decoded(row, figures),
            Err(error) => SlotState::Failed(error),
        };
        self.done.notify_all();
    }

    /// Waits for the decoded row and hands it to `use_row`.
    ///
    /// # Errors
    /// The decoder's error.
    pub fn with_row<R>(&self, use_row: impl FnOnce(&[u8]) -> R) -> Result<R, InferError> {
        self.decode_if_unclaimed();
        let mut state = self.lock();
        loop {
            match &*state {
                SlotState::Decoded(row, _) => return Ok(use_row(row.bytes())),
                SlotState::Failed(error) => return Err(error.clone()),
                SlotState::Encoded | SlotState::Claimed => {
                    state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Whether figures are asked for.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.measure
    }

    /// The image as it came.
    #[must_use]
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Figures of the decoded image; none before it is decoded or where they were not asked for.
    #[must_use]
    pub fn figures(&self) -> Option<ImageStatistics> {
        match &*self.lock() {
            SlotState::Decoded(_, figures) => *figures,
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads that decode images ahead, shared by all models.
pub struct DecodePool {
    work: Arc<Work>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Work {
    state: Mutex<WorkState>,
    wake: Condvar,
}

#[derive(Default)]
struct WorkState {
    slots: VecDeque<Arc<ImageSlot>>,
    closed: bool,
}

impl DecodePool {
    /// A pool of that many named threads.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let work = Arc::new(Work { state: Mutex::default(), wake: Condvar::new() });
        let threads = (0..threads.max(1))
            .map(|index| {
                let work = Arc::clone(&work);
                std::thread::Builder::new().name(format!("takt-decode-{index}")).spawn(move || {
                    while let Some(slot) = work.next() {
                        slot.decode_if_unclaimed();
                    }
                })
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Self { work, threads: Mutex::new(threads) })
    }

    /// Queues slots for decoding; the caller bounds how many.
    pub fn submit(&self, slots: impl IntoIterator<Item = Arc<ImageSlot>>) {
        let mut state = self.work.lock();
        let before = state.slots.len();
        state.slots.extend(slots);
        match state.slots.len() - before {
            0 => {}
            1 => self.work.wake.notify_one(),
            _ => self.work.wake.notify_all(),
        }
    }
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, WorkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Arc<ImageSlot>> {
        let mut state = self.lock();
        loop {
            if let Some(slot) = state.slots.pop_front() {
                return Some(slot);
            }
            if state.closed {
                return None;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for DecodePool {
    fn drop(&mut self) {
        self.work.lock().closed = true;
        self.work.wake.notify_all();
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = thread.join();
        }
    }
}
