//! The queue of one model version and the policy that closes batches. Pure: no clock, no threads, no I/O.
//!
//! A batch is always a prefix of the queue's order (priority, then arrival), so nothing overtakes within a priority.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::config::{BatchConfig, Joining, TimeoutAction};

/// What the policy needs to know of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Rows it adds to a batch; at least 1.
    pub rows: usize,
    /// 1 (first) to [`BatchConfig::priority_levels`].
    pub priority: u32,
    /// Requests share a batch only when this is equal (a hash of the shapes behind the batch dimension).
    pub shape: u64,
    /// When it was queued.
    pub arrived: Instant,
    /// When its queue timeout passes.
    pub expires: Option<Instant>,
    /// When the client stops waiting.
    pub deadline: Option<Instant>,
}

/// Why a batch was closed; a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// It is full, the next request does not fit in, or none may.
    Size,
    /// It has one of the preferred sizes.
    Preferred,
    /// The oldest request has waited for the maximum delay.
    Delay,
    /// A request would miss its deadline by waiting on.
    Deadline,
    /// The next request has another shape.
    Shape,
    /// The version drains.
    Drain,
}

impl CloseReason {
    /// Every reason, for declaring metric labels.
    pub const ALL: [Self; 6] = [Self::Size, Self::Preferred, Self::Delay, Self::Deadline, Self::Shape, Self::Drain];

    /// Stable label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Preferred => "preferred",
            Self::Delay => "delay",
            Self::Deadline => "deadline",
            Self::Shape => "shape",
            Self::Drain => "drain",
        }
    }
}

/// Why a request left the queue without running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Its queue timeout passed.
    Timeout,
    /// The client's deadline passed.
    Deadline,
}

/// Requests that run together.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<T> {
    /// In queue order.
    pub items: Vec<(T, Meta)>,
    /// Sum of their rows.
    pub rows: usize,
    /// Why it was closed.
    pub reason: CloseReason,
}

/// What an idle instance should do.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Run this.
    Run(Batch<T>),
    /// Look again at that time, or when a request arrives.
    WaitUntil(Instant),
    /// Nothing waits.
    Idle,
}

/// A request that was not let in, with the reason that it is full.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// Waiting requests of one version, by priority.
#[derive(Debug)]
pub struct Queue<T> {
    config: BatchConfig,
    /// One level per priority, and last the requests whose timeout passed under [`TimeoutAction::Delay`].
    levels: Vec<VecDeque<(T, Meta)>>,
    len: usize,
    /// Earliest expiry or deadline of anything queued; may be early after removals, never late.
    next_expiry: Option<Instant>,
}

impl<T> Queue<T> {
    /// An empty queue.
    #[must_use]
    pub fn new(config: BatchConfig) -> Self {
        let levels = (0..=config.priority_levels.max(1)).map(|_| VecDeque::new()).collect();
        Self { config, levels, len: 0, next_expiry: None }
    }

    /// Number of waiting requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The settings it was made with.
    #[must_use]
    pub fn config(&self) -> &BatchConfig {
        &self.config
    }

    /// Waiting requests in the order in which they will run.
    pub fn iter(&self) -> impl Iterator<Item = &(T, Meta)> {
        self.levels.iter().flatten()
    }

    /// Appends a request to its priority.
    ///
    /// # Errors
    /// [`Full`] gives the request back when `max_queue` requests wait already.
    pub fn push(&mut self, item: T, meta: Meta) -> Result<(), Full<T>> {
        if self.config.max_queue > 0 && self.len >= self.config.max_queue {
            return Err(Full(item));
        }
        for limit in [meta.expires, meta.deadline].into_iter().flatten() {
            self.next_expiry = Some(self.next_expiry.map_or(limit, |at| at.min(limit)));
        }
        let last = self.levels.len() - 2;
        let level = (meta.priority.max(1) as usize - 1).min(last);
        self.levels[level].push_back((item, meta));
        self.len += 1;
        Ok(())
    }

    /// Takes out what may not run any more: deadlines that passed and, under [`TimeoutAction::Reject`], queue timeouts.
    /// Under [`TimeoutAction::Delay`] the latter move behind everything that is in time.
    pub fn expire(&mut self, now: Instant) -> Vec<(T, Expiry)> {
        if self.next_expiry.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut gone = Vec::new();
        let mut late = VecDeque::new();
        let late_level = self.levels.len() - 1;
        for (index, level) in self.levels.iter_mut().enumerate() {
            let mut kept = VecDeque::with_capacity(level.len());
            for (item, meta) in level.drain(..) {
                let passed = |limit: Option<Instant>| limit.is_some_and(|at| at <= now);
                if passed(meta.deadline) {
                    gone.push((item, Expiry::Deadline));
                } else if index != late_level && passed(meta.expires) {
                    match self.config.timeout_action {
                        TimeoutAction::Reject => gone.push((item, Expiry::Timeout)),
                        TimeoutAction::Delay => late.push_back((item, Meta { expires: None, ..meta })),
                    }
                } else {
                    kept.push_back((item, meta));
                }
            }
            *level = kept;
        }
        self.levels[late_level].append(&mut late);
        self.len -= gone.len();
        self.next_expiry =
            self.levels.iter().flatten().flat_map(|(_, meta)| [meta.expires, meta.deadline]).flatten().min();
        gone
    }

