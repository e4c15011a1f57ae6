//! Evidence as a mean over alternatives, and over the moments at which something may have begun to go wrong.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::log::{ln_add, ln_mean};

/// Beyond this, a single step's evidence is cut off; sums of so many steps as a `u64` counts stay finite.
const MOST: f64 = 1e15;

/// An e-process made of likelihood ratios against a grid of alternatives.
///
/// A fault that comes late hides behind all the evidence that was gathered against it before. So evidence can also be
/// *restarting*: `E = sum_j w_j E^(from j)` with `w_j = 6 / (pi^2 j^2)`, where `E^(from j)` has seen the steps from the j-th
/// on and is 1 before. Weights that sum to 1 over e-processes give an e-process.
///
/// That is infinitely many of them, and it needs no more memory than one: those that have started share every later factor
/// L, so for each alternative their weighted sum obeys `M <- (M + w_j) L` exactly. Those that have not are worth the
/// weights not yet spent. Nothing is dropped or approximated, and a step costs one operation per alternative.
///
/// A step is what was handed over at once. Its events may have come in any order, so no restart lies inside it: an order
/// made up afterwards, say all good ones first, would be evidence made up as well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mixture {
    /// Per alternative, the logarithm of its martingale.
    points: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restarts: Option<Restarts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Restarts {
    /// Steps seen.
    steps: u64,
    /// What the weights of later restarts sum to.
    unspent: f64,
}

impl Mixture {
    /// Over so many alternatives, from the first step on.
    #[must_use]
    pub fn new(alternatives: usize) -> Self {
        Self { points: vec![0.0; alternatives], restarts: None }
    }

    /// The same, also from every later step on.
    #[must_use]
    pub fn restarting(alternatives: usize) -> Self {
        // No martingale has started: the least finite number stands for the logarithm of 0, which JSON cannot say.
        Self { points: vec![f64::MIN; alternatives], restarts: Some(Restarts { steps: 0, unspent: 1.0 }) }
    }

    /// Takes in a step: the logarithm of its likelihood ratio against each alternative. NaN counts as no evidence.
    pub fn step(&mut self, ln_ratios: impl IntoIterator<Item = f64>) {
        let ln_start = self.restarts.as_mut().map(Restarts::spend);
        for (point, ratio) in self.points.iter_mut().zip(ln_ratios) {
            if let Some(ln_start) = ln_start {
                *point = ln_add(*point, ln_start);
            }
            *point += if ratio.is_nan() { 0.0 } else { ratio.clamp(-MOST, MOST) };
        }
    }

    /// The logarithm of the evidence.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        let started = ln_mean(&self.points);
        match self.restarts {
            Some(Restarts { unspent, .. }) if unspent > 0.0 => ln_add(started, unspent.ln()),
            _ => started,
        }
    }
}

impl Restarts {
    /// The logarithm of the weight of the restart that comes now.
    fn spend(&mut self) -> f64 {
        self.steps = self.steps.saturating_add(1);
        let step = self.steps as f64;
        let weight = 6.0 / (PI * PI * step * step);
        self.unspent = (self.unspent - weight).max(0.0);
        weight.ln()
    }
}
