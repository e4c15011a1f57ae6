//! Outcomes as columns.

use std::time::Duration;

use takt_artifact::decision::Verdict;
use takt_monitoring::events::{Arm, Outcome, Status};
use takt_monitoring::features::{VISION_NAMES, names};
use takt_tables::{Column, Values};

/// How much of an outcome becomes columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    Full,
    /// What distributions can be compared of: no ids and no times.
    Distributions,
}

/// One row per outcome.
pub(super) fn columns(outcomes: &[Outcome], detail: Detail) -> Vec<Column> {
    let texts = |name: &str, of: &dyn Fn(&Outcome) -> Option<String>| {
        Column::new(name, Values::Texts(outcomes.iter().map(of).collect()))
    };
    let numbers = |name: &str, of: &dyn Fn(&Outcome) -> Option<f64>| {
        Column::new(name, Values::Numbers(outcomes.iter().map(of).collect()))
    };
    let singles = |name: &str, of: &dyn Fn(&Outcome) -> Option<f32>| {
        Column::new(name, Values::Singles(outcomes.iter().map(of).collect()))
    };
    let mut columns = Vec::new();
    if detail == Detail::Full {
        let times = outcomes.iter().map(|outcome| i64::try_from(outcome.routed_at.0).ok()?.checked_mul(1000));
        columns.extend([
            texts("prediction_id", &|outcome| Some(outcome.prediction_id.to_string())),
            Column::new("time", Values::Times(times.collect())),
            texts("part_id", &|outcome| text(outcome.part_id.as_ref())),
        ]);
    }
    columns.extend([
        texts("model", &|outcome| Some(outcome.model.to_string())),
        texts("version", &|outcome| Some(outcome.version_digest.to_string())),
        texts("arm", &|outcome| Some(arm(outcome.arm).to_owned())),
        texts("station", &|outcome| text(outcome.station.as_ref())),
        texts("product", &|outcome| text(outcome.product.as_ref())),
        texts("status", &|outcome| Some(status(&outcome.status).to_owned())),
        texts("verdict", &|outcome| Some(verdict(outcome.decision.as_ref()?.verdict).to_owned())),
        texts("class", &|outcome| Some(outcome.decision.as_ref()?.label.clone())),
        singles("score", &|outcome| Some(outcome.decision.as_ref()?.score)),
        singles("defect_score", &|outcome| Some(outcome.decision.as_ref()?.defect_score)),
        numbers("queue_seconds", &|outcome| answered(outcome, outcome.latency.queue)),
        numbers("decode_seconds", &|outcome| answered(outcome, outcome.latency.decode)),
        numbers("input_seconds", &|outcome| answered(outcome, outcome.latency.input)),
        numbers("infer_seconds", &|outcome| answered(outcome, outcome.latency.infer)),
        numbers("output_seconds", &|outcome| answered(outcome, outcome.latency.output)),
    ]);
    columns.extend(VISION_NAMES.iter().map(|name| singles(name, &|outcome| feature(outcome, name))));
    columns
}

fn text(name: Option<&takt_monitoring::events::Name>) -> Option<String> {
    name.map(ToString::to_string)
}

/// A request that failed has no stages.
fn answered(outcome: &Outcome, stage: Duration) -> Option<f64> {
    (outcome.status == Status::Ok).then_some(stage.as_secs_f64())
}

/// By name, so that a list that a later release adds gives what it shares with ours.
fn feature(outcome: &Outcome, name: &str) -> Option<f32> {
    let at = names(outcome.features.list)?.iter().position(|known| *known == name)?;
    outcome.features.values.get(at).copied().filter(|value| !value.is_nan())
}

const fn arm(arm: Arm) -> &'static str {
    match arm {
        Arm::Stable => "stable",
        Arm::Canary => "canary",
        Arm::Shadow => "shadow",
    }
}

fn status(status: &Status) -> &str {
    match status {
        Status::Ok => "ok",
        Status::Error(kind) => kind,
    }
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Defect => "defect",
        Verdict::Uncertain => "uncertain",
    }
}