    /// Decides what an idle instance does now. `run_estimate` is how long a run takes, so that a batch closes before
    /// its earliest deadline can no longer be met. Call [`Queue::expire`] first.
    pub fn next(&mut self, now: Instant, run_estimate: Duration, draining: bool) -> Step<T> {
        let Some(prefix) = self.prefix() else { return Step::Idle };
        let verdict = if draining {
            Some((prefix.items, CloseReason::Drain))
        } else if let Some(reason) = prefix.stopped_by {
            Some((prefix.items, reason))
        } else if let Some(items) = prefix.preferred {
            Some((items, CloseReason::Preferred))
        } else if prefix.oldest + self.config.max_delay <= now {
            Some((prefix.items, CloseReason::Delay))
        } else if prefix.deadline.is_some_and(|at| at <= now + run_estimate) {
            Some((prefix.items, CloseReason::Deadline))
        } else {
            None
        };
        match verdict {
            Some((count, reason)) => Step::Run(self.take(count, reason)),
            None => {
                let mut until = prefix.oldest + self.config.max_delay;
                if let Some(close_by) = prefix.deadline.and_then(|at| at.checked_sub(run_estimate)) {
                    until = until.min(close_by);
                }
                Step::WaitUntil(self.next_expiry.map_or(until, |at| until.min(at)))
            }
        }
    }

    /// Everything that waits, in order; the queue is empty afterwards.
    pub fn take_all(&mut self) -> Vec<(T, Meta)> {
        self.len = 0;
        self.next_expiry = None;
        self.levels.iter_mut().flat_map(|level| level.drain(..)).collect()
    }

    /// The longest prefix that may share a batch.
    fn prefix(&self) -> Option<Prefix> {
        let limit = self.config.max_batch_size;
        let mut waiting = self.iter().map(|(_, meta)| meta);
        let first = waiting.next()?;
        let mut rows = first.rows;
        let mut prefix =
            Prefix { items: 1, oldest: first.arrived, deadline: first.deadline, stopped_by: None, preferred: None };
        let preferred = |rows: usize| self.config.preferred_sizes.contains(&rows);
        if preferred(rows) {
            prefix.preferred = Some(1);
        }
        if limit == 0 || rows >= limit || self.config.joining == Joining::Never {
            prefix.stopped_by = Some(CloseReason::Size);
            return Some(prefix);
        }
        for meta in waiting {
            if meta.shape != first.shape {
                prefix.stopped_by = Some(CloseReason::Shape);
                break;
            }
            if rows + meta.rows > limit {
                prefix.stopped_by = Some(CloseReason::Size);
                break;
            }
            rows += meta.rows;
            prefix.items += 1;
            prefix.oldest = prefix.oldest.min(meta.arrived);
            prefix.deadline = [prefix.deadline, meta.deadline].into_iter().flatten().min();
            if preferred(rows) {
                prefix.preferred = Some(prefix.items);
            }
            if rows == limit {
                prefix.stopped_by = Some(CloseReason::Size);
                break;
            }
        }
        Some(prefix)
    }

    fn take(&mut self, count: usize, reason: CloseReason) -> Batch<T> {
        let mut items = Vec::with_capacity(count);
        for level in &mut self.levels {
            let here = level.len().min(count - items.len());
            items.extend(level.drain(..here));
        }
        self.len -= items.len();
        if self.len == 0 {
            self.next_expiry = None;
        }
        let rows = items.iter().map(|(_, meta)| meta.rows).sum();
        Batch { items, rows, reason }
    }
}

/// What [`Queue::prefix`] found.
struct Prefix {
    /// Number of requests.
    items: usize,
    oldest: Instant,
    deadline: Option<Instant>,
    /// Why no further request can join; `None` when one still could.
    stopped_by: Option<CloseReason>,
    /// Number of requests that make the largest preferred size.
    preferred: Option<usize>,
}

/// The number of rows the session sees for a batch of `rows`: the next allowed size, or `rows` itself.
#[must_use]
pub fn padded_rows(config: &BatchConfig, rows: usize) -> usize {
    config.allowed_sizes.iter().copied().find(|&size| size >= rows).unwrap_or(rows)
}

#[cfg(test)]
mod tests;
