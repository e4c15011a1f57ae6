//! Bad units of the candidate against stable's, with what is too rare to be compared, and under a ceiling.

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;
use takt_stats::sequential::{Alpha, BoundedMean, Failures, Side, ln_mean};

use super::event::{Exposure, PerArm, Runs, StationEpoch, Tally};
use super::limit::Limit;
use super::relative::{Relative, realised};
use super::{Against, GateReport, Verdict, Weighed};
use crate::plan::{GateName, Mode, Unit};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Comparison {
    relative: Relative,
    margin: f64,
    /// That the candidate's rate is below what is worth comparing.
    negligible: Option<BoundedMean>,
    seen: PerArm,
    in_step: u64,
}

impl Comparison {
    pub(super) fn new(unit: Unit, tolerated: f64, margin: f64, negligible: Option<TrafficShare>) -> Self {
        Self {
            relative: Relative::new(unit, tolerated, margin),
            margin,
            negligible: negligible.map(|rate| BoundedMean::below(rate.get())),
            seen: PerArm::default(),
            in_step: 0,
        }
    }

    pub(super) fn begin_step(&mut self, new_margin: f64, negligible: Option<TrafficShare>) {
        self.relative.begin_step(new_margin);
        self.margin = new_margin;
        self.negligible = negligible.map(|rate| BoundedMean::below(rate.get()));
        self.in_step = 0;
    }

    pub(super) fn served(&mut self, exposure: &Exposure) {
        self.count(exposure.stable, exposure.canary);
        let failures = Failures { stable: exposure.stable.bad, canary: exposure.canary.bad };
        self.relative.units(exposure.rho.get(), failures);
    }

    pub(super) fn stations(&mut self, epoch: &StationEpoch, uniform: impl FnMut() -> f64) {
        self.relative.stations(epoch, uniform);
    }

    /// The share that counts for runs is that of what really ran at this batch size: versions with different shares batch
    /// differently. A slow run is then the canary's with at most that probability if both are slow equally often: each run
    /// multiplies the mean of the evidence by `1 + p (L - 1)`, and the product over all is at most
    /// `exp(p (sum of L - 1)) = 1`.
    pub(super) fn runs(&mut self, runs: &Runs) {
        self.count(runs.stable, runs.canary);
        let failures = Failures { stable: runs.stable.bad, canary: runs.canary.bad };
        self.relative.units(realised(runs.stable, runs.canary), failures);
    }

    fn count(&mut self, stable: Tally, canary: Tally) {
        self.seen = self.seen.plus(stable, canary);
        self.in_step = self.in_step.saturating_add(canary.units);
        if let Some(negligible) = &mut self.negligible {
            negligible.observe_counts(canary.units, canary.bad);
        }
    }

    /// What it says, together with a limit on something of the same gate.
    pub(super) fn report(
        &self,
        limit: Option<&Limit>,
        what: &str,
        reject: Alpha,
        accept: Alpha,
        against: Against,
    ) -> GateReport {
        let ln_against: Vec<f64> =
            [Some(self.relative.ln_e(Side::Worse)), limit.map(Limit::ln_above)].into_iter().flatten().collect();
        let mut needed = Vec::new();
        if against == Against::Stable {
            // Not acceptable is who fails too often in comparison *and* not negligibly rarely: under that both are e-values.
            let both = [Some(self.relative.ln_e(Side::Acceptable)), self.negligible.as_ref().map(BoundedMean::ln_e)];
            let ln_e = ln_mean(&both.into_iter().flatten().collect::<Vec<_>>());
            needed.push((format!("not {} times stable's", self.margin), Weighed::new(ln_e, accept)));
        }
        if let Some(limit) = limit {
            needed.push((format!("{what} below {}", limit.limit()), Weighed::new(limit.ln_below(), accept)));
        }
        let weighed = Weighed::new(ln_mean(&ln_against), reject);
        GateReport {
            gate: GateName::Errors,
            mode: Mode::Mandatory,
            verdict: Verdict::of(&weighed, &needed, self.in_step),
            against: Some(weighed),
            needed,
            seen: self.seen,
            in_step: self.in_step,
            note: None,
        }
    }
}
