//! The queue of one version shared between the requests that wait and the instance threads that run.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::config::BatchConfig;
use super::images::{DecodePool, ImageSlot};
use super::job::{Job, Payload, Reply, Ticket};
use super::queue::{Batch, CloseReason, Expiry, Full, Meta, Queue, Step};
use crate::error::{ErrorKind, InferError};
use crate::request::StageTimes;
use crate::telemetry::stats::VersionStats;

/// Queue, settings and health of one loaded version.
pub struct Batcher {
    label: String,
    config: BatchConfig,
    state: Mutex<State>,
    wake: Condvar,
    stats: Arc<VersionStats>,
    decode: Arc<DecodePool>,
    /// Moving average of the run time in nanoseconds.
    run_estimate: AtomicU64,
    /// Instances whose session works.
    healthy: AtomicUsize,
    /// Runs so far, failed ones too.
    runs: AtomicU64,
}

struct State {
    queue: Queue<Job>,
    phase: Phase,
    /// Images of queued requests that were handed to the decode pool.
    ahead: usize,
    /// Images of queued requests, handed over or not.
    images: usize,
}

impl State {
    /// Requests with that many images have left the queue.
    fn left(&mut self, images: usize) {
        self.ahead = self.ahead.saturating_sub(images);
        self.images = self.images.saturating_sub(images);
    }
}

/// Whether requests are taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No new request; what waits still runs.
    Draining,
}

/// A job that was not queued.
#[derive(Debug)]
pub enum Refusal {
    /// The version drains; another one may serve by now.
    Draining,
    /// It cannot be queued.
    Error(InferError),
}

impl Batcher {
    /// An empty queue. `label` names model and version in messages.
    #[must_use]
    pub fn new(label: String, config: BatchConfig, stats: Arc<VersionStats>, decode: Arc<DecodePool>) -> Self {
        Self {
            label,
            state: Mutex::new(State { queue: Queue::new(config.clone()), phase: Phase::Open, ahead: 0, images: 0 }),
            config,
            wake: Condvar::new(),
            stats,
            decode,
            run_estimate: AtomicU64::new(0),
            healthy: AtomicUsize::new(0),
            runs: AtomicU64::new(0),
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &BatchConfig {
        &self.config
    }

    /// Counters of the version.
    #[must_use]
    pub fn stats(&self) -> &VersionStats {
        &self.stats
    }

    /// Name of model and version, for messages.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether at least one instance can run.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed) > 0
    }

    /// The number of a run that has just been.
    pub(super) fn next_run(&self) -> u64 {
        self.runs.fetch_add(1, Relaxed)
    }

    /// Whether nothing waits: a run for which nobody waits may be squeezed in.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.stats.pending.load(Relaxed) <= 0
    }

    pub(super) fn instance_up(&self) {
        self.healthy.fetch_add(1, Relaxed);
    }

    /// An instance's session broke. When it was the last one, what waits is answered, since nothing can run it soon.
    pub(super) fn instance_down(&self, why: &str) {
        if self.healthy.fetch_sub(1, Relaxed) == 1 {
            let waiting = {
                let mut state = self.lock();
                state.ahead = 0;
                state.images = 0;
                state.queue.take_all()
            };
            for (job, _) in waiting {
                self.answer(job, Err(self.unready(why)));
            }
        }
    }

    fn unready(&self, why: &str) -> InferError {
        InferError::new(
            ErrorKind::Unavailable,
            format!("{} is not ready: its session failed ({why}) and is being rebuilt; try again shortly", self.label),
        )
    }

    /// Queues a job.
    ///
    /// # Errors
    /// [`Refusal`] when the queue is full, no instance works, or the version drains.
    pub fn submit(&self, job: Job, meta: Meta) -> Result<(), (Job, Refusal)> {
        if !self.is_healthy() {
            let refusal = Refusal::Error(self.unready("see the log"));
            return Err((job, refusal));
        }
        let mut state = self.lock();
        if state.phase == Phase::Draining {
            return Err((job, Refusal::Draining));
        }
        let images = job.images().count();
        match state.queue.push(job, meta) {
            Ok(()) => {
                state.images += images;
                self.stats.pending.fetch_add(1, Relaxed)
            }
            Err(Full(job)) => {
                let waiting = state.queue.len();
                drop(state);
                let message = format!(
                    "Exceeds maximum queue size: {waiting} requests wait for {} (limit {}); send fewer at a time, or raise \
                     batching.max_queue",
                    self.label, self.config.max_queue
                );
                return Err((job, Refusal::Error(InferError::new(ErrorKind::QueueFull, message))));
            }
        };
        let ahead = self.claim_ahead(&mut state);
        drop(state);
        self.wake.notify_one();
        self.decode.submit(ahead);
        Ok(())
    }

    /// Images to decode ahead, in queue order, at most two batches' worth at a time.
    fn claim_ahead(&self, state: &mut State) -> Vec<Arc<ImageSlot>> {
        let limit = 2 * self.config.max_batch_size.max(1);
        if state.ahead >= limit.min(state.images) {
            return Vec::new();
        }
        let images = state.queue.iter().flat_map(|(job, _)| job.images()).skip(state.ahead).take(limit - state.ahead);
        let ahead: Vec<_> = images.cloned().collect();
        state.ahead += ahead.len();
        ahead
    }

