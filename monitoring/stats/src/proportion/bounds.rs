//! Exact bounds of a rate (Clopper and Pearson 1934): they hold the stated confidence for every true rate.

use super::Rate;
use crate::special::{Tail, beta_quantile};

/// Bounds of a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Not above the true rate.
    pub lower: f64,
    /// Not below the true rate.
    pub upper: f64,
}

/// Both bounds, right together with probability of at least `confidence`.
#[must_use]
pub fn interval(rate: Rate, confidence: f64) -> Interval {
    let one_sided = 0.5 + 0.5 * confidence;
    Interval { lower: lower_bound(rate, one_sided), upper: upper_bound(rate, one_sided) }
}

/// A bound that is below the true rate with probability of at least `confidence`, in (0, 1).
#[must_use]
pub fn lower_bound(rate: Rate, confidence: f64) -> f64 {
    let (hits, trials) = (rate.hits(), rate.trials());
    if hits == 0.0 {
        return 0.0;
    }
    beta_quantile(Tail::Lower(1.0 - confidence), hits, trials - hits + 1.0)
}

/// A bound that is above the true rate with probability of at least `confidence`, in (0, 1).
#[must_use]
pub fn upper_bound(rate: Rate, confidence: f64) -> f64 {
    let (hits, trials) = (rate.hits(), rate.trials());
    if hits == trials {
        return 1.0;
    }
    beta_quantile(Tail::Upper(1.0 - confidence), hits + 1.0, trials - hits)
}
