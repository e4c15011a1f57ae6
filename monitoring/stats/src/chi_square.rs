//! Pearson's chi-square test of two samples over the same categories.

use crate::grid::total;
use crate::special::gamma_upper;

/// What a chi-square test found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// Pearson's X^2.
    pub statistic: f64,
    /// Degrees of freedom: one less than there are categories that either sample has.
    pub degrees: usize,
    /// Probability of a statistic at least as large when both samples come from one distribution.
    pub p: f64,
}

/// Compares the counts of two samples, without continuity correction. `None` unless both have the same categories and
/// something in them. Two samples of one and the same category do not differ: X^2 = 0 and p = 1.
#[must_use]
pub fn two_samples(a: &[f64], b: &[f64]) -> Option<ChiSquare> {
    if a.len() != b.len() {
        return None;
    }
    let (n, m) = (total(a)?, total(b)?);
    let mut statistic = 0.0;
    let mut seen: usize = 0;
    for (a, b) in a.iter().zip(b).filter(|(a, b)| **a + **b > 0.0) {
        let both = a + b;
        let (expected_a, expected_b) = (both * (n / (n + m)), both * (m / (n + m)));
        statistic += (a - expected_a).powi(2) / expected_a + (b - expected_b).powi(2) / expected_b;
        seen += 1;
    }
    let degrees = seen.saturating_sub(1);
    let p = if degrees == 0 { 1.0 } else { upper(statistic, degrees as f64) };
    Some(ChiSquare { statistic, degrees, p })
}

/// The share of a chi-square distribution above `x`.
#[must_use]
pub fn upper(x: f64, degrees: f64) -> f64 {
    gamma_upper(degrees / 2.0, x / 2.0)
}

#[cfg(test)]
mod tests {
    use super::two_samples;

    #[test]
    fn one_category_does_not_differ_from_itself() {
        let found = two_samples(&[5.0, 0.0], &[7.0, 0.0]).unwrap();
        assert_eq!((found.statistic, found.degrees, found.p), (0.0, 0, 1.0));
    }

    #[test]
    fn samples_without_counts_are_not_compared() {
        assert_eq!(two_samples(&[0.0], &[1.0]), None);
        assert_eq!(two_samples(&[1.0, 2.0], &[1.0]), None);
    }
}
