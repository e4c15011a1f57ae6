//! What judges a candidate.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;

/// All gates of a plan; `None` where one is not wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// Failed answers.
    pub errors: Option<Errors>,
    /// Slow runs, and late answers.
    pub latency: Option<Latency>,
    /// Other answers than stable's, on copies.
    pub disagreement: Option<Disagreement>,
    /// Wrong answers, by inspectors.
    pub labels: Option<Labels>,
    /// Other scores than stable's, on copies.
    pub drift: Option<Drift>,
    /// Queries to a Prometheus.
    pub metrics: Vec<Metric>,
}

/// How far a gate's word reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The candidate needs its acceptance, and goes back at its rejection.
    Mandatory,
    /// The candidate goes back at its rejection.
    Guard,
    /// It is reported.
    DryRun,
}

/// Which gate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateName {
    /// Failed answers.
    Errors,
    /// Slow runs, and late answers.
    Latency,
    /// Other answers than stable's.
    Disagreement,
    /// Wrong answers.
    Labels,
    /// Other scores than stable's.
    Drift,
    /// A query, by its name.
    Metric(String),
}

/// Failed answers, canary against stable, and in themselves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// How far its word reaches.
    pub mode: Mode,
    /// The canary may fail so many times as often without being rejected; 1 for "no more often".
    pub tolerated: f64,
    /// It is not accepted unless it surely fails less than so many times as often.
    pub margin: f64,
    /// Nor unless its failure rate is surely below this; and it is rejected where it is surely above.
    pub ceiling: Option<TrafficShare>,
    /// Below this rate failures are not worth comparing: a candidate that surely fails more rarely needs no comparison.
    /// Without it, versions that hardly ever fail can hardly ever be told apart, and hold.
    pub negligible: Option<TrafficShare>,
}

/// Slow runs at equal batch size, canary against stable; late answers against an absolute objective.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How far its word reaches.
    pub mode: Mode,
    /// The canary's runs may be slow so many times as often without being rejected.
    pub tolerated: f64,
    /// It is not accepted unless its runs are surely slow less than so many times as often.
    pub margin: f64,
    /// The share of stable's runs that were slow when the limits were frozen, per batch size.
    pub slow: TrafficShare,
    /// By how much longer a run must take to be slow. A candidate runs seldom, and finds caches and threads cold: without slack
    /// one that is as fast would be slow more often.
    pub slack: TrafficShare,
    /// And by so much at least: what is cold costs a small model more than a share of its run.
    pub least: Duration,
    /// A share of slow runs that is not worth comparing.
    pub negligible: Option<TrafficShare>,
    /// The objective end to end.
    pub slo: Option<Slo>,
}

/// Late answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// An answer that takes longer is late.
    pub within: Duration,
    /// The share of answers that may be late.
    pub late: TrafficShare,
}

/// Answers that differ from stable's on the same part. Each direction has its own denominator; `None` where it does not count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// How far its word reaches.
    pub mode: Mode,
    /// Parts that stable calls defective and the candidate good, of those that stable calls defective.
    pub escape: Option<TrafficShare>,
    /// Parts that stable calls good and the candidate defective, of those that stable calls good.
    pub overkill: Option<TrafficShare>,
    /// Parts that both call defective, of another class, of those that stable calls defective.
    pub class_swap: Option<TrafficShare>,
}

/// Wrong answers where versions disagreed, by inspectors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Labels {
    /// How far its word reaches.
    pub mode: Mode,
    /// It is not accepted unless the candidate is surely the wrong one in less than this share of disagreements; above 50 %.
    pub margin: TrafficShare,
    /// The least probability with which a disagreement is inspected.
    pub inspected: TrafficShare,
}

/// Scores that differ from stable's on the same frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// How far its word reaches.
    pub mode: Mode,
    /// Largest distance of the distributions (Kolmogorov and Smirnov) that is accepted.
    pub distance: f64,
}

/// A query whose value must stay at or below a limit. Samples of a query resemble each other, so nothing is claimed about how
/// often this errs: it counts samples in a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// How people call it.
    pub name: String,
    /// How far its word reaches.
    pub mode: Mode,
    /// In the language of Prometheus.
    pub query: String,
    /// The largest good value.
    pub ceiling: f64,
    /// So many bad samples in a row reject.
    pub failures: u32,
    /// So many good samples in a row, within the step, accept.
    pub samples: u32,
}

impl Mode {
    /// Whether the candidate goes back when the gate says so.
    #[must_use]
    pub fn may_reject(self) -> bool {
        self != Self::DryRun
    }
}

impl Gates {
    /// All gates that are wanted.
    pub fn modes(&self) -> impl Iterator<Item = (GateName, Mode)> + '_ {
        [
            self.errors.map(|gate| (GateName::Errors, gate.mode)),
            self.latency.map(|gate| (GateName::Latency, gate.mode)),
            self.disagreement.map(|gate| (GateName::Disagreement, gate.mode)),
            self.labels.map(|gate| (GateName::Labels, gate.mode)),
            self.drift.map(|gate| (GateName::Drift, gate.mode)),
        ]
        .into_iter()
        .flatten()
        .chain(self.metrics.iter().map(|metric| (GateName::Metric(metric.name.clone()), metric.mode)))
    }
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            errors: Some(Errors::default()),
            latency: Some(Latency::default()),
            disagreement: Some(Disagreement::default()),
            labels: Some(Labels::default()),
            drift: Some(Drift::default()),
            metrics: Vec::new(),
        }
    }
}

const fn percent(percent: u32) -> TrafficShare {
    TrafficShare::of_millionths(percent * 10_000)
}

impl Default for Errors {
    fn default() -> Self {
        Self {
            mode: Mode::Mandatory,
            tolerated: 1.0,
            margin: 2.0,
            ceiling: Some(percent(3)),
            negligible: Some(percent(1)),
        }
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            mode: Mode::Mandatory,
            tolerated: 1.25,
            margin: 3.0,
            slow: percent(1),
            slack: percent(15),
            least: Duration::from_millis(1),
            negligible: Some(percent(3)),
            slo: None,
        }
    }
}

impl Default for Disagreement {
    fn default() -> Self {
        Self {
            mode: Mode::Mandatory,
            escape: Some(percent(5)),
            overkill: Some(percent(2)),
            class_swap: Some(percent(10)),
        }
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self { mode: Mode::Guard, margin: percent(60), inspected: percent(5) }
    }
}

impl Default for Drift {
    fn default() -> Self {
        Self { mode: Mode::DryRun, distance: 0.2 }
    }
}

impl GateName {
    /// Stable label for metrics and keys.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Disagreement => "disagreement",
            Self::Labels => "labels",
            Self::Drift => "drift",
            Self::Metric(name) => name,
        }
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metric(name) => write!(f, "metric '{name}'"),
            other => f.write_str(other.label()),
        }
    }
}
