//! A plan as it is written. Keys are in snake case (TOML) or camel case (Kubernetes); what is left out has a default.
//!
//! Shares are percent: `5`, `"5 %"` or `"0.5 %"`. Durations are texts: `"10m"`.

use serde::{Deserialize, Serialize};

/// A number, or one written as text, as Kubernetes resources do with fractions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number, such as 2 or \"0.05\"")]
pub enum RawNumber {
    /// As a number.
    Number(f64),
    /// As text.
    Text(String),
}

/// A share in percent, as a number or as text with or without `%`.
pub type RawShare = RawNumber;

/// A duration as text.
pub type RawTime = String;

/// A whole plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawPlan {
    /// How often a good candidate may be taken back.
    pub alpha: Option<RawNumber>,
    /// What is routed as one.
    pub routing: Option<RawRouting>,
    /// The candidate on copies first.
    pub shadow: Option<RawShadow>,
    /// Shares of clients.
    pub steps: Option<Vec<RawStep>>,
    /// What judges.
    pub gates: Option<RawGates>,
    /// After the promotion.
    pub bake: Option<RawBake>,
    /// How both find room.
    pub placement: Option<RawPlacement>,
    /// `hold` or `abort`.
    #[serde(alias = "onInconclusive")]
    pub on_inconclusive: Option<String>,
    /// A duration, or `never`.
    #[serde(alias = "holdTimeout")]
    pub hold_timeout: Option<RawTime>,
    /// Longest time to the promotion.
    #[serde(alias = "progressDeadline")]
    pub progress_deadline: Option<RawTime>,
    /// Failed runs in a row.
    #[serde(alias = "deadMan")]
    pub dead_man: Option<u32>,
    /// Older data is stale.
    #[serde(alias = "maxAge")]
    pub max_age: Option<RawTime>,
}

/// What is routed as one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawRouting {
    /// `part`, `request` or `station`.
    pub unit: Option<String>,
    /// How long a draw of stations holds.
    #[serde(alias = "stickyEpoch", alias = "sticky_epoch")]
    pub epoch: Option<RawTime>,
}

/// The candidate on copies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawShadow {
    /// `false` to go without.
    pub enabled: Option<bool>,
    /// Share of units that are copied.
    pub share: Option<RawShare>,
    /// So many compared units at least.
    pub units: Option<u64>,
    /// Longest time.
    pub budget: Option<RawTime>,
    /// Share of copies that may be dropped.
    #[serde(alias = "maxDropped")]
    pub max_dropped: Option<RawShare>,
}

/// A share of clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawStep {
    /// The candidate's share.
    pub weight: Option<RawShare>,
    /// Ratio of failure rates above which the step is not passed.
    pub margin: Option<RawNumber>,
    /// Shortest time.
    #[serde(alias = "minDwell")]
    pub min_dwell: Option<RawTime>,
    /// Longest time.
    #[serde(alias = "maxDuration", alias = "max_duration")]
    pub budget: Option<RawTime>,
    /// Whether a person must let it go on.
    pub pause: Option<bool>,
}

/// What judges. A gate that is left out has its defaults; `enabled = false` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawGates {
    /// Failed answers.
    pub errors: Option<RawErrors>,
    /// Slow runs and late answers.
    pub latency: Option<RawLatency>,
    /// Other answers than stable's.
    pub disagreement: Option<RawDisagreement>,
    /// Wrong answers.
    pub labels: Option<RawLabels>,
    /// Other scores.
    pub drift: Option<RawDrift>,
    /// Queries.
    pub metrics: Vec<RawMetric>,
}

/// Failed answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawErrors {
    /// `false` to go without.
    pub enabled: Option<bool>,
    /// `mandatory`, `guard` or `dry_run`.
    pub mode: Option<String>,
    /// The same as `mode = "dry_run"`.
    #[serde(alias = "dryRun")]
    pub dry_run: Option<bool>,
    /// Ratio up to which nothing is rejected.
    pub tolerated: Option<RawNumber>,
    /// Ratio below which it is accepted.
    pub margin: Option<RawNumber>,
    /// Highest failure rate; `"none"` for none.
    pub ceiling: Option<RawShare>,
    /// Rate not worth comparing; `"none"` for none.
    pub negligible: Option<RawShare>,
}

