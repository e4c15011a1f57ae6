//! Whole stations are given to a version for a while: what is drawn is a block, a station over an epoch.

use serde::{Deserialize, Serialize};

use super::log::ln_add;
use super::{Mixture, Side, WORSE};

/// How much of each epoch's evidence is bet; the rest is kept. A bet on a law that does not hold can lose everything it
/// has, so it never has everything.
const BET: f64 = 0.9;

/// More events than this are thinned by their mean, from which chance would hardly differ.
const MOST_DRAWN: u64 = 1 << 20;
/// More failures than this are expected of no station.
const MOST_EXPECTED: f64 = 1e15;

/// Evidence from which stations were drawn (Fisher's randomisation test, made sequential): given what every station counted,
/// was the canary given to those that failed more? It assumes nothing about stations but that they do not know the draw;
/// stations may differ, change and fail in bursts. Decisions are taken at ends of blocks only.
///
/// For each alternative r a block with k failures is worth `b = r^k exp(-lambda (r - 1))`, the likelihood ratio of counts
/// of mean lambda r to such of mean lambda. lambda is what the station is expected to fail, from its own past: a wrong one
/// costs power and never validity.
///
/// [`thin`] the canary's failures by `1/r0` where r0 times as many are tolerated, before they become a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stations {
    side: Side,
    law: Law,
    evidence: Mixture,
}

/// How a station's failures scatter around their expectation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// As independent ones do: the variance is the mean.
    Poisson,
    /// In lots: the variance is `mean + mean^2 / size`.
    NegativeBinomial {
        /// The smaller, the more they scatter.
        size: f64,
    },
}

/// One station over one epoch, sealed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Failures.
    pub bad: u64,
    /// Failures expected from its past.
    pub expected: f64,
}

impl Stations {
    /// Evidence that stations with the canary fail more. Restarting, see [`Mixture`].
    #[must_use]
    pub fn worse(law: Law) -> Self {
        Self { side: Side::Worse, law: law.sound(), evidence: Mixture::restarting(WORSE.len()) }
    }

    /// Evidence that stations with the canary, their failures thinned by one over the margin, fail less.
    #[must_use]
    pub fn acceptable(law: Law) -> Self {
        Self { side: Side::Acceptable, law: law.sound(), evidence: Mixture::new(WORSE.len()) }
    }

    /// Takes in a block that was given to the canary with probability `drawn`, each block by itself. A block that could not
    /// have gone the other way says nothing.
    pub fn observe_alone(&mut self, drawn: f64, canary: bool, block: Block) {
        if !(drawn > 0.0 && drawn < 1.0) {
            return;
        }
        let ln_ratios = self.alternatives().map(|r| {
            let ln_b = self.law.ln_ratio(block, r);
            // a/w = b / (w b + 1 - w), and (1 - a)/(1 - w) = 1 / (w b + 1 - w).
            let both = ln_add(drawn.ln() + ln_b, (-drawn).ln_1p());
            mixed(if canary { ln_b } else { 0.0 } - both)
        });
        let ln_ratios: Vec<f64> = ln_ratios.collect();
        self.evidence.step(ln_ratios);
    }

    /// Takes in an epoch in which exactly `canary.len()` blocks out of all were drawn, each choice equally likely. Blocks
    /// that took no part in the draw, such as those that had the canary already when its share rose, are left out.
    pub fn observe_drawn(&mut self, canary: &[Block], stable: &[Block]) {
        if canary.is_empty() || stable.is_empty() {
            return;
        }
        let ln_choices = ln_symmetric(canary.len(), canary.iter().chain(stable).map(|_| 0.0));
        let ln_ratios = self.alternatives().map(|r| {
            let ln_b = |block: &Block| self.law.ln_ratio(*block, r);
            let drawn: f64 = canary.iter().map(ln_b).sum();
            let average = ln_symmetric(canary.len(), canary.iter().chain(stable).map(ln_b)) - ln_choices;
            mixed(drawn - average)
        });
        let ln_ratios: Vec<f64> = ln_ratios.collect();
        self.evidence.step(ln_ratios);
    }

    /// The logarithm of the evidence.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        self.evidence.ln_e()
    }

    fn alternatives(&self) -> impl Iterator<Item = f64> + use<> {
        let side = self.side;
        WORSE.into_iter().map(move |r| match side {
            Side::Worse => r,
            Side::Acceptable => 1.0 / r,
        })
    }
}

impl Law {
    /// A size that is none is no scatter beside chance.
    fn sound(self) -> Self {
        match self {
            Self::NegativeBinomial { size } if !(size > 0.0 && size.is_finite()) => Self::Poisson,
            law => law,
        }
    }

    fn ln_ratio(self, block: Block, r: f64) -> f64 {
        let (k, mean) =
            (block.bad as f64, if block.expected.is_finite() { block.expected.clamp(0.0, MOST_EXPECTED) } else { 0.0 });
        match self {
            Self::NegativeBinomial { size } => k * r.ln() - (k + size) * (mean * (r - 1.0) / (size + mean)).ln_1p(),
            Self::Poisson => k * r.ln() - mean * (r - 1.0),
        }
    }
}

/// Of `count` events, those that are kept where each is with probability `keep`. `uniform` gives random numbers in `[0, 1)`.
#[must_use]
pub fn thin(count: u64, keep: f64, mut uniform: impl FnMut() -> f64) -> u64 {
    if keep >= 1.0 {
        return count;
    }
    if count > MOST_DRAWN {
        return (count as f64 * keep.max(0.0)).round() as u64;
    }
    (0..count).filter(|_| uniform() < keep).count() as u64
}

/// The bet's part, and the part that was kept.
fn mixed(ln_ratio: f64) -> f64 {
    ln_add(ln_ratio + BET.ln(), (-BET).ln_1p())
}

/// The logarithm of the elementary symmetric polynomial of degree `m`: the sum over all choices of m of the values whose
/// logarithms these are, of their product.
fn ln_symmetric(m: usize, ln_values: impl Iterator<Item = f64>) -> f64 {
    let mut sums = vec![f64::NEG_INFINITY; m + 1];
    sums[0] = 0.0;
    for ln_value in ln_values {
        for degree in (1..=m).rev() {
            sums[degree] = ln_add(sums[degree], sums[degree - 1] + ln_value);
        }
    }
    sums[m]
}
