//! Counters of one version: the single source of ModelStatistics, of Triton's `nv_inference_*` metrics and of ours.
//! Moved with relaxed atomics; nothing here locks on the request path.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{Histogram, HistogramOpts};
use takt_artifact::decision::Verdict;

use super::failed_runs::FailedRuns;
use super::run_times::RunTimes;
use crate::batch::queue::CloseReason;
use crate::error::{ErrorKind, InferError};
use crate::request::StageTimes;

/// Upper edges in seconds of the latency histograms: from 100 microseconds to 10 s, with edges at the usual SLOs.
const LATENCY_EDGES: [f64; 18] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A number of events and the time they took together.
#[derive(Debug, Default)]
pub struct Tally {
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Tally {
    /// Adds one event of that length.
    pub fn add(&self, time: Duration) {
        self.add_many(1, time);
    }

    fn add_many(&self, count: u64, time: Duration) {
        self.count.fetch_add(count, Relaxed);
        self.nanos.fetch_add(saturating_nanos(time).saturating_mul(count), Relaxed);
    }

    /// Number of events.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Their total length in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.nanos.load(Relaxed)
    }
}

/// Executions at one batch size.
#[derive(Debug, Default)]
pub struct BatchTally {
    /// Gathering the inputs.
    pub input: Tally,
    /// Session runs.
    pub infer: Tally,
    /// Splitting the outputs.
    pub output: Tally,
}

/// Latency histograms of one version, by stage.
#[derive(Debug)]
pub struct StageHistograms {
    /// Stage name and its histogram.
    pub stages: [(&'static str, Histogram); 6],
}

/// Everything that is counted of one version.
#[derive(Debug)]
pub struct VersionStats {
    /// Requests answered, by their whole time in the server.
    pub success: Tally,
    /// Requests failed, by their whole time in the server.
    pub fail: Tally,
    /// Failures by kind, indexed as [`ErrorKind::ALL`].
    failures: [AtomicU64; ErrorKind::ALL.len()],
    /// Independent failures that are the version's: its failed runs, each once, and answers that are none.
    pub failed_runs: FailedRuns,
    /// Time in the queue, per request; rises for every request.
    pub queue: Tally,
    /// Time of decoding and gathering, per request.
    pub compute_input: Tally,
    /// Time of the run, per request.
    pub compute_infer: Tally,
    /// Time of splitting, per request.
    pub compute_output: Tally,
    /// Rows (samples) answered.
    pub inferences: AtomicU64,
    /// Batches run.
    pub executions: AtomicU64,
    /// Rows added only to reach an allowed batch size.
    pub padded_rows: AtomicU64,
    /// End of the last answered request, ms since the epoch; 0 before the first.
    pub last_inference_ms: AtomicU64,
    /// Requests waiting.
    pub pending: AtomicI64,
    /// Executions by batch size; index 0 is size 1.
    batches: Vec<BatchTally>,
    /// Closed batches by reason, indexed as [`CloseReason::ALL`].
    closed: [AtomicU64; CloseReason::ALL.len()],
    /// Images that could not be decoded.
    pub undecodable: AtomicU64,
    /// Verdicts given: good, defect, uncertain.
    verdicts: [AtomicU64; 3],
    /// Sessions rebuilt after failing runs.
    pub rebuilds: AtomicU64,
    /// Latency by stage.
    pub latency: StageHistograms,
    /// Times of runs beside which no other version of the model ran, by batch size.
    pub run_times: RunTimes,
}

impl VersionStats {
    /// Counters at zero, for batches of up to `max_batch` rows.
    #[must_use]
    pub fn new(max_batch: usize) -> Self {
        Self {
            success: Tally::default(),
            fail: Tally::default(),
            failures: Default::default(),
            failed_runs: FailedRuns::default(),
            queue: Tally::default(),
            compute_input: Tally::default(),
            compute_infer: Tally::default(),
            compute_output: Tally::default(),
            inferences: AtomicU64::new(0),
            executions: AtomicU64::new(0),
            padded_rows: AtomicU64::new(0),
            last_inference_ms: AtomicU64::new(0),
            pending: AtomicI64::new(0),
            batches: (0..max_batch.max(1)).map(|_| BatchTally::default()).collect(),
            closed: Default::default(),
            undecodable: AtomicU64::new(0),
            verdicts: Default::default(),
            rebuilds: AtomicU64::new(0),
            latency: StageHistograms::new(),
            run_times: RunTimes::default(),
        }
    }

    /// Counts an answered request of `rows` rows that took `total`.
    pub fn answered(&self, rows: usize, times: &StageTimes, total: Duration) {
        self.success.add(total);
        self.queue.add(times.queue);
        self.compute_input.add(times.decode + times.input);
        self.compute_infer.add(times.infer);
        self.compute_output.add(times.output);
        self.inferences.fetch_add(rows as u64, Relaxed);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_inference_ms.store(since_epoch.as_millis() as u64, Relaxed);
        self.latency.observe(times, total);
    }

    /// Counts a failed request, `total` after it arrived.
    pub fn failed(&self, error: &InferError, total: Duration) {
        let kind = error.kind();
        self.fail.add(total);
        self.failures[kind as usize].fetch_add(1, Relaxed);
        if matches!(kind, ErrorKind::RunFailed | ErrorKind::BadOutput | ErrorKind::Internal) {
            self.failed_runs.add(error.run());
        }
    }

    /// Counts one run of `rows` rows (padding not counted), padded to `padded`.
    pub fn executed(&self, rows: usize, padded: usize, reason: CloseReason, times: &StageTimes) {
        self.executions.fetch_add(1, Relaxed);
        self.padded_rows.fetch_add(padded.saturating_sub(rows) as u64, Relaxed);
        self.closed[reason as usize].fetch_add(1, Relaxed);
        if let Some(batch) = self.batches.get(rows.max(1) - 1) {
            batch.input.add(times.decode + times.input);
            batch.infer.add(times.infer);
            batch.output.add(times.output);
        }
    }

    /// Counts a verdict.
    pub fn judged(&self, verdict: Verdict) {
        self.verdicts[verdict as usize].fetch_add(1, Relaxed);
    }

    /// Verdicts of one sort.
    #[must_use]
    pub fn verdicts(&self, verdict: Verdict) -> u64 {
        self.verdicts[verdict as usize].load(Relaxed)
    }

    /// Failures of one kind.
    #[must_use]
    pub fn failures(&self, kind: ErrorKind) -> u64 {
        self.failures[kind as usize].load(Relaxed)
    }

    /// Batches closed for one reason.
    #[must_use]
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize].load(Relaxed)
    }

