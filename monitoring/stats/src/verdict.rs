//! Drift, no drift, or too little known to say: verdicts that carry the sampling bound that decided.
//!
//! A bare limit on an estimate fires by chance: at 10 bins, 100,000 reference and 100 current observations, PSI passes 0.1
//! in four of ten panes with nothing wrong. Here an estimate must pass its limit by more than sampling error, in either
//! direction, or the verdict is open.
//!
//! [`psi()`] and [`ks()`] hold for independent observations: parts, or frames whose lag-1 autocorrelation is below 0.1.
//! Elsewhere thin the frames (see [`crate::correlation`]) or judge by null panes: [`by_null_panes`].

mod ks;
mod panes;
mod psi;
#[cfg(test)]
mod tests;

pub use ks::ks;
pub use panes::by_null_panes;
pub use psi::{FEWEST_PER_BIN, PSI_ALONE_PER_BIN, PsiEvidence, psi};

/// Error probability of either side of a verdict where nobody asks for another.
pub const ERROR: f64 = 0.01;

/// Whether there is drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Beyond the limit by more than sampling error.
    Drift,
    /// Within the limit by more than sampling error.
    Ok,
    /// Sampling error leaves both possible.
    Undetermined,
}

/// Why a verdict is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The estimate lies beyond the bound above the limit.
    AboveBound,
    /// The estimate lies within the bound below the limit.
    BelowBound,
    /// The estimate lies between the bounds: more observations would tell.
    BetweenBounds,
    /// PSI lies beyond its bound, but there are too few observations to trust it alone, and Pearson's X^2 does not agree.
    PearsonDisagrees,
    /// Fewer observations than any bound holds for.
    TooFewObservations,
    /// Beyond the limit, but the reference's own panes go as far often enough.
    SeenInReference,
}

/// A verdict with what decided it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Estimates up to here are ok. May be negative: then none is.
    pub ok_to: f64,
    /// Estimates from here on are drift.
    pub drift_from: f64,
}

impl Verdict {
    /// A stable name, also for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Ok => "ok",
            Self::Undetermined => "undetermined",
        }
    }
}

impl Reason {
    /// A stable name, also for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AboveBound => "above_bound",
            Self::BelowBound => "below_bound",
            Self::BetweenBounds => "between_bounds",
            Self::PearsonDisagrees => "pearson_disagrees",
            Self::TooFewObservations => "too_few_observations",
            Self::SeenInReference => "seen_in_reference",
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Self::AboveBound => Verdict::Drift,
            Self::BelowBound => Verdict::Ok,
            _ => Verdict::Undetermined,
        }
    }
}

impl Judged {
    fn new(reason: Reason, ok_to: f64, drift_from: f64) -> Self {
        Self { verdict: reason.verdict(), reason, ok_to, drift_from }
    }
}
