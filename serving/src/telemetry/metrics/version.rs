//! Families with samples for every version that serves.

use std::sync::atomic::Ordering::Relaxed;

use takt_artifact::decision::Verdict;

use super::families::{Families, Label};
use crate::batch::queue::CloseReason;
use crate::error::ErrorKind;
use crate::registry::version::ServedVersion;
use crate::telemetry::stats::{Tally, VersionStats};

/// Calls `sample` for every version, with its labels `model` and `version` in front of `more`.
fn each<'v>(versions: &[&'v ServedVersion], mut sample: impl FnMut(&[Label<'_>], &'v VersionStats)) {
    for version in versions {
        let number = version.id.version.to_string();
        sample(&[("model", &version.id.model), ("version", &number)], &version.stats);
    }
}

/// `labels` and one more.
fn with<'a>(labels: &[Label<'a>], more: Label<'a>) -> Vec<Label<'a>> {
    labels.iter().copied().chain([more]).collect()
}

pub(super) fn requests(families: &mut Families, versions: &[&ServedVersion]) {
    let mut family = families.counter("nv_inference_request_success", "Requests answered");
    each(versions, |labels, stats| family.sample(labels, stats.success.count() as f64));
    let mut family = families.counter("nv_inference_request_failure", "Requests failed, by reason");
    each(versions, |labels, stats| {
        for kind in ErrorKind::ALL {
            family.sample(&with(labels, ("reason", kind.label())), stats.failures(kind) as f64);
        }
    });
    let mut family = families.counter(
        "takt_failed_runs_total",
        "Independent failures of the version itself: failed runs, each once however many requests were in it",
    );
    each(versions, |labels, stats| family.sample(labels, stats.failed_runs.count() as f64));
    let mut family = families.counter("nv_inference_count", "Rows (samples) answered");
    each(versions, |labels, stats| family.sample(labels, stats.inferences.load(Relaxed) as f64));
    let mut family = families.counter("nv_inference_exec_count", "Batches run");
    each(versions, |labels, stats| family.sample(labels, stats.executions.load(Relaxed) as f64));
    let mut family = families.gauge("nv_inference_pending_request_count", "Requests in the queue");
    each(versions, |labels, stats| family.sample(labels, stats.pending.load(Relaxed) as f64));
}

/// Cumulative microseconds, as Triton has them, and histograms, from which quantiles can be had.
pub(super) fn durations(families: &mut Families, versions: &[&ServedVersion]) {
    type Of = fn(&VersionStats) -> &Tally;
    let tallies: [(&str, &str, Of); 5] = [
        ("nv_inference_request_duration_us", "Time of answered requests, whole", |stats| &stats.success),
        ("nv_inference_queue_duration_us", "Time of answered requests in the queue", |stats| &stats.queue),
        ("nv_inference_compute_input_duration_us", "Time of decoding and gathering inputs", |stats| {
            &stats.compute_input
        }),
        ("nv_inference_compute_infer_duration_us", "Time of running the model", |stats| &stats.compute_infer),
        ("nv_inference_compute_output_duration_us", "Time of splitting outputs", |stats| &stats.compute_output),
    ];
    for (name, help, tally) in tallies {
        let mut family = families.counter(name, help);
        each(versions, |labels, stats| family.sample(labels, (tally(stats).nanos() / 1000) as f64));
    }
    let mut family = families.histogram("takt_stage_seconds", "Time per answered request, by stage");
    each(versions, |labels, stats| {
        for (stage, histogram) in &stats.latency.stages {
            family.buckets(&with(labels, ("stage", stage)), histogram);
        }
    });
}

/// Upper edges of the batch size histogram: powers of two, and the largest size.
fn size_edges(max: usize) -> Vec<usize> {
    let max = max.max(1);
    let powers = (0..usize::BITS).map(|bit| 1 << bit).take_while(|&size| size < max);
    powers.chain([max]).collect()
}

pub(super) fn batches(families: &mut Families, versions: &[&ServedVersion]) {
    let mut family = families.histogram("takt_batch_rows", "Rows of the batches run, without padding");
    for version in versions {
        let number = version.id.version.to_string();
        let edges = size_edges(version.batcher.config().max_batch_size);
        let sizes: Vec<_> = version.stats.batches().map(|(rows, tally)| (rows, tally.infer.count())).collect();
        family.distribution(&[("model", &version.id.model), ("version", &number)], &edges, &sizes);
    }
    let mut family = families.counter("takt_batch_closed_total", "Batches closed, by reason");
    each(versions, |labels, stats| {
        for reason in CloseReason::ALL {
            family.sample(&with(labels, ("reason", reason.label())), stats.closed(reason) as f64);
        }
    });
    let mut family = families.counter("takt_padded_rows_total", "Rows added only to reach an allowed batch size");
    each(versions, |labels, stats| family.sample(labels, stats.padded_rows.load(Relaxed) as f64));
}

pub(super) fn outcomes(families: &mut Families, versions: &[&ServedVersion]) {
    let verdicts = [(Verdict::Good, "good"), (Verdict::Defect, "defect"), (Verdict::Uncertain, "uncertain")];
    let mut family = families.counter("takt_verdicts_total", "Verdicts given");
    each(versions, |labels, stats| {
        for (verdict, label) in verdicts {
            family.sample(&with(labels, ("verdict", label)), stats.verdicts(verdict) as f64);
        }
    });
    let mut family = families.counter("takt_undecodable_images_total", "Images that could not be decoded");
    each(versions, |labels, stats| family.sample(labels, stats.undecodable.load(Relaxed) as f64));
    let mut family = families.counter("takt_session_rebuilds_total", "Sessions rebuilt after failing runs");
    each(versions, |labels, stats| family.sample(labels, stats.rebuilds.load(Relaxed) as f64));
}

pub(super) fn identity(families: &mut Families, versions: &[&ServedVersion]) {
    let mut family = families.gauge("takt_model_info", "1, with what really runs a version");
    for version in versions {
        let labels = [
            ("model", version.id.model.as_str()),
            ("version", &version.id.version.to_string()),
            ("variant", &version.variant),
            ("runtime", version.placement.runtime),
            ("provider", &version.placement.provider),
            ("digest", &version.id.digest),
        ];
        family.sample(&labels, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_sizes_have_an_edge_at_the_largest() {
        assert_eq!(size_edges(0), [1]);
        assert_eq!(size_edges(1), [1]);
        assert_eq!(size_edges(4), [1, 2, 4]);
        assert_eq!(size_edges(6), [1, 2, 4, 6]);
    }
}
