//! How long to wait before a dead worker is replaced. Pure.

use std::time::Duration;

/// The first wait that is one.
pub(super) const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// A worker that lived less makes the next wait longer.
const TOO_SHORT: Duration = Duration::from_secs(10);
/// A worker that lived this long has nothing to do with the deaths before it.
const HEALTHY: Duration = Duration::from_secs(60);

/// Not at all after the first death; then 100 ms, doubling up to 5 s, while workers die young.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The wait after the death of a worker that lived this long.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        let wait = match self.last {
            None => Duration::ZERO,
            Some(_) if lived >= HEALTHY => Duration::ZERO,
            Some(last) if lived < TOO_SHORT => (last * 2).clamp(FIRST, LONGEST),
            Some(last) => last,
        };
        self.last = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(lives: &[u64]) -> Vec<u128> {
        let mut backoff = Backoff::default();
        let wait = |&seconds| backoff.after(Duration::from_secs(seconds)).as_millis();
        lives.iter().map(wait).collect()
    }

    #[test]
    fn the_first_death_is_answered_at_once_and_a_crash_loop_ever_later_up_to_five_seconds() {
        assert_eq!(waits(&[0; 9]), [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(waits(&[3600, 1]), [0, 100]);
    }

    #[test]
    fn a_healthy_life_starts_over() {
        assert_eq!(waits(&[1, 1, 1, 60, 1]), [0, 100, 200, 0, 100]);
    }

    #[test]
    fn a_life_neither_short_nor_healthy_keeps_the_wait() {
        assert_eq!(waits(&[1, 1, 10, 59, 1]), [0, 100, 100, 100, 200]);
    }
}
