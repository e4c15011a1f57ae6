//! Whose failure was it? For units that are routed one by one.

use serde::{Deserialize, Serialize};

use super::{Mixture, Side, WORSE};

/// Evidence from who served what failed (Lindon and Malek, "Anytime-valid inference for multinomial count data", 2022, with
/// a grid for a prior).
///
/// If both versions fail equally often, a failure is the canary's with the probability `rho` at which its unit was routed
/// there. If the canary fails r times as often, with `q(r) = rho r / (1 - rho + rho r)`. So the traffic, its rate and the
/// failure rate itself need not be known or constant, and `rho` may change at any time.
///
/// The unit must be one independent failure: one failed run, or a client's request with all its retries. Counting each
/// request of a failed batch rejects a third of all good candidates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    side: Side,
    /// Ratio of failure rates, canary to stable, at the border of the null hypothesis.
    ratio: f64,
    evidence: Mixture,
}

/// Failures by who served them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// Of the version in service.
    pub stable: u64,
    /// Of the candidate.
    pub canary: u64,
}

impl Attribution {
    /// Evidence that the canary fails more than `tolerated` times as often as stable, 1 for "no more often". Restarting,
    /// so that a fault which comes late is found about as quickly as one from the start.
    #[must_use]
    pub fn worse(tolerated: f64) -> Self {
        Self { side: Side::Worse, ratio: sound(tolerated), evidence: Mixture::restarting(WORSE.len()) }
    }

    /// Evidence that the canary fails less than `margin` times as often as stable.
    #[must_use]
    pub fn acceptable(margin: f64) -> Self {
        Self { side: Side::Acceptable, ratio: sound(margin), evidence: Mixture::new(WORSE.len()) }
    }

    /// Takes in failures of units that were routed while the canary's share was `rho`. Where it was 0 or 1 there was nothing
    /// to compare, and they count as nothing.
    pub fn observe(&mut self, rho: f64, failures: Failures) {
        if !(rho > 0.0 && rho < 1.0) || failures == Failures::default() {
            return;
        }
        let all = failures.canary as f64 + failures.stable as f64;
        let at_border = 1.0 - rho + rho * self.ratio;
        let ln_ratios = alternatives(self.side).map(|times| {
            // ln(q'/q) = ln times + ln(D/D') for the canary's, ln((1-q')/(1-q)) = ln(D/D') for stable's.
            let beyond = 1.0 - rho + rho * self.ratio * times;
            all * (at_border / beyond).ln() + failures.canary as f64 * times.ln()
        });
        self.evidence.step(ln_ratios);
    }

    /// The logarithm of the evidence.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        self.evidence.ln_e()
    }

    /// Mean growth of the logarithm of the evidence per failure, for the best of the alternatives, if the canary really
    /// fails `ratio` times as often. For predicting how long a test takes.
    #[must_use]
    pub fn growth(side: Side, border: f64, rho: f64, ratio: f64) -> f64 {
        let truth = rho * ratio / (1.0 - rho + rho * ratio);
        let gain = |times: f64| {
            let (at_border, beyond) = (1.0 - rho + rho * border, 1.0 - rho + rho * border * times);
            (at_border / beyond).ln() + truth * times.ln()
        };
        alternatives(side).map(gain).fold(0.0, f64::max)
    }
}

/// Multiples of the border's ratio.
fn alternatives(side: Side) -> impl Iterator<Item = f64> {
    WORSE.into_iter().map(move |times| match side {
        Side::Worse => times,
        Side::Acceptable => 1.0 / times,
    })
}

/// A ratio to compute with.
fn sound(ratio: f64) -> f64 {
    if ratio.is_finite() { ratio.clamp(1e-6, 1e6) } else { 1.0 }
}
