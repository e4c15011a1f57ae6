//! The rollout plan as Kubernetes sees it: the same keys as `[rollout]` in `model.toml`, in camel case. What it means, and
//! what may not be combined, is `takt_rollout`'s: this is its schema and nothing else.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A whole plan. What is left out has the built-in default: copies first, then 5 %, 20 % and all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlanSpec {
    /// How often a candidate that is not worse may be taken back, such as "0.05". Over all gates, and over the whole fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<String>,
    /// What is routed as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<RoutingSpec>,
    /// Copies of requests for the candidate, before any client is answered by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowSpec>,
    /// Shares of clients below 100 %, rising. After the last the candidate is promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<StepSpec>>,
    /// What judges the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gates: Option<GatesSpec>,
    /// After the promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bake: Option<BakeSpec>,
    /// How both versions find room in a device's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementSpec>,
    /// What follows when a step's budget is spent and the gates said neither yes nor no: hold or abort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_inconclusive: Option<String>,
    /// After so long in Held the rollout is aborted, such as "72h"; "never" for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_timeout: Option<String>,
    /// Longest time from the start to the promotion on one device, such as "8d".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline: Option<String>,
    /// So many failed runs of the candidate in a row that stable answers take it out of service at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_man: Option<u32>,
    /// Data older than this is stale, such as "5m".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
}

/// What is routed as one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RoutingSpec {
    /// part (all views of a part go to one version), request or station.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// With unit station: how long a draw of stations holds, at most "5m".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky_epoch: Option<String>,
}

/// Copies for the candidate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShadowSpec {
    /// false to go without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Share of units that are copied, in percent: 10 or "0.5 %".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<IntOrString>,
    /// So many compared units at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<u32>,
    /// Longest time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<String>,
    /// With more of the copies dropped than this, in percent, what is left is no sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_dropped: Option<IntOrString>,
}

/// A share of clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StepSpec {
    /// The candidate's, in percent: 5 or "0.5 %".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<IntOrString>,
    /// Ratio of failure rates, canary to stable, above which this step is not passed, such as "2".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<String>,
    /// Shortest time, such as "5m".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_dwell: Option<String>,
    /// Longest time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<String>,
    /// Whether a person must let it go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
}

/// What judges. A gate that is left out has its defaults; enabled: false takes it away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatesSpec {
    /// Failed answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<ErrorsGate>,
    /// Slow runs and late answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyGate>,
    /// Answers on copies that differ from stable's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<DisagreementGate>,
    /// Wrong answers, by inspectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelsGate>,
    /// Scores that differ from stable's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftGate>,
    /// Queries to a Prometheus.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricGate>,
}

/// Failed answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorsGate {
    /// false to go without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// mandatory, guard or dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The same as mode: dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Ratio up to which nothing is rejected, such as "1".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated: Option<String>,
    /// Ratio below which it is accepted, such as "2".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<String>,
    /// Highest failure rate in percent; "none" for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<IntOrString>,
    /// Rate in percent that is not worth comparing; "none" for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negligible: Option<IntOrString>,
}

/// Slow runs at equal batch size, and late answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LatencyGate {
    /// false to go without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// mandatory, guard or dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The same as mode: dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Ratio up to which nothing is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerated: Option<String>,
    /// Ratio below which it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<String>,
    /// Share of stable's runs, in percent, that are called slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<IntOrString>,
    /// By how many percent longer than that a run must take to be slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slack: Option<IntOrString>,
    /// And by so much at least, such as "1ms".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<String>,
    /// Share in percent that is not worth comparing; "none" for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negligible: Option<IntOrString>,
    /// End to end, an answer that takes longer is late, such as "50ms".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slo: Option<String>,
    /// Share of answers in percent that may be late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<IntOrString>,
}

/// Answers on copies that differ from stable's, part by part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DisagreementGate {
    /// false to go without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// mandatory, guard or dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The same as mode: dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Of parts that stable calls defective, in percent; "none" for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escape: Option<IntOrString>,
    /// Of parts that stable calls good, in percent; "none" for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overkill: Option<IntOrString>,
    /// Of parts that stable calls defective, in percent; "none" for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_swap: Option<IntOrString>,
}

/// Wrong answers, by inspectors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelsGate {
    /// false to go without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// mandatory, guard or dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The same as mode: dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Share of disagreements in percent, above 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<IntOrString>,
    /// Least probability of an inspection, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inspected: Option<IntOrString>,
}

/// Scores that differ from stable's on the same frames.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DriftGate {
    /// false to go without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// mandatory, guard or dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The same as mode: dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// Largest accepted distance of the distributions, from 0 to 1, such as "0.1".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<String>,
}

/// A query of a Prometheus whose value must stay at or below a ceiling.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricGate {
    /// How people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// mandatory, guard or dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The same as mode: dry_run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// In the language of Prometheus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The largest good value, such as "0.01".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<String>,
    /// Bad samples in a row that reject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// Good samples in a row that accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u32>,
}

/// How both versions find room.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PlacementSpec {
    /// Whether the candidate may take stable's place where both do not fit. There is no comparison then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<bool>,
    /// Memory to leave free, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headroom_mib: Option<u32>,
}

/// After the promotion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BakeSpec {
    /// How long stable stays at hand, such as "24h".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// The share it keeps as control, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdback: Option<IntOrString>,
}
