//! Errors and latency of a version over the window.

use std::collections::VecDeque;

use prometheus::core::Metric as _;
use takt_monitoring::alert::at_least;

use super::report::HealthReport;
use crate::error::ErrorKind;
use crate::telemetry::stats::VersionStats;

/// Failures that are the server's and not the request's.
const OURS: [ErrorKind; 8] = [
    ErrorKind::Unavailable,
    ErrorKind::QueueFull,
    ErrorKind::QueueTimeout,
    ErrorKind::DeadlineExceeded,
    ErrorKind::ResourceExhausted,
    ErrorKind::RunFailed,
    ErrorKind::BadOutput,
    ErrorKind::Internal,
];

/// Counters of a version at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reading {
    answered: u64,
    failed: u64,
    /// Upper edges in seconds and cumulative counts.
    latency: Vec<(f64, u64)>,
}

/// Readings at the ends of the last panes.
#[derive(Debug, Default)]
pub(super) struct Health(VecDeque<Reading>);

impl Health {
    /// Takes note of the counters at the end of a pane; `window` panes are looked back at.
    pub(super) fn seal(&mut self, stats: &VersionStats, window: usize) {
        self.0.push_back(read(stats));
        while self.0.len() > window + 1 {
            self.0.pop_front();
        }
    }

    /// What happened between the oldest reading and the newest.
    pub(super) fn report(&self) -> HealthReport {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return HealthReport::default() };
        // Before the window was full, everything since the version was loaded counts.
        let none = Reading::default();
        let first = if self.0.len() > 1 { first } else { &none };
        let (answered, failed) = (last.answered - first.answered, last.failed - first.failed);
        let before = |edge: usize| first.latency.get(edge).map_or(0, |(_, count)| *count);
        let latency: Vec<_> =
            last.latency.iter().enumerate().map(|(i, &(edge, count))| (edge, count - before(i))).collect();
        HealthReport {
            answered,
            failed,
            error_rate: (answered + failed > 0).then(|| failed as f64 / (answered + failed) as f64),
            error_rate_lower: at_least(failed, answered + failed),
            p99_seconds: quantile(&latency, 0.99),
        }
    }
}

fn read(stats: &VersionStats) -> Reading {
    let request = stats.latency.stages.iter().find(|(stage, _)| *stage == "request");
    let latency = request.map(|(_, histogram)| {
        let metric = histogram.metric();
        let buckets = metric.get_histogram().get_bucket().iter();
        buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect()
    });
    Reading {
        answered: stats.success.count(),
        failed: OURS.iter().map(|&kind| stats.failures(kind)).sum(),
        latency: latency.unwrap_or_default(),
    }
}

/// The quantile of a histogram, linear within its bucket as Prometheus' `histogram_quantile` takes it. What lies beyond the
/// last edge counts as the last edge.
fn quantile(buckets: &[(f64, u64)], q: f64) -> Option<f64> {
    let total = buckets.last().map(|(_, count)| *count).filter(|count| *count > 0)?;
    let rank = q * total as f64;
    let (mut low, mut below) = (0.0, 0);
    for &(edge, count) in buckets {
        if count as f64 >= rank && count > below {
            let within = (rank - below as f64) / (count - below) as f64;
            return Some(if edge.is_finite() { low + (edge - low) * within } else { low });
        }
        (low, below) = (edge, count);
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::InferError;
    use crate::request::StageTimes;

    #[test]
    fn quantiles_are_linear_within_a_bucket() {
        let buckets = [(1.0, 50), (2.0, 100), (f64::INFINITY, 100)];
        assert_eq!(quantile(&buckets, 0.75), Some(1.5));
        assert_eq!(quantile(&buckets, 0.99), Some(1.98));
        assert_eq!(quantile(&[(1.0, 0), (f64::INFINITY, 4)], 0.5), Some(1.0));
        assert_eq!(quantile(&[(1.0, 0)], 0.5), None);
    }

    #[test]
    fn a_window_forgets_what_is_older() {
        let stats = VersionStats::new(1);
        let mut health = Health::default();
        let times = StageTimes::default();
        for _ in 0..10 {
            stats.failed(&InferError::new(ErrorKind::Internal, "no"), Duration::ZERO);
            stats.answered(1, &times, Duration::from_millis(4));
        }
        stats.failed(&InferError::new(ErrorKind::InvalidArgument, "no"), Duration::ZERO);
        health.seal(&stats, 1);
        assert_eq!(health.report().error_rate, Some(0.5), "a wrong request is not the server's failure");
        for _ in 0..10 {
            stats.answered(1, &times, Duration::from_millis(4));
        }
        health.seal(&stats, 1);
        let report = health.report();
        assert_eq!((report.answered, report.failed, report.error_rate), (10, 0, Some(0.0)));
        assert!((0.0025..=0.005).contains(&report.p99_seconds.unwrap()), "{report:?}");
    }
}
