//! Is the mean of values in `[0, 1]` above or below a limit?

use serde::{Deserialize, Serialize};

use super::{Mixture, Side, WORSE};

/// Shares of the limit at which acceptance is looked for.
const ACCEPTABLE: [f64; 4] = [0.2, 0.4, 0.6, 0.8];
/// No alternative lies above this: the evidence would be lost with the first good unit.
const HIGHEST: f64 = 0.9;

/// Evidence by betting on values in `[0, 1]` (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
/// betting", 2024): for each alternative p a factor `1 + (x - d)(p - d) / (d (1 - d))`, which is 1 on average where the mean
/// is the limit d. For values 0 and 1 it is the likelihood ratio of p to d.
///
/// A unit is what is independent: a part, not each of its frames; a lot, where a lot's parts resemble each other, with the
/// mean over it as its value.
///
/// With no bad unit at all, acceptance needs about `ln 20 / ln(1 + d)` units at `alpha = 0.05`: 150 for a limit of 2 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundedMean {
    limit: f64,
    /// Means that are bet on.
    alternatives: Vec<f64>,
    evidence: Mixture,
}

impl BoundedMean {
    /// Evidence that the mean is above `limit`.
    #[must_use]
    pub fn above(limit: f64) -> Self {
        let limit = sound(limit);
        Self::against(limit, alternatives(Side::Worse, limit))
    }

    /// Evidence that the mean is below `limit`.
    #[must_use]
    pub fn below(limit: f64) -> Self {
        let limit = sound(limit);
        Self::against(limit, alternatives(Side::Acceptable, limit))
    }

    /// With evidence that restarts, for faults that may come late; see [`Mixture`].
    #[must_use]
    pub fn restarting(self) -> Self {
        Self { evidence: Mixture::restarting(self.alternatives.len()), ..self }
    }

    pub(super) fn against(limit: f64, alternatives: Vec<f64>) -> Self {
        Self { limit, evidence: Mixture::new(alternatives.len()), alternatives }
    }

    /// Takes in a value, cut off at 0 and 1; NaN is no observation.
    pub fn observe(&mut self, value: f64) {
        self.observe_scaled(value, 1.0);
    }

    /// Takes in a value that counts for only a part of a unit, `scale` from 0 to 1, which must not depend on the value.
    pub fn observe_scaled(&mut self, value: f64, scale: f64) {
        if value.is_nan() || scale.is_nan() || scale <= 0.0 {
            return;
        }
        let (value, scale, limit) = (value.clamp(0.0, 1.0), scale.min(1.0), self.limit);
        let bet = scale * (value - limit) / (limit * (1.0 - limit));
        self.evidence.step(self.alternatives.iter().map(|p| (bet * (p - limit)).ln_1p()));
    }

    /// Takes in `units` values of which `bad` were 1 and the others 0, as one step.
    pub fn observe_counts(&mut self, units: u64, bad: u64) {
        if units == 0 {
            return;
        }
        let (bad, good, limit) = (bad.min(units) as f64, units.saturating_sub(bad) as f64, self.limit);
        self.evidence.step(self.alternatives.iter().map(|p| ln_ratio(limit, *p, good, bad)));
    }

    /// The logarithm of the evidence.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        self.evidence.ln_e()
    }

    /// Mean growth of the logarithm of the evidence per unit, for the best of the alternatives, if units are really bad at
    /// `rate`. For predicting how long a test takes.
    #[must_use]
    pub fn growth(side: Side, limit: f64, rate: f64) -> f64 {
        let limit = sound(limit);
        let gain = |p: f64| ln_ratio(limit, p, 1.0 - rate, rate);
        alternatives(side, limit).into_iter().map(gain).fold(0.0, f64::max)
    }
}

/// Of so many good and bad units under p to that under the limit.
fn ln_ratio(limit: f64, p: f64, good: f64, bad: f64) -> f64 {
    bad * (p / limit).ln() + good * ((limit - p) / (1.0 - limit)).ln_1p()
}

fn alternatives(side: Side, limit: f64) -> Vec<f64> {
    match side {
        Side::Acceptable => ACCEPTABLE.iter().map(|share| limit * share).collect(),
        Side::Worse => {
            let within: Vec<f64> = WORSE.iter().map(|times| limit * times).filter(|p| *p <= HIGHEST).collect();
            if within.is_empty() { vec![0.5 + 0.5 * limit] } else { within }
        }
    }
}

/// A limit that is above 0 and below 1.
fn sound(limit: f64) -> f64 {
    if limit.is_nan() { 0.5 } else { limit.clamp(1e-9, 1.0 - 1e-9) }
}
