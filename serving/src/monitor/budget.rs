//! How often something may be done, decided by one atomic.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What was not used may be made up for within this time: cameras that one trigger fires come at once, and it must not
/// always be the first of them that is taken.
const SAVED: Duration = Duration::from_secs(1);

/// At most so many per second, on average over [`SAVED`] (Virtual Scheduling of ITU-T I.371).
#[derive(Debug)]
pub(super) struct Budget {
    begun: Instant,
    interval_ns: u64,
    /// Nanoseconds since `begun` from which the next is allowed.
    next: AtomicU64,
}

impl Budget {
    /// A budget; 0 per second is never.
    pub(super) fn per_second(rate: u32) -> Self {
        let interval_ns = 1_000_000_000_u64.checked_div(u64::from(rate)).unwrap_or(u64::MAX);
        Self { begun: Instant::now(), interval_ns, next: AtomicU64::new(if rate == 0 { u64::MAX } else { 0 }) }
    }

    /// Whether it may be done now; if so, it counts as done.
    pub(super) fn take(&self, now: Instant) -> bool {
        self.take_at(now.saturating_duration_since(self.begun))
    }

    fn take_at(&self, since: Duration) -> bool {
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let next = self.next.load(Relaxed);
        let due = next.max(now.saturating_sub(SAVED.as_nanos() as u64));
        // Who loses the race leaves it to the winner.
        due <= now && self.next.compare_exchange(next, due.saturating_add(self.interval_ns), Relaxed, Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_thinned_and_a_slow_line_is_not() {
        let budget = Budget::per_second(10);
        let taken = |times: &mut dyn Iterator<Item = u64>| {
            times.filter(|&ms| budget.take_at(Duration::from_millis(ms))).count()
        };
        assert_eq!(taken(&mut (0..1000)), 10);
        assert_eq!(taken(&mut (2000..12_000).step_by(1000)), 10);
    }

    #[test]
    fn cameras_of_one_trigger_are_all_taken() {
        let budget = Budget::per_second(20);
        let taken = |at: u64| (0..100).filter(|_| budget.take_at(Duration::from_secs(at))).count();
        assert_eq!([taken(10), taken(11), taken(60)], [21, 20, 21]);
    }

    #[test]
    fn nothing_is_never() {
        assert!(!Budget::per_second(0).take_at(Duration::from_secs(1 << 30)));
    }
}
