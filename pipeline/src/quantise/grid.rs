//! Affine grids of integers: `real = scale * (integer - zero_point)` (Jacob et al. 2018, equation 1; onnx, QuantizeLinear).

use serde::{Deserialize, Serialize};

use super::observe::Range;

/// A grid of evenly spaced numbers, zero among them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Distance of two neighbours; above 0 and a normal number.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
    /// Least integer.
    pub low: i32,
    /// Largest integer.
    pub high: i32,
}

/// Scales below this would make their inverse or the product of two leave single precision.
const LEAST_SCALE: f32 = 1e-12;

impl Grid {
    /// All signed bytes.
    pub const INT8: (i32, i32) = (-128, 127);

    /// Unsigned bytes over `range`.
    #[must_use]
    pub fn asymmetric(range: Range) -> Self {
        let (low, high) = (0, 255);
        let scale = scale((f64::from(range.max) - f64::from(range.min)) / f64::from(high));
        // Both ends of the range are on the grid as nearly as an integral zero point allows.
        #[expect(clippy::cast_possible_truncation, reason = "clamped to a byte")]
        let zero_point = (-f64::from(range.min) / f64::from(scale)).round_ties_even().clamp(0.0, 255.0) as i32;
        Self { scale, zero_point, low, high }
    }

    /// Integers from `low` to `high` around zero point 0, of which `high` stands for `bound`.
    #[must_use]
    pub fn symmetric(bound: f32, (low, high): (i32, i32)) -> Self {
        Self { scale: scale(f64::from(bound) / f64::from(high)), zero_point: 0, low, high }
    }

    /// The integer nearest to `real`, of two the even one; 0's for what is no number.
    #[must_use]
    pub fn quantise(&self, real: f32) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the grid")]
        let steps = (real / self.scale).round_ties_even().clamp(-1e6, 1e6) as i32;
        (steps + self.zero_point).clamp(self.low, self.high)
    }

    /// What an integer stands for.
    #[must_use]
    pub fn real(&self, integer: i32) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "integers of a grid are bytes")]
        let steps = (integer - self.zero_point) as f32;
        steps * self.scale
    }

    /// `real`, moved onto the grid.
    #[must_use]
    pub fn snap(&self, real: f32) -> f32 {
        self.real(self.quantise(real))
    }

    /// What the ends of the grid stand for.
    #[must_use]
    pub fn range(&self) -> Range {
        Range { min: self.real(self.low), max: self.real(self.high) }
    }
}

/// A width without any extent gets a scale that hurts nobody.
#[expect(clippy::cast_possible_truncation, reason = "scales are single precision")]
fn scale(exact: f64) -> f32 {
    let scale = exact as f32;
    if scale < f32::MIN_POSITIVE { 1.0 } else { scale.max(LEAST_SCALE) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_from_zero_has_zero_point_zero() {
        let grid = Grid::asymmetric(Range { min: 0.0, max: 6.0 });
        assert_eq!((grid.zero_point, grid.scale), (0, 6.0 / 255.0));
        assert_eq!((grid.quantise(-1.0), grid.quantise(3.0), grid.quantise(9.0)), (0, 128, 255));
    }

    #[test]
    fn halves_go_to_the_even_integer() {
        let grid = Grid { scale: 1.0, zero_point: 0, low: -128, high: 127 };
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|real| grid.quantise(real)), [0, 2, 2, 0, -2]);
    }

    #[test]
    fn a_range_of_nothing_gives_a_grid_that_works() {
        for grid in [Grid::asymmetric(Range::default()), Grid::symmetric(0.0, (-127, 127))] {
            assert_eq!((grid.scale, grid.snap(0.0)), (1.0, 0.0));
        }
        assert_eq!(Grid::asymmetric(Range::default()).quantise(f32::NAN), 0);
    }

    proptest! {
        #[test]
        fn zero_is_exact_and_nothing_inside_moves_further_than_a_step(
            min in -1e4_f32..=0.0, max in 0.0_f32..=1e4, share in 0.0_f32..=1.0,
        ) {
            prop_assume!(max - min > 1e-3);
            let real = min + share * (max - min);
            let grid = Grid::asymmetric(Range { min, max });
            prop_assert_eq!(grid.snap(0.0), 0.0);
            // Half a step for rounding and half a step by which the zero point moved the ends.
            prop_assert!((grid.snap(real) - real).abs() <= grid.scale * 1.001);
            let grid = Grid::symmetric(max.max(-min), (-127, 127));
            prop_assert!((grid.snap(real) - real).abs() <= grid.scale * 0.5001);
        }

        #[test]
        fn snapping_twice_changes_nothing(min in -100.0_f32..=0.0, max in 0.1_f32..100.0, real in -200.0_f32..200.0) {
            let grid = Grid::asymmetric(Range { min, max });
            prop_assert_eq!(grid.snap(grid.snap(real)), grid.snap(real));
        }
    }
}
