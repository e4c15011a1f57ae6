//! A histogram in constant memory over data whose extent is not known before: where a value falls outside, pairs of bins
//! merge until it fits.

use super::Range;

/// Bins on each side of zero.
const HALF: usize = 2048;

/// How often a tensor takes which values. Exact zeros are counted apart: after a ReLU they are many, and every grid has
/// them.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// Bin `HALF + k` counts values in `[k * width, (k + 1) * width)`.
    bins: Vec<u64>,
    /// 0 as long as there are zeros only.
    width: f32,
    range: Range,
    zeros: u64,
    count: u64,
    finite: bool,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: vec![0; 2 * HALF], width: 0.0, range: Range::default(), zeros: 0, count: 0, finite: true }
    }
}

impl Histogram {
    /// Counts `values`.
    pub fn add(&mut self, values: &[f32]) {
        let seen = values
            .iter()
            .fold(Range::default(), |seen, &value| Range { min: seen.min.min(value), max: seen.max.max(value) });
        if !seen.bound().is_finite() || values.iter().any(|value| value.is_nan()) {
            self.finite = false;
            return;
        }
        self.range = self.range.with(seen);
        self.reach(seen.bound());
        self.count += values.len() as u64;
        if self.width == 0.0 {
            self.zeros += values.len() as u64;
            return;
        }
        let inverse = 1.0 / self.width;
        for &value in values {
            if value == 0.0 {
                self.zeros += 1;
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "within the bins, which reach as far as the values")]
            let bin = (value * inverse).floor() as isize;
            let at = HALF.saturating_add_signed(bin).min(2 * HALF - 1);
            self.bins[at] += 1;
        }
    }

    /// Least and largest value, exactly; with 0.
    #[must_use]
    pub const fn range(&self) -> Range {
        self.range
    }

    /// Whether all values were finite numbers.
    #[must_use]
    pub const fn is_finite(&self) -> bool {
        self.finite
    }

    /// Number of values.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Centres and counts of the bins that are not empty, in rising order; without the zeros.
    pub fn bins(&self) -> impl Iterator<Item = (f32, u64)> {
        let filled = self.bins.iter().enumerate().filter(|&(_, &count)| count > 0);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        filled.map(|(at, &count)| ((at as f32 - HALF as f32 + 0.5) * self.width, count))
    }

    /// The values below which `share` and above which `share` of all lie, to the width of a bin.
    #[must_use]
    pub fn without_tails(&self, share: f64) -> Range {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let outside = (share * self.count as f64).floor() as u64;
        let half = self.width / 2.0;
        let end = |bins: &mut dyn Iterator<Item = (f32, u64)>| {
            let mut left = outside;
            for (centre, count) in bins {
                match left.checked_sub(count) {
                    Some(rest) => left = rest,
                    None => return centre,
                }
            }
            0.0
        };
        let filled: Vec<_> = self.bins().collect();
        let min = end(&mut filled.iter().copied().take_while(|&(centre, _)| centre < 0.0)) - half;
        let max = end(&mut filled.iter().rev().copied().take_while(|&(centre, _)| centre > 0.0)) + half;
        // A side without a value left ends at 0 rather than half a bin beyond it.
        Range { min: min.min(0.0).max(self.range.min), max: max.max(0.0).min(self.range.max) }
    }

    /// Makes bins wide enough for `bound`. Widths are powers of two, so that merged bins keep their borders exactly.
    fn reach(&mut self, bound: f32) {
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let half = HALF as f32;
        if bound > 0.0 && self.width == 0.0 {
            self.width = (bound / half).max(1e-30).log2().floor().exp2();
        }
        while bound >= self.width * half && self.width > 0.0 {
            self.width *= 2.0;
            // Towards zero from both sides, so that no bin is read after it was written.
            let pair = |at: usize, bins: &[u64]| bins[at] + bins[at + 1];
            let merged: Vec<u64> = (0..HALF).map(|at| pair(2 * at, &self.bins)).collect();
            self.bins.fill(0);
            self.bins[HALF / 2..HALF / 2 + HALF].copy_from_slice(&merged);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn growing_keeps_every_count_and_sign() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.0, 0.001, -0.001]);
        histogram.add(&[1000.0, -0.5]);
        assert_eq!(histogram.range(), Range { min: -0.5, max: 1000.0 });
        assert_eq!((histogram.count(), histogram.zeros), (5, 1));
        let negative: u64 = histogram.bins().filter(|&(centre, _)| centre < 0.0).map(|(_, count)| count).sum();
        assert_eq!((negative, histogram.bins().map(|(_, count)| count).sum::<u64>()), (2, 4));
    }

    /// `numpy.percentile(numpy.arange(1, 10001), 99.9)` is 9990.001.
    #[test]
    fn tails_are_cut_where_numpy_has_the_percentile() {
        let mut histogram = Histogram::default();
        let values: Vec<f32> = (1..=10_000_u16).map(f32::from).collect();
        histogram.add(&values);
        let range = histogram.without_tails(0.001);
        assert!((range.max - 9990.0).abs() <= histogram.width, "{range:?}");
        assert_eq!(range.min, 0.0);
        assert_eq!(histogram.without_tails(0.0).max, 10_000.0);
    }

    #[test]
    fn numbers_that_are_none_are_told() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut histogram = Histogram::default();
            histogram.add(&[1.0, bad]);
            assert!(!histogram.is_finite());
        }
    }

    proptest! {
        #[test]
        fn batches_and_their_order_do_not_matter(mut values in prop::collection::vec(-1e3_f32..1e3, 1..200), cut in 0_usize..200) {
            let mut whole = Histogram::default();
            whole.add(&values);
            let cut = cut.min(values.len());
            values.rotate_left(cut);
            let mut parts = Histogram::default();
            values.chunks(7).for_each(|part| parts.add(part));
            prop_assert_eq!(whole.range(), parts.range());
            prop_assert_eq!(whole.width, parts.width);
            prop_assert_eq!(whole.bins, parts.bins);
        }
    }
}
