//! An estimate against what it comes to on the reference's own panes.

use super::{Judged, Reason};

/// Judges an estimate of PSI or KS from autocorrelated observations, for which no formula holds. `p` is its p-value among
/// the panes of the reference, held out and in the order of time (see [`crate::null`]).
///
/// Drift if it is beyond the limit and panes like it make up at most `error` of the reference; ok if it is within the
/// limit, as both PSI and KS err upwards.
#[must_use]
pub fn by_null_panes(estimate: f64, p: f64, limit: f64, error: f64) -> Judged {
    let reason = if estimate.is_nan() {
        Reason::TooFewObservations
    } else if estimate <= limit {
        Reason::BelowBound
    } else if p <= error {
        Reason::AboveBound
    } else {
        Reason::SeenInReference
    };
    Judged::new(reason, limit, limit)
}
