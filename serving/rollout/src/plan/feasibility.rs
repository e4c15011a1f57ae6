//! How long a plan takes at the traffic there is, and whether it can finish: said before it begins, not after three days.
//!
//! Evidence grows at a known mean rate per unit if the candidate is as good as stable, and must grow to `ln(1/alpha)`, plus what
//! it costs not to know the alternative beforehand (`ln` of the size of the grid). These are means: half of all rollouts take
//! longer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;
use takt_stats::sequential::{Attribution, BoundedMean, Side};

use super::{Disagreement, Errors, GateName, Latency, Mode, Plan, duration_text};
use crate::state::Stage;

/// Alternatives that the tests average over.
const RATIOS: f64 = 6.0;
const MEANS: f64 = 4.0;
/// What a good candidate is assumed to disagree by, as a part of the limit.
const HALF: f64 = 0.5;

/// Traffic as it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Units (parts, or requests) per hour.
    pub units_per_hour: f64,
    /// Session runs per hour; as many as units where not known.
    #[serde(default)]
    pub runs_per_hour: Option<f64>,
    /// The share of stable's units that fail.
    pub error_rate: f64,
    /// The share of parts that stable calls defective.
    pub defect_share: f64,
}

/// How long a gate takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Which.
    pub gate: GateName,
    /// Hours until it accepts a good candidate; `None` for never.
    pub hours: Option<f64>,
}

/// How long a stage takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepEstimate {
    /// Which.
    pub stage: Stage,
    /// The share of traffic there, or of copies.
    pub share: TrafficShare,
    /// Its longest time.
    pub budget: Duration,
    /// Hours; `None` for never.
    pub hours: Option<f64>,
    /// By mandatory gate.
    pub gates: Vec<Estimate>,
}

/// How long a plan takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Feasibility {
    /// By stage.
    pub steps: Vec<StepEstimate>,
    /// Hours to the promotion; `None` for never.
    pub hours: Option<f64>,
}

/// How long this plan takes at these rates.
#[must_use]
pub fn feasibility(plan: &Plan, rates: &Rates) -> Feasibility {
    let mut steps = Vec::new();
    if let Some(shadow) = plan.shadow {
        let per_hour = rates.units_per_hour * shadow.share.get();
        let gate = plan.gates.disagreement.filter(|gate| gate.mode == Mode::Mandatory);
        let mut gates: Vec<Estimate> = gate
            .iter()
            .map(|gate| estimate(GateName::Disagreement, disagreement(plan, gate, rates), per_hour))
            .collect();
        if plan.gates.disagreement.is_some() {
            gates.push(estimate(GateName::Disagreement, Some(shadow.units as f64), per_hour));
        }
        steps.push(step(Stage::Shadowing, shadow.share, shadow.budget, Duration::ZERO, gates));
    }
    for (i, planned) in plan.steps.iter().enumerate() {
        let rho = planned.weight.get();
        let mut gates = Vec::new();
        if let Some(gate) = plan.gates.errors.filter(|gate| gate.mode == Mode::Mandatory) {
            gates.push(estimate(GateName::Errors, errors(plan, &gate, i, rho, rates.error_rate), rates.units_per_hour));
        }
        if let Some(gate) = plan.gates.latency.filter(|gate| gate.mode == Mode::Mandatory) {
            let runs = rates.runs_per_hour.unwrap_or(rates.units_per_hour);
            gates.push(estimate(GateName::Latency, latency(plan, &gate, i, rho), runs));
        }
        steps.push(step(Stage::Stepping(i), planned.weight, planned.budget, planned.min_dwell, gates));
    }
    let hours = steps.iter().map(|step| step.hours).sum::<Option<f64>>();
    Feasibility { steps, hours }
}

