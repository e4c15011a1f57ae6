//! Sample quantiles by linear interpolation (Hyndman and Fan 1996, type 7), as numpy computes them.

/// The `q`-quantile, `q` in [0, 1], of a sample in ascending order. `None` for an empty sample.
#[must_use]
pub fn of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    (!sorted.is_empty()).then(|| linear(sorted.len(), &at, q))
}

/// The same of `n` > 0 values that lie in order elsewhere.
pub(crate) fn linear(n: usize, sorted: &impl Fn(usize) -> f64, q: f64) -> f64 {
    let last = n.saturating_sub(1);
    let position = last as f64 * q.clamp(0.0, 1.0);
    let below = (position.floor() as usize).min(last);
    let (low, high) = (sorted(below), sorted((below + 1).min(last)));
    if low == high {
        return low;
    }
    let weight = position - below as f64;
    // From the nearer end, so that neither end is missed by rounding.
    if weight < 0.5 { low + (high - low) * weight } else { high - (high - low) * (1.0 - weight) }
}

#[cfg(test)]
mod tests {
    use super::of_sorted;

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(of_sorted(&sorted, 0.0), Some(1.0));
        assert_eq!(of_sorted(&sorted, 0.75), Some(3.0));
        assert_eq!(of_sorted(&sorted, 1.0), Some(4.0));
        assert_eq!(of_sorted(&[f64::INFINITY; 2], 0.3), Some(f64::INFINITY));
        assert_eq!(of_sorted(&[], 0.5), None);
    }
}
