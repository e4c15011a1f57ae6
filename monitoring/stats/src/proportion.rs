//! Rates: exact bounds of one, and whether one fell by more than chance explains.

mod bounds;
mod overdispersed;
#[cfg(test)]
mod tests;

pub use bounds::{Interval, interval, lower_bound, upper_bound};
pub use overdispersed::{Comparison, Dispersion, compare};

/// So many hits in so many trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    hits: u64,
    trials: u64,
}

impl Rate {
    /// `None` without trials, or with more hits than trials.
    #[must_use]
    pub fn new(hits: u64, trials: u64) -> Option<Self> {
        (trials > 0 && hits <= trials).then_some(Self { hits, trials })
    }

    /// Hits per trial.
    #[must_use]
    pub fn value(self) -> f64 {
        self.hits as f64 / self.trials as f64
    }

    fn hits(self) -> f64 {
        self.hits as f64
    }

    fn trials(self) -> f64 {
        self.trials as f64
    }
}

/// How many independent observations weighted ones are worth: `(sum w)^2 / sum w^2` (Kish, "Survey Sampling", 1965).
/// Zero for no weights.
#[must_use]
pub fn effective_size(weights: &[f64]) -> f64 {
    let (sum, squares) = weights.iter().fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
    if squares > 0.0 { sum * sum / squares } else { 0.0 }
}
