//! Failed runs, each counted once however many requests were in it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Failed runs that are remembered, so that the requests of one run count once.
const REMEMBERED: usize = 64;

/// Counts independent failures.
#[derive(Debug, Default)]
pub struct FailedRuns {
    count: AtomicU64,
    seen: Mutex<VecDeque<u64>>,
}

impl FailedRuns {
    /// Counts a failure, once per run where it was one of a run. Returns whether it is a new one.
    pub fn add(&self, run: Option<u64>) -> bool {
        if let Some(run) = run {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.contains(&run) {
                return false;
            }
            seen.push_back(run);
            if seen.len() > REMEMBERED {
                seen.pop_front();
            }
        }
        self.count.fetch_add(1, Relaxed);
        true
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_failed_run_are_one_failure() {
        let runs = FailedRuns::default();
        assert!(runs.add(Some(7)));
        assert!(!runs.add(Some(7)));
        assert!(runs.add(Some(8)) && runs.add(None) && runs.add(None));
        assert_eq!(runs.count(), 4);
    }
}