/// Slow runs and late answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawLatency {
    /// `false` to go without.
    pub enabled: Option<bool>,
    /// `mandatory`, `guard` or `dry_run`.
    pub mode: Option<String>,
    /// The same as `mode = "dry_run"`.
    #[serde(alias = "dryRun")]
    pub dry_run: Option<bool>,
    /// Ratio up to which nothing is rejected.
    pub tolerated: Option<RawNumber>,
    /// Ratio below which it is accepted.
    pub margin: Option<RawNumber>,
    /// Share of stable's runs that are called slow.
    pub slow: Option<RawShare>,
    /// A run of either is slow only where it takes longer than that by this share.
    pub slack: Option<RawShare>,
    /// And by so much at least.
    pub least: Option<RawTime>,
    /// Share not worth comparing; `"none"` for none.
    pub negligible: Option<RawShare>,
    /// End to end, an answer that takes longer is late.
    pub slo: Option<RawTime>,
    /// Share of answers that may be late.
    pub late: Option<RawShare>,
}

/// Other answers than stable's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawDisagreement {
    /// `false` to go without.
    pub enabled: Option<bool>,
    /// `mandatory`, `guard` or `dry_run`.
    pub mode: Option<String>,
    /// The same as `mode = "dry_run"`.
    #[serde(alias = "dryRun")]
    pub dry_run: Option<bool>,
    /// Of parts that stable calls defective; `"none"` for no limit.
    pub escape: Option<RawShare>,
    /// Of parts that stable calls good; `"none"` for no limit.
    pub overkill: Option<RawShare>,
    /// Of parts that stable calls defective; `"none"` for no limit.
    #[serde(alias = "classSwap")]
    pub class_swap: Option<RawShare>,
}

/// Wrong answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawLabels {
    /// `false` to go without.
    pub enabled: Option<bool>,
    /// `mandatory`, `guard` or `dry_run`.
    pub mode: Option<String>,
    /// The same as `mode = "dry_run"`.
    #[serde(alias = "dryRun")]
    pub dry_run: Option<bool>,
    /// Share of disagreements, above 50 %.
    pub margin: Option<RawShare>,
    /// Least probability of an inspection.
    pub inspected: Option<RawShare>,
}

/// Other scores.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawDrift {
    /// `false` to go without.
    pub enabled: Option<bool>,
    /// `mandatory`, `guard` or `dry_run`.
    pub mode: Option<String>,
    /// The same as `mode = "dry_run"`.
    #[serde(alias = "dryRun")]
    pub dry_run: Option<bool>,
    /// Largest accepted distance, from 0 to 1.
    pub distance: Option<RawNumber>,
}

/// A query.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawMetric {
    /// How people call it.
    pub name: Option<String>,
    /// `mandatory`, `guard` or `dry_run`.
    pub mode: Option<String>,
    /// The same as `mode = "dry_run"`.
    #[serde(alias = "dryRun")]
    pub dry_run: Option<bool>,
    /// In the language of Prometheus.
    pub query: Option<String>,
    /// The largest good value.
    pub ceiling: Option<RawNumber>,
    /// Bad samples in a row that reject.
    pub failures: Option<u32>,
    /// Good samples in a row that accept.
    pub samples: Option<u32>,
}

/// After the promotion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawBake {
    /// How long stable stays at hand.
    pub duration: Option<RawTime>,
    /// The share it keeps.
    pub holdback: Option<RawShare>,
}

/// How both find room.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawPlacement {
    /// Whether the candidate may take stable's place.
    pub swap: Option<bool>,
    /// Memory to leave free, in MiB.
    #[serde(alias = "headroomMib")]
    pub headroom_mib: Option<u64>,
}
