//! Bands around empirical distributions that hold for all sample sizes at once.

/// How far a distance is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The largest difference seen between the two empirical distributions.
    pub distance: f64,
    /// The true distance is not below this.
    pub lower: f64,
    /// Nor above this.
    pub upper: f64,
}

/// How far an empirical distribution of `n` independent observations may be from the true one, anywhere: with probability of
/// at least `1 - alpha` it is nowhere farther, for all n from 1 on (Howard and Ramdas, "Sequential estimation of quantiles
/// with applications to A/B testing and best-arm identification", 2022, theorem 2 with A = 0.85 and m = 1). At most 1.
#[must_use]
pub fn radius(n: u64, alpha: f64) -> f64 {
    if n == 0 || alpha.is_nan() || alpha <= 0.0 {
        return 1.0;
    }
    let n = n as f64;
    (0.85 * (((1.0 + n.ln()).ln() + 0.8 * (1612.0 / alpha).ln()) / n).sqrt()).min(1.0)
}

/// The distance between two distributions at the borders of bins, from counts per bin of both. The samples may be of the same
/// frames: each has half of `alpha`, and nothing is assumed about how they depend. `None` unless both have the same bins and
/// something in them.
#[must_use]
pub fn band(a: &[u64], b: &[u64], alpha: f64) -> Option<Band> {
    let total = |counts: &[u64]| counts.iter().try_fold(0_u64, |sum, n| sum.checked_add(*n)).filter(|sum| *sum > 0);
    let (all_a, all_b) = (total(a)?, total(b)?);
    if a.len() != b.len() {
        return None;
    }
    let (mut below_a, mut below_b, mut distance) = (0, 0, 0.0_f64);
    for (in_a, in_b) in a.iter().zip(b) {
        below_a += in_a;
        below_b += in_b;
        distance = distance.max((below_a as f64 / all_a as f64 - below_b as f64 / all_b as f64).abs());
    }
    let error = radius(all_a, 0.5 * alpha) + radius(all_b, 0.5 * alpha);
    Some(Band { distance, lower: (distance - error).max(0.0), upper: (distance + error).min(1.0) })
}
