//! How long an object waits whose look failed, or found nothing to do: twice as long each time, up to a limit, and never all at
//! once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Looks in a row that came to nothing, by object.
#[derive(Debug)]
pub struct Backoff {
    times: Mutex<HashMap<String, u32>>,
    random: RandomState,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// From the first wait to the longest.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { times: Mutex::default(), random: RandomState::new(), first, longest }
    }

    /// Once more it came to nothing: how long to wait.
    pub fn wait(&self, object: &str) -> Duration {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let count = times.entry(object.to_owned()).or_default();
        let times = *count;
        *count = count.saturating_add(1);
        let whole = self.first.saturating_mul(1_u32.checked_shl(times.min(20)).unwrap_or(u32::MAX)).min(self.longest);
        // Between a half and all of it: who waits together looks again apart.
        let share = f64::from(u16::try_from(self.random.hash_one((object, times)) >> 48).unwrap_or(0)) / 65_536.0;
        whole.mul_f64(0.5 + share / 2.0)
    }

    /// It came to something.
    pub fn forget(&self, object: &str) {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_differ_by_object_and_end_with_success() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        let waits: Vec<Duration> = (0..12).map(|_| backoff.wait("a")).collect();
        for (times, wait) in waits.iter().enumerate() {
            let whole = Duration::from_millis(500 << times).min(Duration::from_secs(60));
            assert!(*wait >= whole / 2 && *wait <= whole, "{times}: {wait:?}");
        }
        let firsts: std::collections::BTreeSet<Duration> = (0..50).map(|i| backoff.wait(&i.to_string())).collect();
        assert!(firsts.len() > 40, "jitter");
        backoff.forget("a");
        assert!(backoff.wait("a") <= Duration::from_millis(500));
    }
}
