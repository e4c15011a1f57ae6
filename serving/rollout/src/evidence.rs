//! What was counted, weighed. One gate per question, each with the sequential tests that answer it; a gate says accept, reject
//! or undecided, and the numbers people see.
//!
//! Rejections share the plan's alpha equally; a gate with several tests against a candidate takes their mean, which is evidence
//! too. Acceptance needs every mandatory gate, so it is not split. Evidence *against* a candidate is carried from step to step,
//! whatever the shares were; evidence *for* it begins anew with each step, because what was good enough at 5 % says little
//! about 20 %.

use serde::{Deserialize, Serialize};
use takt_stats::sequential::Alpha;

use crate::plan::{GateName, Mode, Plan};
use crate::route::Salt;

mod comparison;
mod disagreement;
mod event;
mod labels;
mod limit;
mod metric;
mod relative;
mod scores;
#[cfg(test)]
mod tests;

pub use event::{
    Audit, Called, Drawn, Event, Exposure, LabelPair, PerArm, Runs, ShadowUnit, StationBlock, StationEpoch, Tally,
};

use comparison::Comparison;
use disagreement::DisagreementEvidence;
use labels::LabelEvidence;
use limit::Limit;
use metric::MetricEvidence;
use scores::ScoreEvidence;

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Surely not worse than the margin.
    Accept,
    /// Surely worse than tolerated.
    Reject,
    /// Neither is sure.
    Undecided,
}

/// Evidence beside what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// The logarithm of the e-value.
    pub ln_e: f64,
    /// The logarithm that decides.
    pub ln_threshold: f64,
}

/// What a gate says, and the numbers it says it from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Which.
    pub gate: GateName,
    /// How far its word reaches.
    pub mode: Mode,
    /// What it says.
    pub verdict: Verdict,
    /// Evidence against the candidate; none where the gate counts otherwise.
    pub against: Option<Weighed>,
    /// Evidence for it: all of these are needed.
    pub needed: Vec<(String, Weighed)>,
    /// Units and bad ones by version, since the rollout began.
    pub seen: PerArm,
    /// Units of the candidate within this step. A gate that saw none does not pass.
    pub in_step: u64,
    /// What the numbers do not say.
    pub note: Option<String>,
}

/// How a stage is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Beside stable.
    Stable,
    /// Alone, by ceilings: there is no stable beside it.
    Ceilings,
}

/// All evidence of a rollout. What was stored and read again continues exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    errors: Option<ErrorEvidence>,
    latency: Option<LatencyEvidence>,
    disagreement: Option<DisagreementEvidence>,
    labels: Option<LabelEvidence>,
    drift: Option<ScoreEvidence>,
    metrics: Vec<MetricEvidence>,
    /// Events taken in, which numbers random choices.
    taken: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ErrorEvidence {
    comparison: Comparison,
    ceiling: Option<Limit>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LatencyEvidence {
    comparison: Comparison,
    slo: Option<Limit>,
}

impl Verdict {
    fn of(against: &Weighed, needed: &[(String, Weighed)], in_step: u64) -> Self {
        if against.reached() {
            Self::Reject
        } else if in_step > 0 && !needed.is_empty() && needed.iter().all(|(_, weighed)| weighed.reached()) {
            Self::Accept
        } else {
            Self::Undecided
        }
    }
}

impl Weighed {
    pub(crate) fn new(ln_e: f64, alpha: Alpha) -> Self {
        Self { ln_e, ln_threshold: alpha.ln_threshold() }
    }

    /// Whether it decides.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.ln_e >= self.ln_threshold
    }

    /// The e-value, for people.
    #[must_use]
    pub fn e(&self) -> f64 {
        self.ln_e.exp().min(1e12)
    }

    /// The e-value that decides.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.ln_threshold.exp()
    }
}