    /// Waits for the next batch; `None` when the version has drained. Only requests that nobody withdrew are in it.
    pub(super) fn next_batch(&self) -> Option<Batch<Job>> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            for (job, expiry) in state.queue.expire(now) {
                state.left(job.images().count());
                self.answer(job, Err(self.expired(expiry)));
            }
            let estimate = Duration::from_nanos(self.run_estimate.load(Relaxed));
            let draining = state.phase == Phase::Draining;
            match state.queue.next(now, estimate, draining) {
                Step::Run(mut batch) => {
                    let images = batch.items.iter().flat_map(|(job, _)| job.images()).count();
                    state.left(images);
                    let ahead = self.claim_ahead(&mut state);
                    let more = !state.queue.is_empty();
                    drop(state);
                    self.stats.pending.fetch_sub(batch.items.len() as i64, Relaxed);
                    self.decode.submit(ahead);
                    if more {
                        self.wake.notify_one();
                    }
                    batch.items.retain(|(job, _)| job.ticket.take());
                    batch.rows = batch.items.iter().map(|(_, meta)| meta.rows).sum();
                    if !batch.items.is_empty() {
                        return Some(batch);
                    }
                    state = self.lock();
                }
                Step::WaitUntil(at) => {
                    let timeout = at.saturating_duration_since(now);
                    state = self.wake.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0;
                }
                Step::Idle if draining => return None,
                Step::Idle => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    pub(super) fn ran(&self, rows: usize, padded: usize, reason: CloseReason, times: &StageTimes, alone: bool) {
        self.stats.executed(rows, padded, reason, times);
        if alone {
            self.stats.run_times.add(padded, times.infer);
        }
        let run = u64::try_from(times.infer.as_nanos()).unwrap_or(u64::MAX);
        let old = self.run_estimate.load(Relaxed);
        let new = if old == 0 { run } else { old - old / 8 + run / 8 };
        self.run_estimate.store(new, Relaxed);
    }

    fn answer(&self, job: Job, reply: Reply) {
        self.stats.pending.fetch_sub(1, Relaxed);
        if job.ticket.take() {
            // The waiter may be gone; then nobody wants the answer.
            let _ = job.reply.send(reply);
        }
    }

    /// The error of a request that waited too long.
    #[must_use]
    pub fn expired(&self, expiry: Expiry) -> InferError {
        match expiry {
            Expiry::Timeout => InferError::new(
                ErrorKind::QueueTimeout,
                format!("Request timeout expired: it waited for {} longer than its queue timeout", self.label),
            ),
            Expiry::Deadline => InferError::new(
                ErrorKind::DeadlineExceeded,
                format!("deadline passed while the request waited for {}; it did not run", self.label),
            ),
        }
    }

    fn too_late(&self) -> InferError {
        let message = format!("deadline passed while the request ran on {}; its answer is discarded", self.label);
        InferError::new(ErrorKind::DeadlineExceeded, message)
    }

    /// Stops taking in requests; instance threads end once what waits has run.
    pub fn drain(&self) {
        self.lock().phase = Phase::Draining;
        self.wake.notify_all();
    }

    /// Whether [`Batcher::drain`] was called.
    pub(super) fn is_draining(&self) -> bool {
        self.lock().phase == Phase::Draining
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Its encoded images, in row order.
    pub fn images(&self) -> impl Iterator<Item = &Arc<ImageSlot>> {
        self.inputs.iter().flat_map(|payload| match payload {
            Payload::Images(slots) => slots.as_slice(),
            Payload::Raw(_) => &[],
        })
    }
}

/// Waits for the reply to a queued job, no longer than its limits; then it never runs.
///
/// Dropping the future withdraws the request.
///
/// # Errors
/// The reply's error, the queue timeout, or the deadline.
pub async fn wait(
    batcher: &Batcher,
    ticket: Arc<Ticket>,
    mut reply: oneshot::Receiver<Reply>,
    expires: Option<Instant>,
    deadline: Option<Instant>,
) -> Reply {
    let guard = WithdrawOnDrop(&ticket);
    let limit = match (expires, deadline) {
        (Some(expires), Some(deadline)) if deadline < expires => Some((deadline, Expiry::Deadline)),
        (Some(expires), _) => Some((expires, Expiry::Timeout)),
        (None, Some(deadline)) => Some((deadline, Expiry::Deadline)),
        (None, None) => None,
    };
    let received = match limit {
        None => (&mut reply).await,
        Some((at, expiry)) => match tokio::time::timeout_at(at.into(), &mut reply).await {
            Ok(received) => received,
            Err(_) if ticket.withdraw() => return Err(batcher.expired(expiry)),
            // It runs already: its answer is worth waiting for, as long as the client does.
            Err(_) => match deadline {
                None => reply.await,
                Some(deadline) => match tokio::time::timeout_at(deadline.into(), reply).await {
                    Ok(received) => received,
                    Err(_) => return Err(batcher.too_late()),
                },
            },
        },
    };
    drop(guard);
    received.unwrap_or_else(|_| {
        Err(InferError::new(
            ErrorKind::Unavailable,
            format!("{} was unloaded before the request ran; send it again", batcher.label),
        ))
    })
}

struct WithdrawOnDrop<'a>(&'a Ticket);

impl Drop for WithdrawOnDrop<'_> {
    fn drop(&mut self) {
        let _ = self.0.withdraw();
    }
}
