//! What people ask of a rollout. A [`RawPlan`] is what they wrote, in `model.toml` or in a Kubernetes resource; a [`Plan`]
//! is one that makes sense.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::manifest::FileDigest;
use takt_artifact::share::TrafficShare;
use takt_stats::sequential::Alpha;

mod check;
mod duration;
pub mod feasibility;
mod gates;
mod raw;
#[cfg(test)]
mod tests;

pub use duration::{duration_text, parse_duration};
pub use feasibility::{Estimate, Feasibility, Rates, StepEstimate, feasibility};
pub use gates::{Disagreement, Drift, Errors, GateName, Gates, Labels, Latency, Metric, Mode, Slo};
pub use raw::{
    RawBake, RawDisagreement, RawDrift, RawErrors, RawGates, RawLabels, RawLatency, RawMetric, RawNumber, RawPlacement,
    RawPlan, RawRouting, RawShadow, RawShare, RawStep, RawTime,
};

/// A plan that makes sense; made from a [`RawPlan`]. What is serialised is for our own state, not for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How often a candidate that is not worse may be taken back, over all gates together.
    pub alpha: Alpha,
    /// What is routed as one.
    pub unit: Unit,
    /// The candidate on copies first; `None` to go without.
    pub shadow: Option<Shadow>,
    /// Shares below 100 %, rising. After the last the candidate is promoted.
    pub steps: Vec<Step>,
    /// What judges.
    pub gates: Gates,
    /// After the promotion.
    pub bake: Bake,
    /// How both versions find room.
    pub placement: Placement,
    /// What follows when a budget is spent and the gates said neither yes nor no.
    pub on_inconclusive: OnInconclusive,
    /// After so long in Held the rollout is aborted; `None` for never. A person's pause ends by a person.
    pub hold_timeout: Option<Duration>,
    /// Longest time from start to promotion, without held times.
    pub progress_deadline: Duration,
    /// So many failed runs of the candidate in a row that stable answers take it out of service.
    pub dead_man: u32,
    /// Data older than this is stale.
    pub max_age: Duration,
}

/// What is routed as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// All views of a part; a request where no part id is given.
    Part,
    /// Each request by itself.
    Request,
    /// Whole stations, drawn anew each epoch.
    Station {
        /// How long a draw holds; at most [`Unit::LONGEST_EPOCH`].
        epoch: Duration,
    },
}

/// Answers on copies, compared with stable's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// Share of units that are copied.
    pub share: TrafficShare,
    /// So many compared units at least.
    pub units: u64,
    /// Longest time.
    pub budget: Duration,
    /// With more of the copies dropped than this, what is left is no sample.
    pub max_dropped: TrafficShare,
}

/// A share of clients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The candidate's.
    pub weight: TrafficShare,
    /// Ratio of failure rates, canary to stable, above which this step is not passed. `None` for each gate's own.
    pub margin: Option<f64>,
    /// Shortest time.
    pub min_dwell: Duration,
    /// Longest time.
    pub budget: Duration,
    /// Whether a person must let it go on.
    pub pause: bool,
}

/// After the promotion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bake {
    /// How long stable stays at hand.
    pub duration: Duration,
    /// The share of clients it keeps, as control.
    pub holdback: TrafficShare,
}

/// How both versions find room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Whether the candidate may take stable's place where both do not fit. There are no steps then, no comparison and an
    /// interruption while one goes and the other comes; only absolute ceilings judge.
    pub swap: bool,
    /// Memory to leave free, in bytes.
    pub headroom: u64,
}

/// What follows when a budget is spent and the gates said neither yes nor no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// Hold, and let a person decide.
    Hold,
    /// Take the candidate back.
    Abort,
}

/// Says whether two plans are the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanDigest(String);

impl Unit {
    /// Longer epochs would leave too few draws in a rollout.
    pub const LONGEST_EPOCH: Duration = Duration::from_secs(300);
}

impl Plan {
    /// sha256 of what the plan means: how durations or shares were written makes no difference.
    #[must_use]
    pub fn digest(&self) -> PlanDigest {
        // Numbers, strings and lists only: serialising cannot fail.
        PlanDigest(FileDigest::of_bytes(&serde_json::to_vec(self).unwrap_or_default()).sha256)
    }

    /// Gates that may reject; they share alpha.
    #[must_use]
    pub fn rejecting(&self) -> usize {
        self.gates.modes().filter(|(_, mode)| mode.may_reject()).count()
    }

    /// What each rejecting gate may be wrong at.
    #[must_use]
    pub fn alpha_per_gate(&self) -> Alpha {
        self.alpha.split(self.rejecting())
    }

    /// The step's ratio, or the gate's own where the step has none.
    #[must_use]
    pub fn margin(&self, step: Option<usize>, own: f64) -> f64 {
        step.and_then(|step| self.steps.get(step)).and_then(|step| step.margin).unwrap_or(own)
    }
}

impl Default for Plan {
    /// The mission's: shadow, then 5 %, 20 % and all.
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let percent = |percent: u32| TrafficShare::of_millionths(10_000 * percent);
        let step = |weight, budget| Step { weight, margin: None, min_dwell: minutes(5), budget, pause: false };
        Self {
            alpha: Alpha::ONE_IN_TWENTY,
            unit: Unit::Part,
            shadow: Some(Shadow { share: percent(50), units: 300, budget: minutes(72 * 60), max_dropped: percent(5) }),
            steps: vec![step(percent(5), minutes(72 * 60)), step(percent(20), minutes(72 * 60))],
            gates: Gates::default(),
            bake: Bake { duration: minutes(24 * 60), holdback: percent(2) },
            placement: Placement { swap: false, headroom: 64 << 20 },
            on_inconclusive: OnInconclusive::Hold,
            hold_timeout: Some(minutes(72 * 60)),
            progress_deadline: minutes(8 * 24 * 60),
            dead_man: 3,
            max_age: minutes(5),
        }
    }
}

impl std::fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