impl Feasibility {
    /// Why the plan cannot finish, and what to change; `None` if it can.
    #[must_use]
    pub fn problem(&self, plan: &Plan) -> Option<String> {
        for step in &self.steps {
            let budget = step.budget.as_secs_f64() / 3600.0;
            let slowest = step.gates.iter().find(|gate| gate.hours.is_none_or(|hours| hours > budget));
            if let Some(gate) = slowest {
                let takes = gate
                    .hours
                    .map_or("can never accept".to_owned(), |hours| format!("needs about {}", hours_text(hours)));
                return Some(format!(
                    "at {} ({}) the gate '{}' {takes}, the budget is {}; lengthen the budget, raise the share, widen the gate's margin or its negligible rate, or make it a guard",
                    step.stage,
                    step.share,
                    gate.gate,
                    duration_text(step.budget)
                ));
            }
        }
        let deadline = plan.progress_deadline.as_secs_f64() / 3600.0;
        self.hours.filter(|hours| *hours > deadline).map(|hours| {
            format!(
                "all steps together need about {}, progress_deadline is {}; lengthen it, or widen the margins",
                hours_text(hours),
                duration_text(plan.progress_deadline)
            )
        })
    }
}

/// Hours in words.
#[must_use]
pub fn hours_text(hours: f64) -> String {
    duration_text(Duration::try_from_secs_f64((60.0 * hours).ceil() * 60.0).unwrap_or(Duration::MAX))
}

fn step(stage: Stage, share: TrafficShare, budget: Duration, least: Duration, gates: Vec<Estimate>) -> StepEstimate {
    let least = Some(least.as_secs_f64() / 3600.0);
    let hours = gates
        .iter()
        .map(|gate| gate.hours)
        .try_fold(least, |most, hours| hours.map(|hours| most.map(|most| hours.max(most))));
    StepEstimate { stage, share, budget, hours: hours.flatten(), gates }
}

fn estimate(gate: GateName, units: Option<f64>, per_hour: f64) -> Estimate {
    let hours = units.map(|units| units / per_hour).filter(|hours| hours.is_finite());
    Estimate { gate, hours }
}

/// Units until evidence that grows by `growth` per unit is enough, with `alternatives` to choose from.
fn until(plan: &Plan, growth: f64, alternatives: f64) -> Option<f64> {
    (growth > 0.0).then(|| (plan.alpha.ln_threshold() + alternatives.ln()) / growth)
}

fn errors(plan: &Plan, gate: &Errors, step: usize, rho: f64, rate: f64) -> Option<f64> {
    let ceiling = gate
        .ceiling
        .map(|ceiling| until(plan, rho * BoundedMean::growth(Side::Acceptable, ceiling.get(), rate), MEANS));
    let compared = compared(plan, plan.margin(Some(step), gate.margin), gate.negligible, rho, rate);
    both(compared, ceiling)
}

fn latency(plan: &Plan, gate: &Latency, step: usize, rho: f64) -> Option<f64> {
    let slo = gate.slo.map(|slo| {
        until(plan, rho * BoundedMean::growth(Side::Acceptable, slo.late.get(), HALF * slo.late.get()), MEANS)
    });
    let compared = compared(plan, plan.margin(Some(step), gate.margin), gate.negligible, rho, gate.slow.get());
    both(compared, slo)
}

/// By comparison, or by being too rare to be compared: whichever comes first.
fn compared(plan: &Plan, margin: f64, negligible: Option<TrafficShare>, rho: f64, rate: f64) -> Option<f64> {
    let parts = if negligible.is_some() { 2.0 } else { 1.0 };
    let relative = until(plan, rate * Attribution::growth(Side::Acceptable, margin, rho, 1.0), parts * RATIOS);
    let rare = negligible
        .and_then(|limit| until(plan, rho * BoundedMean::growth(Side::Acceptable, limit.get(), rate), parts * MEANS));
    match (relative, rare) {
        (Some(relative), Some(rare)) => Some(relative.min(rare)),
        (relative, rare) => relative.or(rare),
    }
}

fn both(compared: Option<f64>, ceiling: Option<Option<f64>>) -> Option<f64> {
    match ceiling {
        Some(ceiling) => Some(compared?.max(ceiling?)),
        None => compared,
    }
}

fn disagreement(plan: &Plan, gate: &Disagreement, rates: &Rates) -> Option<f64> {
    let direction = |limit: Option<TrafficShare>, denominator: f64| {
        let limit = limit?.get();
        Some(until(plan, denominator * BoundedMean::growth(Side::Acceptable, limit, HALF * limit), MEANS))
    };
    let defects = rates.defect_share;
    [direction(gate.escape, defects), direction(gate.class_swap, defects), direction(gate.overkill, 1.0 - defects)]
        .into_iter()
        .flatten()
        .try_fold(0.0, |most: f64, units| units.map(|units| most.max(units)))
}
