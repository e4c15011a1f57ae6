//! Settings of a model's queue and batcher, already validated.

use std::time::Duration;

/// What happens to a request whose queue timeout passes before it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeoutAction {
    /// It is answered with "Request timeout expired" and never runs.
    #[default]
    Reject,
    /// It falls behind all requests that are still in time, and runs when they have.
    Delay,
}

/// Whether requests of different clients share a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// As Triton without `dynamic_batching`: a request runs as it came.
    Never,
    /// Dynamic batching.
    Dynamic,
}

/// How requests of one model wait and are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchConfig {
    /// Largest number of rows in one run; 0 where the model has no batch dimension and every request runs alone.
    pub max_batch_size: usize,
    /// Whether requests share a run.
    pub joining: Joining,
    /// Sizes at which a batch closes without waiting for more, ascending; empty means only `max_batch_size`.
    pub preferred_sizes: Vec<usize>,
    /// The only sizes the session may see, ascending, the last equal to `max_batch_size`; a smaller batch is padded up
    /// to the next. Empty means every size is fine.
    pub allowed_sizes: Vec<usize>,
    /// How long the oldest request may wait for company.
    pub max_delay: Duration,
    /// Requests that may wait; one more is refused at once. 0 means no limit of its own (in-flight bytes still bound it).
    pub max_queue: usize,
    /// Queue timeout of a request that names none; `None` means it may wait for ever.
    pub default_timeout: Option<Duration>,
    /// Whether a request's own `timeout` counts.
    pub allow_timeout_override: bool,
    /// What happens at the timeout.
    pub timeout_action: TimeoutAction,
    /// Number of priorities, 1 (first) to this; at least 1.
    pub priority_levels: u32,
    /// Priority of a request that names none (0), within 1 to `priority_levels`.
    pub default_priority: u32,
}

impl Default for BatchConfig {
    /// No joining of requests: each runs alone, at once.
    fn default() -> Self {
        Self {
            max_batch_size: 0,
            joining: Joining::Dynamic,
            preferred_sizes: Vec::new(),
            allowed_sizes: Vec::new(),
            max_delay: Duration::ZERO,
            max_queue: 1024,
            default_timeout: None,
            allow_timeout_override: true,
            timeout_action: TimeoutAction::Reject,
            priority_levels: 1,
            default_priority: 1,
        }
    }
}