impl Evidence {
    /// None yet.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let gates = &plan.gates;
        Self {
            errors: gates.errors.map(|gate| ErrorEvidence {
                comparison: Comparison::new(plan.unit, gate.tolerated, gate.margin, gate.negligible),
                ceiling: gate.ceiling.map(Limit::new),
            }),
            latency: gates.latency.map(|gate| LatencyEvidence {
                // Runs are attributed by what each version really ran, whatever is routed.
                comparison: Comparison::new(crate::plan::Unit::Part, gate.tolerated, gate.margin, gate.negligible),
                slo: gate.slo.map(|slo| Limit::new(slo.late)),
            }),
            disagreement: gates.disagreement.as_ref().map(DisagreementEvidence::new),
            labels: gates.labels.as_ref().map(LabelEvidence::new),
            drift: gates.drift.map(|_| ScoreEvidence::default()),
            metrics: gates.metrics.iter().map(MetricEvidence::new).collect(),
            taken: 0,
        }
    }

    /// Evidence for the candidate begins anew; evidence against it stays. `step` is the one that begins, `None` for other
    /// stages.
    pub fn begin_step(&mut self, plan: &Plan, step: Option<usize>) {
        if let (Some(evidence), Some(gate)) = (&mut self.errors, plan.gates.errors) {
            evidence.comparison.begin_step(plan.margin(step, gate.margin), gate.negligible);
            evidence.ceiling.iter_mut().for_each(Limit::begin_step);
        }
        if let (Some(evidence), Some(gate)) = (&mut self.latency, plan.gates.latency) {
            evidence.comparison.begin_step(plan.margin(step, gate.margin), gate.negligible);
            evidence.slo.iter_mut().for_each(Limit::begin_step);
        }
        self.metrics.iter_mut().for_each(MetricEvidence::begin_step);
    }

    /// Takes in what was counted. Random choices follow from the salt and how much was taken in before, so that a replay
    /// makes the same ones.
    pub fn take(&mut self, plan: &Plan, event: &Event, salt: Salt) {
        self.taken = self.taken.saturating_add(1);
        match event {
            Event::Served(exposure) => {
                if let Some(errors) = &mut self.errors {
                    errors.comparison.served(exposure);
                    errors.ceiling.iter_mut().for_each(|limit| limit.observe(exposure.canary));
                }
            }
            Event::Stations(epoch) => {
                if let Some(errors) = &mut self.errors {
                    errors.comparison.stations(epoch, salt.uniforms(self.taken));
                }
            }
            Event::Runs(runs) => {
                if let Some(latency) = &mut self.latency {
                    latency.comparison.runs(runs);
                }
            }
            Event::Answered(tally) => {
                self.latency
                    .iter_mut()
                    .filter_map(|latency| latency.slo.as_mut())
                    .for_each(|limit| limit.observe(*tally));
            }
            Event::ShadowRuns(tally) => {
                self.errors
                    .iter_mut()
                    .filter_map(|errors| errors.ceiling.as_mut())
                    .for_each(|limit| limit.observe(*tally));
            }
            Event::Shadow(unit) => self.disagreement.iter_mut().for_each(|evidence| evidence.observe(unit)),
            Event::Labelled(pair) => self.labels.iter_mut().for_each(|evidence| evidence.pair(pair)),
            Event::Audited(audit) => self.labels.iter_mut().for_each(|evidence| evidence.audit(audit)),
            Event::Scores { stable, canary } => {
                self.drift.iter_mut().for_each(|evidence| evidence.observe(stable, canary));
            }
            Event::Sample { metric, value } => {
                let gates = plan.gates.metrics.iter().zip(&mut self.metrics);
                gates
                    .filter(|(gate, _)| gate.name == *metric)
                    .for_each(|(gate, evidence)| evidence.observe(gate, *value));
            }
        }
    }

    /// What every gate says.
    #[must_use]
    pub fn reports(&self, plan: &Plan, against: Against) -> Vec<GateReport> {
        let (reject, accept) = (plan.alpha_per_gate(), plan.alpha);
        let mut reports = Vec::new();
        if let (Some(evidence), Some(gate)) = (&self.errors, plan.gates.errors) {
            let report = evidence.comparison.report(evidence.ceiling.as_ref(), "failure rate", reject, accept, against);
            reports.push(GateReport { gate: GateName::Errors, mode: gate.mode, ..report });
        }
        if let (Some(evidence), Some(gate)) = (&self.latency, plan.gates.latency) {
            let report = evidence.comparison.report(evidence.slo.as_ref(), "late answers", reject, accept, against);
            reports.push(GateReport { gate: GateName::Latency, mode: gate.mode, ..report });
        }
        if let (Some(evidence), Some(gate)) = (&self.disagreement, plan.gates.disagreement) {
            reports.push(GateReport { mode: gate.mode, ..evidence.report(reject, accept) });
        }
        if let (Some(evidence), Some(gate)) = (&self.labels, plan.gates.labels) {
            reports.push(GateReport { mode: gate.mode, ..evidence.report(reject, accept) });
        }
        if let (Some(evidence), Some(gate)) = (&self.drift, plan.gates.drift) {
            reports.push(GateReport { mode: gate.mode, ..evidence.report(gate.distance, reject) });
        }
        let metrics = plan.gates.metrics.iter().zip(&self.metrics);
        reports.extend(metrics.map(|(gate, evidence)| evidence.report(gate)));
        reports
    }

    /// Units compared on copies.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.disagreement.as_ref().map_or(0, DisagreementEvidence::units)
    }

    /// The share of parts that a version let through although they were bad, with a bound that is above it with a confidence of
    /// 95 %; `None` where no audit looked: not 0, but unknown.
    #[must_use]
    pub fn escapes(&self) -> Option<labels::Escapes> {
        self.labels.as_ref().and_then(LabelEvidence::escapes)
    }
}

pub use labels::Escapes;

impl GateName {
    /// Whether the gate judges copies, before any client is served.
    #[must_use]
    pub fn judges_copies(&self) -> bool {
        matches!(self, Self::Disagreement | Self::Drift)
    }
}
