//! How long an object whose look failed waits: twice as long each time, up to a limit, and never all at once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Failures in a row, by object.
#[derive(Debug)]
pub struct Backoff {
    failures: Mutex<HashMap<String, u32>>,
    random: RandomState,
    first: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            failures: Mutex::default(),
            random: RandomState::new(),
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// It failed once more: how long to wait.
    pub fn failed(&self, object: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(object.to_owned()).or_default();
        let times = *count;
        *count = count.saturating_add(1);
        let whole = self.first.saturating_mul(1_u32.checked_shl(times.min(20)).unwrap_or(u32::MAX)).min(self.longest);
        // Between a half and all of it: who failed together tries again apart.
        let share = f64::from(u16::try_from(self.random.hash_one((object, times)) >> 48).unwrap_or(0)) / 65_536.0;
        whole.mul_f64(0.5 + share / 2.0)
    }

    /// It went well.
    pub fn forget(&self, object: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_differ_by_object_and_end_with_success() {
        let backoff = Backoff::default();
        let waits: Vec<Duration> = (0..12).map(|_| backoff.failed("a")).collect();
        for (times, wait) in waits.iter().enumerate() {
            let whole = Duration::from_millis(500 << times).min(Duration::from_secs(60));
            assert!(*wait >= whole / 2 && *wait <= whole, "{times}: {wait:?}");
        }
        let firsts: std::collections::BTreeSet<Duration> = (0..50).map(|i| backoff.failed(&i.to_string())).collect();
        assert!(firsts.len() > 40, "jitter");
        backoff.forget("a");
        assert!(backoff.failed("a") <= Duration::from_millis(500));
    }
}
