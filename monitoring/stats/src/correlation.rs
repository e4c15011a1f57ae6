//! How many frames it takes to see something new.

/// Below this autocorrelation observations count as independent.
pub const INDEPENDENT_BELOW: f64 = 0.1;

/// The autocorrelation of a series at a lag (Box and Jenkins 1976, section 2.1.5). `None` where the series is no longer
/// than the lag, constant or not finite.
#[must_use]
pub fn autocorrelation(series: &[f64], lag: usize) -> Option<f64> {
    let later = series.get(lag..).filter(|later| !later.is_empty())?;
    let mean = series.iter().sum::<f64>() / series.len() as f64;
    let variance: f64 = series.iter().map(|x| (x - mean).powi(2)).sum();
    let covariance: f64 = series.iter().zip(later).map(|(a, b)| (a - mean) * (b - mean)).sum();
    let correlation = covariance / variance;
    correlation.is_finite().then_some(correlation)
}

/// The decorrelation time: the smallest lag at which the autocorrelation is below [`INDEPENDENT_BELOW`]. Keep every so
/// many frames and the formulas for independent observations hold. `None` where no lag up to a quarter of the series is
/// that far; then only null panes help. A constant series has 1.
#[must_use]
pub fn decorrelation_time(series: &[f64]) -> Option<usize> {
    (1..=series.len() / 4).find(|&lag| autocorrelation(series, lag).is_none_or(|r| r < INDEPENDENT_BELOW))
}

/// What share of values with this lag-1 autocorrelation independent ones would be worth: all of them below
/// [`INDEPENDENT_BELOW`], else `(1 - r) / (1 + r)`, which holds for the mean of a first-order autoregressive series (Bayley and
/// Hammersley 1946). Shares of bins stray less than that mean, so it errs towards too few.
#[must_use]
pub fn independent_share(autocorrelation: f64) -> f64 {
    if autocorrelation < INDEPENDENT_BELOW { 1.0 } else { ((1.0 - autocorrelation) / (1.0 + autocorrelation)).max(0.0) }
}

/// Every `step`-th value, from the first on; a step of 0 counts as 1.
pub fn thin<T>(series: &[T], step: usize) -> impl Iterator<Item = &T> {
    series.iter().step_by(step.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_series_has_no_correlation_and_nothing_to_thin() {
        assert_eq!(autocorrelation(&[3.0; 10], 1), None);
        assert_eq!(decorrelation_time(&[3.0; 10]), Some(1));
        assert_eq!(autocorrelation(&[1.0, 2.0], 2), None);
    }

    #[test]
    fn alternation_is_anticorrelated() {
        let series: Vec<f64> = (0..1_000).map(|i| f64::from(i % 2)).collect();
        assert!((autocorrelation(&series, 1).unwrap() + 0.999).abs() < 1e-9);
        assert_eq!(decorrelation_time(&series), Some(1));
    }

    #[test]
    fn a_trend_never_decorrelates() {
        let series: Vec<f64> = (0..1_000).map(f64::from).collect();
        assert_eq!(decorrelation_time(&series), None);
    }

    #[test]
    fn values_that_follow_each_other_are_worth_less() {
        assert_eq!(independent_share(0.05), 1.0);
        assert!((independent_share(0.9) - 1.0 / 19.0).abs() < 1e-15);
        assert_eq!(independent_share(1.0), 0.0);
    }

    #[test]
    fn thinning_keeps_the_first() {
        assert_eq!(thin(&[1, 2, 3, 4, 5], 2).copied().collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(thin(&[1, 2], 0).count(), 2);
    }
}
