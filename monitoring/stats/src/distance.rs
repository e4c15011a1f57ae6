//! Distances of distributions that are no tests.

use crate::grid::total;
use crate::order::ascending;

/// The Wasserstein distance of order 1 of two samples, in their unit: `integral |F - G|`. NaN is left out; `None` where a
/// side is empty. Infinite or NaN where samples have infinities.
#[must_use]
pub fn wasserstein(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ascending(a), ascending(b));
    let mut from = a.first()?.min(*b.first()?);
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while i < a.len() || j < b.len() {
        let next = |side: &[f64], at: usize| side.get(at).copied().unwrap_or(f64::INFINITY);
        let to = next(&a, i).min(next(&b, j));
        let apart = (i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs();
        if to > from && apart > 0.0 {
            sum += apart * (to - from);
        }
        from = to;
        while a.get(i).is_some_and(|value| *value <= to) {
            i += 1;
        }
        while b.get(j).is_some_and(|value| *value <= to) {
            j += 1;
        }
    }
    Some(sum)
}

/// The Jensen-Shannon distance of two distributions over the same bins, from counts or weights: the square root of the
/// divergence, in nats; 0 for equal ones, `sqrt(ln 2)` for ones without a common bin. `None` unless both sides have the same bins
/// and something in them.
#[must_use]
pub fn jensen_shannon(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let (n, m) = (total(a)?, total(b)?);
    let divergence: f64 = a.iter().zip(b).map(|(a, b)| jensen_shannon_term(a / n, b / m)).sum();
    // Rounding may leave a trace below zero.
    Some(divergence.max(0.0).sqrt())
}

/// One bin's part of the Jensen-Shannon divergence, from its shares on either side, in nats; never negative but for
/// rounding.
#[must_use]
pub fn jensen_shannon_term(p: f64, q: f64) -> f64 {
    let half = |share: f64| if share > 0.0 { 0.5 * share * (2.0 * share / (p + q)).ln() } else { 0.0 };
    half(p) + half(q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_all_values_moves_them_by_the_wasserstein_distance() {
        assert_eq!(wasserstein(&[1.0, 2.0, 3.0], &[5.0, 3.0, 4.0, f64::NAN]), Some(2.0));
        assert_eq!(wasserstein(&[0.0, 1.0], &[0.0, 1.0, 0.0, 1.0]), Some(0.0));
        assert_eq!(wasserstein(&[0.0], &[]), None);
    }

    #[test]
    fn an_infinite_value_is_infinitely_far() {
        assert_eq!(wasserstein(&[0.0, f64::INFINITY], &[0.0, 1.0]), Some(f64::INFINITY));
    }

    #[test]
    fn distributions_without_a_common_bin_are_furthest_apart() {
        assert_eq!(jensen_shannon(&[3.0, 0.0], &[0.0, 5.0]), Some(2.0_f64.ln().sqrt()));
        assert_eq!(jensen_shannon(&[1.0, 2.0], &[2.0, 4.0]), Some(0.0));
        assert_eq!(jensen_shannon(&[1.0], &[1.0, 1.0]), None);
    }

    #[test]
    fn the_surprise_of_adtributor_is_one_term() {
        // Three cameras forecast 900 each; the second has 360, the others 882.
        let surprise = jensen_shannon_term(900.0 / 2_700.0, 360.0 / 2_124.0);
        assert!((surprise - 0.013_593_482_497_109_621).abs() < 1e-15, "{surprise}");
    }
}
