//! Whether two periods have the same rate, where rates vary from period to period by more than chance (shifts, lots,
//! inspectors): a two-proportion test whose variance is the binomial one times a dispersion that past periods tell
//! (quasi-binomial, McCullagh and Nelder, "Generalized Linear Models", 1989, section 4.5).

use super::Rate;
use crate::special::{normal_upper, student_upper};

/// Variance of a period's rate over what chance alone explains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dispersion {
    factor: f64,
    /// How well it is known; `None` where it is not estimated.
    degrees: Option<f64>,
}

/// What the comparison of two rates found. Each p-value is the probability of a change at least as large when nothing changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Rate after over rate before, less 1; negative where it fell. Infinite or NaN where it was 0 before.
    pub relative: f64,
    /// The difference in standard deviations.
    pub statistic: f64,
    /// For a fall.
    pub p_fall: f64,
    /// For a rise.
    pub p_rise: f64,
}

impl Dispersion {
    /// Chance alone. Too sure of itself where periods differ for other reasons.
    pub const BINOMIAL: Self = Self { factor: 1.0, degrees: None };

    /// From the rates of past periods as long as those to be compared, by Pearson's X^2 over its degrees of freedom; at
    /// least 1, as periods that agree better than chance do so by chance. `None` with fewer than two periods, or where all
    /// or none of the trials were hits.
    #[must_use]
    pub fn estimate(periods: &[Rate]) -> Option<Self> {
        let degrees = periods.len().checked_sub(1).filter(|&degrees| degrees > 0)? as f64;
        let pooled = pooled(periods);
        let statistic: f64 = periods
            .iter()
            .map(|period| {
                (period.hits() - period.trials() * pooled).powi(2) / (period.trials() * pooled * (1.0 - pooled))
            })
            .sum();
        statistic.is_finite().then_some(Self { factor: (statistic / degrees).max(1.0), degrees: Some(degrees) })
    }

    /// The factor, at least 1.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.factor
    }

    fn above(self, statistic: f64) -> f64 {
        self.degrees.map_or_else(|| normal_upper(statistic), |degrees| student_upper(statistic, degrees))
    }
}

impl Comparison {
    /// For a change either way.
    #[must_use]
    pub fn p_two_sided(self) -> f64 {
        (2.0 * self.p_fall.min(self.p_rise)).min(1.0)
    }
}

/// Compares the rate after with the rate before.
#[must_use]
pub fn compare(before: Rate, after: Rate, dispersion: Dispersion) -> Comparison {
    let pooled = pooled(&[before, after]);
    let variance = dispersion.factor * pooled * (1.0 - pooled) * (before.trials().recip() + after.trials().recip());
    let difference = after.value() - before.value();
    let statistic = if difference == 0.0 { 0.0 } else { difference / variance.sqrt() };
    Comparison {
        relative: after.value() / before.value() - 1.0,
        statistic,
        p_fall: dispersion.above(-statistic),
        p_rise: dispersion.above(statistic),
    }
}

fn pooled(rates: &[Rate]) -> f64 {
    let (hits, trials) = rates.iter().fold((0.0, 0.0), |(h, t), rate| (h + rate.hits(), t + rate.trials()));
    hits / trials
}
