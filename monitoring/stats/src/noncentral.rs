//! The noncentral chi-square distribution, which a chi-square-like statistic follows when the truth is a given distance
//! away: a Poisson mixture of central ones (Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions" 2,
//! chapter 29), summed from its heaviest term outwards.

use crate::special::{gamma_lower, increasing, poisson};

/// A mixture's further terms are dropped below this weight.
const NEGLIGIBLE: f64 = 1e-18;

/// The share below `x` of a noncentral chi-square distribution with `degrees` > 0 of freedom and `noncentrality` >= 0;
/// absolute error about 1e-12. Time grows with the square root of the noncentrality: 10 ms or so at 1e9.
#[must_use]
pub fn cdf(x: f64, degrees: f64, noncentrality: f64) -> f64 {
    mixture(x, degrees, noncentrality).0
}

/// The `p`-quantile, for `p` in (0, 1).
#[must_use]
pub fn ppf(p: f64, degrees: f64, noncentrality: f64) -> f64 {
    let mean = degrees + noncentrality;
    let deviation = (2.0 * (degrees + 2.0 * noncentrality)).sqrt();
    let mut high = mean + 3.0 * deviation;
    while cdf(high, degrees, noncentrality) < p && high.is_finite() {
        high += high;
    }
    let excess = |x| {
        let (below, density) = mixture(x, degrees, noncentrality);
        (below - p, density)
    };
    increasing(excess, 0.0, high, mean)
}

/// Share below `x` and density at `x`.
fn mixture(x: f64, degrees: f64, noncentrality: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 0.0);
    }
    let (mean, half) = (noncentrality / 2.0, x / 2.0);
    let heaviest = mean.floor();
    let shape = degrees / 2.0 + heaviest;
    let start = Term {
        index: heaviest,
        weight: poisson(heaviest, mean),
        shape,
        below: gamma_lower(shape, half),
        step: poisson(shape, half),
    };
    let (mut below, mut density) = (0.0, 0.0);
    let mut add = |term: &Term| {
        below += term.weight * term.below;
        density += term.weight * term.step * term.shape / x;
    };
    let mut term = start;
    while term.weight > NEGLIGIBLE {
        add(&term);
        term = term.up(mean, half);
    }
    let mut term = start;
    while term.index > 0.0 && term.weight > NEGLIGIBLE {
        term = term.down(mean, half);
        add(&term);
    }
    (below.min(1.0), density)
}

/// One central distribution of the mixture, of shape `degrees / 2 + index`.
#[derive(Clone, Copy)]
struct Term {
    index: f64,
    weight: f64,
    shape: f64,
    /// `P(shape, x/2)`.
    below: f64,
    /// `P(shape, x/2) - P(shape + 1, x/2)`.
    step: f64,
}

impl Term {
    fn up(self, mean: f64, half: f64) -> Self {
        let (index, shape) = (self.index + 1.0, self.shape + 1.0);
        let below = (self.below - self.step).max(0.0);
        Self { index, shape, below, weight: self.weight * mean / index, step: self.step * half / shape }
    }

    fn down(self, mean: f64, half: f64) -> Self {
        let step = self.step * self.shape / half;
        let below = (self.below + step).min(1.0);
        Self { index: self.index - 1.0, shape: self.shape - 1.0, below, weight: self.weight * self.index / mean, step }
    }
}
