//! Of two versions that disagreed, which was wrong? From labels that reach only some of the parts.

use serde::{Deserialize, Serialize};

use super::BoundedMean;

/// Probabilities that are bet on: that the candidate is the wrong one.
const WORSE: [f64; 5] = [0.55, 0.6, 0.7, 0.8, 0.9];

/// McNemar's test, valid at any time: of the pairs in which exactly one version was right, how often was the candidate the
/// wrong one? For a pair, each alternative p gives the factor `2 p` if it was and `2 (1 - p)` if not.
///
/// Pairs are inspected with a known probability. Where it is not the same for all, a pair counts for one over it
/// (Horvitz and Thompson 1952), scaled by the least probability of all so that no bet can lose more than it has; a pair that
/// was always going to be inspected then says little, because it was no sample. Both directions must have a chance to be
/// inspected: who inspects only what a version called defective finds its escapes never.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// The least probability with which any discordant pair is inspected.
    least: f64,
    evidence: BoundedMean,
}

impl McNemar {
    /// Evidence that the candidate is the wrong one in more than half of the pairs. `least` is the least probability, in
    /// `(0, 1]`, with which a discordant pair is inspected.
    #[must_use]
    pub fn worse(least: f64) -> Self {
        Self { least: sound(least), evidence: BoundedMean::against(0.5, WORSE.to_vec()) }
    }

    /// Evidence that the candidate is the wrong one in less than a share of `margin` of the pairs, which is above one half.
    #[must_use]
    pub fn acceptable(margin: f64, least: f64) -> Self {
        Self { least: sound(least), evidence: BoundedMean::below(margin) }
    }

    /// Takes in an inspected pair of which exactly one version was right; `inspected` is the probability with which it was
    /// chosen for inspection. One below the least, or no probability, is refused: `false`.
    pub fn observe(&mut self, candidate_wrong: bool, inspected: f64) -> bool {
        let known = inspected >= self.least && inspected <= 1.0;
        if known {
            self.evidence.observe_scaled(f64::from(u8::from(candidate_wrong)), self.least / inspected);
        }
        known
    }

    /// The logarithm of the evidence.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        self.evidence.ln_e()
    }
}

fn sound(least: f64) -> f64 {
    if least.is_nan() { 1.0 } else { least.clamp(1e-6, 1.0) }
}
