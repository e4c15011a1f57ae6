//! How long runs take, by size of the batch. Versions are compared size by size: in a rollout their batches differ because
//! their shares do.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// Classes of batch sizes: 1, 2, 3 to 4, 5 to 8, ... and above 64.
pub const SIZES: usize = 8;
/// Bins within one doubling of time; a bin is 6 % wide.
const PER_OCTAVE: u32 = 16;
/// Microseconds from 16 up to 2^27 (134 s).
const OCTAVES: u32 = 23;
const FIRST_OCTAVE: u32 = 4;
const BINS: usize = (PER_OCTAVE * OCTAVES) as usize;

/// Histograms of run times, one per class of batch sizes. Counting is one relaxed add.
#[derive(Debug)]
pub struct RunTimes {
    bins: Box<[[AtomicU32; BINS]; SIZES]>,
}

/// A bin of [`RunTimes`]: runs in it and above are counted as slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bin(usize);

impl Default for RunTimes {
    fn default() -> Self {
        Self { bins: Box::new(std::array::from_fn(|_| std::array::from_fn(|_| AtomicU32::new(0)))) }
    }
}

impl RunTimes {
    /// Counts one run of that many rows.
    pub fn add(&self, rows: usize, time: Duration) {
        self.bins[size_class(rows)][bin(time).0].fetch_add(1, Relaxed);
    }

    /// Runs of that class of sizes, and those of them that took `tau` or longer.
    #[must_use]
    pub fn slow(&self, size: usize, tau: Duration) -> (u64, u64) {
        let from = bin(tau).0;
        let count = |bins: &[AtomicU32]| bins.iter().map(|bin| u64::from(bin.load(Relaxed))).sum::<u64>();
        let Some(bins) = self.bins.get(size) else { return (0, 0) };
        let (below, above) = bins.split_at(from);
        let slow = count(above);
        (count(below) + slow, slow)
    }

    /// The time that a share `quantile` of the runs of that class stays below: the lower edge of the first bin that at most
    /// `1 - quantile` of them lie in or above. `None` before there were `least` of them.
    #[must_use]
    pub fn quantile(&self, size: usize, quantile: f64, least: u64) -> Option<Duration> {
        let bins = self.bins.get(size)?;
        let total: u64 = bins.iter().map(|bin| u64::from(bin.load(Relaxed))).sum();
        if total < least.max(1) {
            return None;
        }
        let wanted = quantile * total as f64;
        let mut below = 0;
        for (index, bin) in bins.iter().enumerate() {
            if below as f64 >= wanted {
                return Some(lower_edge(index));
            }
            below += u64::from(bin.load(Relaxed));
        }
        Some(lower_edge(BINS))
    }
}

fn size_class(rows: usize) -> usize {
    (rows.max(1).next_power_of_two().trailing_zeros() as usize).min(SIZES - 1)
}

/// The octave by the leading bit, the place in it by the next four.
fn bin(time: Duration) -> Bin {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1 << FIRST_OCTAVE);
    let octave = micros.ilog2();
    let place = (micros >> (octave - FIRST_OCTAVE)) & u64::from(PER_OCTAVE - 1);
    let index = (octave - FIRST_OCTAVE) as usize * PER_OCTAVE as usize + place as usize;
    Bin(index.min(BINS - 1))
}

fn lower_edge(index: usize) -> Duration {
    let (octave, place) = (index as u32 / PER_OCTAVE, index as u64 % u64::from(PER_OCTAVE));
    Duration::from_micros((u64::from(PER_OCTAVE) + place) << octave)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn slow_runs_are_those_above_the_stables_own_quantile() {
        let times = RunTimes::default();
        (0..1000).for_each(|run| times.add(4, micros(1000 + run)));
        let tau = times.quantile(2, 0.99, 500).unwrap();
        assert!((micros(1900)..micros(2100)).contains(&tau), "{tau:?}");
        let (runs, slow) = times.slow(2, tau);
        assert!(runs == 1000 && slow <= 10, "{slow} of {runs}");
        assert_eq!(times.slow(0, tau), (0, 0));
        assert_eq!((times.quantile(2, 0.99, 1001), times.quantile(0, 0.5, 0)), (None, None));
    }

    #[test]
    fn sizes_fall_into_their_classes() {
        assert_eq!([0, 1, 2, 3, 4, 5, 8, 64, 65, 9999].map(size_class), [0, 0, 1, 2, 2, 3, 3, 6, 7, 7]);
    }

    proptest! {
        #[test]
        fn a_bin_holds_its_time_and_is_six_percent_wide(time in 16u64..120_000_000) {
            let Bin(index) = bin(micros(time));
            let (low, high) = (lower_edge(index), lower_edge(index + 1));
            prop_assert!(low <= micros(time) && micros(time) < high);
            prop_assert!(high.as_secs_f64() <= low.as_secs_f64() * 1.0626);
            prop_assert_eq!(bin(low), Bin(index));
        }
    }
}
