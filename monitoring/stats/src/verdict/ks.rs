//! The KS distance against a limit.

use super::{Judged, Reason};
use crate::grid::KsBounds;

/// Judges the KS distance between samples of `n` and `m` independent observations.
///
/// `eps = sqrt(ln(2/error)/2) (1/sqrt n + 1/sqrt m)`: each side's distribution function is off by more than its part of
/// eps with probability of at most `error` (Dvoretzky, Kiefer and Wolfowitz 1956; Massart 1990), for any n and m and any
/// distribution. Drift if `lo - eps > limit`, ok if `hi + eps < limit`.
#[must_use]
pub fn ks(bounds: KsBounds, n: f64, m: f64, limit: f64, error: f64) -> Judged {
    let eps = (0.5 * (2.0 / error).ln()).sqrt() * (n.sqrt().recip() + m.sqrt().recip());
    if eps.is_nan() || eps >= 1.0 {
        return Judged::new(Reason::TooFewObservations, f64::NEG_INFINITY, f64::INFINITY);
    }
    let (ok_to, drift_from) = (limit - eps, limit + eps);
    let reason = if bounds.lo > drift_from {
        Reason::AboveBound
    } else if bounds.hi < ok_to {
        Reason::BelowBound
    } else {
        Reason::BetweenBounds
    };
    Judged::new(reason, ok_to, drift_from)
}
