//! A rate of the candidate against an absolute limit, both ways.

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;
use takt_stats::sequential::BoundedMean;

use super::event::Tally;

/// Whether the candidate's rate is surely above, or surely below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Limit {
    limit: TrafficShare,
    above: BoundedMean,
    below: BoundedMean,
}

impl Limit {
    pub(super) fn new(limit: TrafficShare) -> Self {
        Self { limit, above: BoundedMean::above(limit.get()).restarting(), below: BoundedMean::below(limit.get()) }
    }

    pub(super) fn begin_step(&mut self) {
        self.below = BoundedMean::below(self.limit.get());
    }

    pub(super) fn observe(&mut self, canary: Tally) {
        self.above.observe_counts(canary.units, canary.bad);
        self.below.observe_counts(canary.units, canary.bad);
    }

    pub(super) fn ln_above(&self) -> f64 {
        self.above.ln_e()
    }

    pub(super) fn ln_below(&self) -> f64 {
        self.below.ln_e()
    }

    pub(super) fn limit(&self) -> TrafficShare {
        self.limit
    }
}
