//! From a histogram to the range that a grid covers: clipping rare large values makes the steps for all others finer.

use serde::{Deserialize, Serialize};

use super::{Histogram, Range};
use crate::quantise::grid::Grid;

/// How the range of activations is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibration {
    /// Everything that was seen.
    MinMax,
    /// All but this share of the values on either side, 0.0001 for the percentile 99.99.
    Percentile(f64),
    /// The range whose quantised distribution diverges least from the true one (Kullback-Leibler; Migacz 2017).
    Entropy,
    /// The range with the least mean squared error (Banner et al. 2019).
    Mse,
}

/// How many bounds are tried.
const STEPS: usize = 96;

/// No more than this part of the range is clipped.
const LEAST: f32 = 0.1;

impl Calibration {
    /// What is tried where nobody has chosen.
    pub const TRIED: [Self; 5] =
        [Self::MinMax, Self::Percentile(1e-5), Self::Percentile(1e-4), Self::Entropy, Self::Mse];

    /// The range for a tensor. `grid` makes the grid that a range would get.
    #[must_use]
    pub fn choose(self, histogram: &Histogram, grid: &dyn Fn(Range) -> Grid) -> Range {
        let range = histogram.range();
        match self {
            Self::MinMax => range,
            Self::Percentile(share) => histogram.without_tails(share),
            Self::Mse | Self::Entropy => {
                let bins: Vec<_> = histogram.bins().collect();
                let cost = |range: Range| match self {
                    Self::Entropy => divergence(&bins, &grid(range)),
                    _ => squared_error(&bins, &grid(range)),
                };
                least(range, &cost)
            }
        }
    }
}

/// The part of `range` within a symmetric bound that costs least; of equal ones the widest.
fn least(range: Range, cost: &dyn Fn(Range) -> f64) -> Range {
    #[expect(clippy::cast_precision_loss, reason = "less than a hundred")]
    let shrunk = |step: usize| range.within(range.bound() * (1.0 - (1.0 - LEAST) * step as f32 / STEPS as f32));
    let costs = (0..STEPS).map(|step| (shrunk(step), cost(shrunk(step))));
    costs.reduce(|best, next| if next.1 < best.1 { next } else { best }).map_or(range, |(range, _)| range)
}

#[expect(clippy::cast_precision_loss, reason = "a sum over counts")]
fn squared_error(bins: &[(f32, u64)], grid: &Grid) -> f64 {
    bins.iter().map(|&(centre, count)| f64::from(centre - grid.snap(centre)).powi(2) * count as f64).sum()
}

/// Divergence of the quantised distribution from the clipped one. What is clipped is counted at the ends in the reference
/// alone; each step's mass spreads evenly over the bins that had any.
#[expect(clippy::cast_precision_loss, reason = "shares of counts")]
fn divergence(bins: &[(f32, u64)], grid: &Grid) -> f64 {
    let Range { min, max } = grid.range();
    let inside: Vec<_> = bins.iter().copied().filter(|&(centre, _)| (min..=max).contains(&centre)).collect();
    if inside.is_empty() {
        return f64::INFINITY;
    }
    let mut reference: Vec<f64> = inside.iter().map(|&(_, count)| count as f64).collect();
    let outside = |below: bool| -> f64 {
        bins.iter()
            .filter(|&&(centre, _)| if below { centre < min } else { centre > max })
            .map(|&(_, count)| count as f64)
            .sum()
    };
    let last = reference.len() - 1;
    reference[0] += outside(true);
    reference[last] += outside(false);
    let mut steps: Vec<(f64, f64)> = vec![(0.0, 0.0); usize::try_from(grid.high - grid.low + 1).unwrap_or(0)];
    let step = |centre: f32| usize::try_from(grid.quantise(centre) - grid.low).unwrap_or(0);
    for &(centre, count) in &inside {
        if let Some((mass, filled)) = steps.get_mut(step(centre)) {
            *mass += count as f64;
            *filled += 1.0;
        }
    }
    let total: f64 = reference.iter().sum();
    let kept: f64 = inside.iter().map(|&(_, count)| count as f64).sum();
    let spread = inside.iter().map(|&(centre, _)| steps.get(step(centre)).map_or(0.0, |(mass, filled)| mass / filled));
    reference.iter().zip(spread).map(|(p, q)| (p / total) * ((p / total) / (q / kept)).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values spread as a Laplace distribution with scale 1 by its quantiles, and whatever lies outside.
    fn laplace(outside: &[f32]) -> Histogram {
        let mut values: Vec<f32> = (1..20_000_u16).map(|at| -(1.0 - f32::from(at) / 20_000.0).ln()).collect();
        values.extend(values.clone().iter().map(|value| -value));
        values.extend_from_slice(outside);
        let mut histogram = Histogram::default();
        histogram.add(&values);
        histogram
    }

    fn unsigned(range: Range) -> Grid {
        Grid::asymmetric(range)
    }

    #[test]
    fn an_outlier_is_kept_by_min_max_and_clipped_by_shares_and_entropy() {
        let histogram = laplace(&[60.0]);
        assert_eq!(Calibration::MinMax.choose(&histogram, &unsigned).max, 60.0);
        for calibration in [Calibration::Percentile(1e-4), Calibration::Entropy] {
            let range = calibration.choose(&histogram, &unsigned);
            assert!((4.0..=20.0).contains(&range.max), "{calibration:?}: {range:?}");
            assert!((4.0..=20.0).contains(&-range.min), "{calibration:?}: {range:?}");
        }
    }

    /// Banner et al. 2019 give 9.89 scales as the best bound for 8 bits and a Laplace distribution, without outliers.
    #[test]
    fn the_least_squared_error_is_where_the_analysis_has_it() {
        let range = Calibration::Mse.choose(&laplace(&[]), &|range| Grid::symmetric(range.bound(), Grid::INT8));
        assert!((8.0..=11.0).contains(&range.max), "{range:?}");
    }

    #[test]
    fn a_distribution_that_fills_its_range_is_not_clipped() {
        let mut histogram = Histogram::default();
        histogram.add(&(0..4096_u16).map(|at| f32::from(at) / 4096.0).collect::<Vec<_>>());
        for calibration in [Calibration::Entropy, Calibration::Mse] {
            let range = calibration.choose(&histogram, &unsigned);
            assert!(range.max > 0.97 && range.min == 0.0, "{calibration:?}: {range:?}");
        }
    }

    #[test]
    fn a_tensor_of_zeros_has_a_range() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.0; 8]);
        for calibration in [Calibration::MinMax, Calibration::Percentile(1e-4), Calibration::Entropy, Calibration::Mse]
        {
            assert_eq!(calibration.choose(&histogram, &unsigned), Range::default());
        }
    }
}
