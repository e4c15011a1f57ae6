//! Values of a query, counted in a row.

use serde::{Deserialize, Serialize};

use super::event::{PerArm, Tally};
use super::{GateReport, Verdict};
use crate::plan::{GateName, Metric};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MetricEvidence {
    name: String,
    good_in_a_row: u32,
    bad_in_a_row: u32,
    in_step: u64,
    seen: Tally,
}

impl MetricEvidence {
    pub(super) fn new(gate: &Metric) -> Self {
        Self { name: gate.name.clone(), ..Self::default() }
    }

    pub(super) fn begin_step(&mut self) {
        self.good_in_a_row = 0;
        self.in_step = 0;
    }

    /// A value that is no number is no sample.
    pub(super) fn observe(&mut self, gate: &Metric, value: f64) {
        if value.is_nan() {
            return;
        }
        let bad = value > gate.ceiling;
        self.seen = self.seen.plus(Tally { units: 1, bad: u64::from(bad) });
        self.in_step += 1;
        (self.good_in_a_row, self.bad_in_a_row) =
            if bad { (0, self.bad_in_a_row.saturating_add(1)) } else { (self.good_in_a_row.saturating_add(1), 0) };
    }

    pub(super) fn report(&self, gate: &Metric) -> GateReport {
        let verdict = if self.bad_in_a_row >= gate.failures {
            Verdict::Reject
        } else if self.good_in_a_row >= gate.samples {
            Verdict::Accept
        } else {
            Verdict::Undecided
        };
        let note = format!(
            "{} good samples in a row of {} needed, {} bad ones of {} that reject; good is at most {}",
            self.good_in_a_row, gate.samples, self.bad_in_a_row, gate.failures, gate.ceiling
        );
        GateReport {
            gate: GateName::Metric(gate.name.clone()),
            mode: gate.mode,
            verdict,
            against: None,
            needed: Vec::new(),
            seen: PerArm { stable: Tally::default(), canary: self.seen },
            in_step: self.in_step,
            note: Some(note),
        }
    }
}
