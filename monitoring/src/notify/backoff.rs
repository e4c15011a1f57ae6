//! How long to wait for a receiver that did not answer. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The wait after so many failures in a row: a second, doubling up to five minutes, of which `random` decides the second
/// half. A hundred boards whose receiver comes back do not all call at once.
#[must_use]
pub fn wait(failures: u32, random: u64) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).and_then(|times| FIRST.checked_mul(times));
    let whole = doubled.unwrap_or(LONGEST).min(LONGEST);
    let share = random as f64 / u64::MAX as f64;
    whole.mul_f64(0.5 + 0.5 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_chance_has_half_of_each() {
        let bounds = |failures| [0, u64::MAX].map(|random| wait(failures, random).as_millis());
        assert_eq!([1, 2, 3].map(bounds), [[500, 1000], [1000, 2000], [2000, 4000]]);
        assert_eq!(
            [9, 10, 33, u32::MAX].map(bounds),
            [[128_000, 256_000], [150_000, 300_000], [150_000, 300_000], [150_000, 300_000]]
        );
    }
}