    /// Batch sizes that were run, ascending, with their tallies.
    pub fn batches(&self) -> impl Iterator<Item = (usize, &BatchTally)> {
        self.batches
            .iter()
            .enumerate()
            .map(|(index, tally)| (index + 1, tally))
            .filter(|(_, tally)| tally.infer.count() > 0)
    }
}

impl StageHistograms {
    fn new() -> Self {
        Self {
            stages: ["queue", "decode", "input", "infer", "output", "request"]
                .map(|stage| (stage, latency_histogram())),
        }
    }

    fn observe(&self, times: &StageTimes, total: Duration) {
        let values = [times.queue, times.decode, times.input, times.infer, times.output, total];
        for ((_, histogram), value) in self.stages.iter().zip(values) {
            histogram.observe(value.as_secs_f64());
        }
    }
}

#[expect(clippy::expect_used, reason = "constant name and edges: it can only fail if this file is edited wrongly")]
fn latency_histogram() -> Histogram {
    let options = HistogramOpts::new("takt_stage_seconds", "Time per request by stage").buckets(LATENCY_EDGES.to_vec());
    Histogram::with_opts(options).expect("constant histogram options are valid")
}

/// Nanoseconds, at most `u64::MAX` (584 years).
fn saturating_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_under_their_own_kind() {
        let stats = VersionStats::new(4);
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index, "ErrorKind::ALL must be in declaration order");
            stats.failed(&InferError::new(kind, "no"), Duration::from_millis(1));
            assert_eq!(stats.failures(kind), 1);
        }
        assert_eq!(stats.fail.count(), ErrorKind::ALL.len() as u64);
        assert_eq!(stats.failed_runs.count(), 3, "those that are the version's");
    }

    #[test]
    fn close_reasons_are_indexed_in_declaration_order() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn a_run_is_counted_at_its_own_batch_size() {
        let stats = VersionStats::new(4);
        let times = StageTimes { infer: Duration::from_millis(3), ..StageTimes::default() };
        stats.executed(3, 4, CloseReason::Delay, &times);
        let sizes: Vec<_> = stats.batches().map(|(size, tally)| (size, tally.infer.nanos())).collect();
        assert_eq!(sizes, [(3, 3_000_000)]);
        assert_eq!(stats.padded_rows.load(Relaxed), 1);
    }
}
