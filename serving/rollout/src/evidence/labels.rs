//! Wrong answers, by inspectors: disagreements that were settled, and parts of a random audit.

use serde::{Deserialize, Serialize};
use takt_stats::proportion::{Rate, upper_bound};
use takt_stats::sequential::{Alpha, Attribution, Failures, McNemar, ln_mean};

use super::event::{Audit, LabelPair, PerArm, Tally};
use super::{GateReport, Verdict, Weighed};
use crate::plan::{GateName, Labels, Mode};

/// Confidence of published bounds.
const CONFIDENCE: f64 = 0.95;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LabelEvidence {
    worse: McNemar,
    acceptable: McNemar,
    /// Escapes that the audit found, by who let them through.
    escaped: Attribution,
    pairs: PerArm,
    refused: u64,
    audited: PerArm,
}

/// Parts that were let through although they were defective, as shares of audited ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Escapes {
    /// By the version in service.
    pub stable: Option<Bounded>,
    /// By the candidate.
    pub canary: Option<Bounded>,
}

/// A rate with a bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounded {
    /// As seen.
    pub rate: f64,
    /// Not below the true one with a confidence of 95 % (Clopper and Pearson 1934).
    pub upper: f64,
}

impl LabelEvidence {
    pub(super) fn new(gate: &Labels) -> Self {
        let least = gate.inspected.get();
        Self {
            worse: McNemar::worse(least),
            acceptable: McNemar::acceptable(gate.margin.get(), least),
            escaped: Attribution::worse(1.0),
            pairs: PerArm::default(),
            refused: 0,
            audited: PerArm::default(),
        }
    }

    pub(super) fn pair(&mut self, pair: &LabelPair) {
        let inspected = pair.inspected.get();
        self.acceptable.observe(pair.candidate_wrong, inspected);
        if self.worse.observe(pair.candidate_wrong, inspected) {
            let wrong = |wrong: bool| Tally { units: 1, bad: u64::from(wrong) };
            self.pairs = self.pairs.plus(wrong(!pair.candidate_wrong), wrong(pair.candidate_wrong));
        } else {
            self.refused += 1;
        }
    }

    pub(super) fn audit(&mut self, audit: &Audit) {
        self.escaped.observe(audit.rho.get(), Failures { stable: audit.stable.bad, canary: audit.canary.bad });
        self.audited = self.audited.plus(audit.stable, audit.canary);
    }

    pub(super) fn escapes(&self) -> Option<Escapes> {
        let (stable, canary) = (bounded(self.audited.stable), bounded(self.audited.canary));
        (stable.is_some() || canary.is_some()).then_some(Escapes { stable, canary })
    }

    pub(super) fn report(&self, reject: Alpha, accept: Alpha) -> GateReport {
        let weighed = Weighed::new(ln_mean(&[self.worse.ln_e(), self.escaped.ln_e()]), reject);
        let needed = vec![("wrong less often than stable".to_owned(), Weighed::new(self.acceptable.ln_e(), accept))];
        let escapes = |bounded: Option<Bounded>| {
            bounded.map_or("unknown".to_owned(), |b| format!("at most {:.2} %", 100.0 * b.upper))
        };
        let mut note = format!(
            "escapes, from the audit: stable {}, candidate {}",
            escapes(bounded(self.audited.stable)),
            escapes(bounded(self.audited.canary))
        );
        if self.refused > 0 {
            note += &format!("; {} labels left out, inspected less often than the plan says", self.refused);
        }
        GateReport {
            gate: GateName::Labels,
            mode: Mode::Guard,
            verdict: Verdict::of(&weighed, &needed, self.pairs.canary.units),
            against: Some(weighed),
            needed,
            seen: self.pairs.plus(self.audited.stable, self.audited.canary),
            in_step: self.pairs.canary.units,
            note: Some(note),
        }
    }
}

fn bounded(tally: Tally) -> Option<Bounded> {
    let rate = Rate::new(tally.bad, tally.units)?;
    Some(Bounded { rate: rate.value(), upper: upper_bound(rate, CONFIDENCE) })
}
