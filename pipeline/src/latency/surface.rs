//! Times over two counts.

/// Microseconds over a grid of counts, bilinear between its points and level beyond its ends. Never falls where a count grows:
/// what says so was disturbed while it was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Surface {
    xs: Vec<f64>,
    ys: Vec<f64>,
    /// A row per x.
    times: Vec<f64>,
}

impl Surface {
    /// `times` are in the order of the grid's points, the second count running faster; both counts rise.
    #[must_use]
    pub fn new([xs, ys]: [Vec<usize>; 2], mut times: Vec<f64>) -> Self {
        let width = ys.len();
        times.resize(xs.len() * width, 0.0);
        // The least of all that are no smaller: a disturbance only ever adds time.
        for at in (0..times.len()).rev() {
            let above = (at + width < times.len()).then(|| times[at + width]);
            let beside = ((at + 1) % width.max(1) != 0).then(|| times[at + 1]);
            times[at] = above.into_iter().chain(beside).fold(times[at], f64::min);
        }
        let real = |counts: Vec<usize>| counts.into_iter().map(|count| count as f64).collect();
        Self { xs: real(xs), ys: real(ys), times }
    }

    /// The time at two counts; 0 of an empty grid.
    #[must_use]
    pub fn at(&self, x: f64, y: f64) -> f64 {
        let ((left, right, across), (low, high, up)) = (place(&self.xs, x), place(&self.ys, y));
        let time = |x: usize, y: usize| self.times.get(x * self.ys.len() + y).copied().unwrap_or(0.0);
        let along = |x| time(x, low) * (1.0 - up) + time(x, high) * up;
        along(left) * (1.0 - across) + along(right) * across
    }
}

/// The neighbours of a count, and how far it is from the first to the second.
fn place(counts: &[f64], count: f64) -> (usize, usize, f64) {
    let right = counts.partition_point(|&there| there < count).min(counts.len().saturating_sub(1));
    let left = right.saturating_sub(1);
    let (Some(&from), Some(&to)) = (counts.get(left), counts.get(right)) else { return (0, 0, 0.0) };
    let share = if to > from { ((count - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
    (left, right, share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn between_four_points_it_is_bilinear() {
        let surface = Surface::new([vec![8, 16], vec![8, 32]], vec![1.0, 4.0, 2.0, 8.0]);
        for (x, y, time) in [(8.0, 8.0, 1.0), (16.0, 32.0, 8.0), (12.0, 8.0, 1.5), (12.0, 20.0, 3.75)] {
            assert_eq!(surface.at(x, y), time, "{x} {y}");
        }
        assert_eq!(surface.at(1.0, 100.0), 4.0, "level beyond the ends");
    }

    #[test]
    fn a_disturbed_point_does_not_make_more_channels_faster() {
        let surface = Surface::new([vec![8, 16, 32], vec![1]], vec![1.0, 9.0, 4.0]);
        assert_eq!(surface.at(16.0, 1.0), 4.0);
    }

    #[test]
    fn a_fixed_count_is_no_matter() {
        let surface = Surface::new([vec![3], vec![8, 16]], vec![1.0, 2.0]);
        assert_eq!(surface.at(3.0, 12.0), 1.5);
        assert_eq!(Surface::new([vec![], vec![]], vec![]).at(1.0, 1.0), 0.0);
    }

    proptest! {
        #[test]
        fn it_never_falls(times in proptest::collection::vec(0.0_f64..100.0, 12), x in 0.0_f64..70.0, y in 0.0_f64..40.0) {
            let surface = Surface::new([vec![8, 16, 32, 64], vec![8, 16, 32]], times);
            prop_assert!(surface.at(x + 3.0, y) >= surface.at(x, y) - 1e-9);
            prop_assert!(surface.at(x, y + 3.0) >= surface.at(x, y) - 1e-9);
        }
    }
}
