//! Evidence one may look at as often as one likes: sequential tests of one version of a model against another.
//!
//! Each test is an e-process: a number that starts at 1 and whose mean stays at most 1 while its null hypothesis holds, at
//! whatever moment one stops. It reaches `1/alpha` with probability of at most `alpha` (Ville 1939), so a decision may be
//! asked for after every event. All of them are kept as logarithms, are finite for every finite input, and are serialisable:
//! what was stored and read again continues exactly.
//!
//! | test | unit | null hypothesis |
//! |---|---|---|
//! | [`Attribution`] | a failure, with the canary's share when it was routed | the ratio of the versions' failure rates is at most (or at least) so much |
//! | [`BoundedMean`] | a value in `[0, 1]`, or so many bad ones of so many | the mean is at most (or at least) so much |
//! | [`Stations`] | a station over an epoch | a station's failures do not depend on which version it was given |
//! | [`McNemar`] | a pair of answers of which exactly one is right | the candidate is the wrong one at most (or at least) so often |
//! | [`dkw`] | a score | not an e-process: a band around an empirical distribution, for all sample sizes at once |
//!
//! Tests come in two directions: one that [rejects](Side::Worse) a candidate as worse than tolerated, and one that
//! [accepts](Side::Acceptable) it as not worse than a margin. Neither is the absence of the other.
//!
//! Evidence combines: the mean of e-values is an e-value however they depend on each other ([`ln_mean`]), and the product of
//! independent ones is too.

mod alpha;
mod attribution;
mod bounded_mean;
pub mod dkw;
mod log;
mod mcnemar;
mod mixture;
mod stations;
#[cfg(test)]
mod tests;

pub use alpha::{Alpha, BadAlpha};
pub use attribution::{Attribution, Failures};
pub use bounded_mean::BoundedMean;
pub use log::ln_mean;
pub use mcnemar::McNemar;
pub use mixture::Mixture;
pub use stations::{Block, Law, Stations, thin};

use serde::{Deserialize, Serialize};

/// What a test looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Evidence that the candidate is worse than tolerated.
    Worse,
    /// Evidence that the candidate is better than a margin that would not be acceptable.
    Acceptable,
}

/// How many times worse than tolerated a candidate may be. Evidence is the mean over these.
pub(crate) const WORSE: [f64; 6] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0];
