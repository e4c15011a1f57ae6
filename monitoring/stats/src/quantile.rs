//! Sample quantiles by linear interpolation (Hyndman and Fan 1996, type 7), as numpy computes them.

/// The `q`-quantile, `q` in [0, 1], of a sample in ascending order. `None` for an empty sample.
#[must_use]
pub fn of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let position = Position::new(sorted.len(), q);
    Some(position.between(*sorted.get(position.below)?, *sorted.get(position.above)?))
}

/// Where a quantile lies: between the values of two ranks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(crate) below: usize,
    pub(crate) above: usize,
    weight: f64,
}

impl Position {
    /// Among `n` values.
    pub(crate) fn new(n: usize, q: f64) -> Self {
        let last = n.saturating_sub(1);
        let position = last as f64 * q.clamp(0.0, 1.0);
        let below = (position.floor() as usize).min(last);
        Self { below, above: (below + 1).min(last), weight: position - below as f64 }
    }

    /// The quantile from the values of the two ranks.
    pub(crate) fn between(self, low: f64, high: f64) -> f64 {
        if low == high {
            return low;
        }
        // From the nearer end, so that neither end is missed by rounding.
        if self.weight < 0.5 { low + (high - low) * self.weight } else { high - (high - low) * (1.0 - self.weight) }
    }
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
