//! Other answers than stable's on the same parts. Each direction by its own denominator: where 3 % of parts are defective,
//! 2 % of all parts would be two thirds of the defects.

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;
use takt_stats::sequential::{Alpha, BoundedMean, ln_mean};

use super::event::{Called, PerArm, ShadowUnit, Tally};
use super::{GateReport, Verdict, Weighed};
use crate::plan::{Disagreement, GateName, Mode};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DisagreementEvidence {
    escape: Option<Direction>,
    overkill: Option<Direction>,
    class_swap: Option<Direction>,
    units: u64,
    differed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Direction {
    limit: TrafficShare,
    above: BoundedMean,
    below: BoundedMean,
    units: u64,
    sum: f64,
}

impl DisagreementEvidence {
    pub(super) fn new(gate: &Disagreement) -> Self {
        Self {
            escape: gate.escape.map(Direction::new),
            overkill: gate.overkill.map(Direction::new),
            class_swap: gate.class_swap.map(Direction::new),
            units: 0,
            differed: 0,
        }
    }

    pub(super) fn observe(&mut self, unit: &ShadowUnit) {
        if !unit.opposite.is_finite() || !unit.other_class.is_finite() {
            return;
        }
        self.units += 1;
        self.differed += u64::from(unit.opposite > 0.0 || unit.other_class > 0.0);
        match unit.stable {
            Called::Good => self.overkill.iter_mut().for_each(|direction| direction.observe(unit.opposite)),
            Called::Defect => {
                self.escape.iter_mut().for_each(|direction| direction.observe(unit.opposite));
                self.class_swap.iter_mut().for_each(|direction| direction.observe(unit.other_class));
            }
        }
    }

    pub(super) fn units(&self) -> u64 {
        self.units
    }

    pub(super) fn report(&self, reject: Alpha, accept: Alpha) -> GateReport {
        let named = [("escapes", &self.escape), ("overkill", &self.overkill), ("class swaps", &self.class_swap)];
        let directions: Vec<(&str, &Direction)> = named
            .into_iter()
            .filter_map(|(name, direction)| direction.as_ref().map(|direction| (name, direction)))
            .collect();
        let ln_against: Vec<f64> = directions.iter().map(|(_, direction)| direction.above.ln_e()).collect();
        let needed: Vec<(String, Weighed)> = directions
            .iter()
            .map(|(name, direction)| {
                (format!("{name} below {}", direction.limit), Weighed::new(direction.below.ln_e(), accept))
            })
            .collect();
        let rates = directions.iter().map(|(name, direction)| {
            let rate = if direction.units == 0 {
                "unknown".to_owned()
            } else {
                format!("{:.2} %", 100.0 * direction.sum / direction.units as f64)
            };
            format!("{name} {rate} of {}", direction.units)
        });
        let weighed = Weighed::new(ln_mean(&ln_against), reject);
        GateReport {
            gate: GateName::Disagreement,
            mode: Mode::Mandatory,
            verdict: Verdict::of(&weighed, &needed, self.units),
            against: Some(weighed),
            note: Some(rates.collect::<Vec<_>>().join(", ")),
            needed,
            seen: PerArm {
                stable: Tally { units: self.units, bad: 0 },
                canary: Tally { units: self.units, bad: self.differed },
            },
            in_step: self.units,
        }
    }
}

impl Direction {
    fn new(limit: TrafficShare) -> Self {
        let rate = limit.get();
        Self { limit, above: BoundedMean::above(rate), below: BoundedMean::below(rate), units: 0, sum: 0.0 }
    }

    fn observe(&mut self, share: f64) {
        self.units += 1;
        self.sum += share.clamp(0.0, 1.0);
        self.above.observe(share);
        self.below.observe(share);
    }
}
