//! The population stability index, `sum (r - c) ln(r / c)` over bins: the Jeffreys divergence of two binned samples.
//!
//! There is no common PSI: how values are binned, and what a bin without values counts as, decide the figure.

mod binned;
mod count;
#[cfg(test)]
mod tests;

pub use binned::{Binned, Binning, Bins, binned, categories};
pub use count::{count, count_sorted};

use crate::grid;

/// What the share of an empty bin counts as. Shares are not renormalised afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ZeroRule {
    /// A share of zero counts as this much.
    Constant(f64),
    /// As in Evidently: 1e-4, or a millionth of the side's smallest share above zero where that is at most 1e-4.
    Evidently,
}

impl Default for ZeroRule {
    fn default() -> Self {
        Self::Constant(1e-4)
    }
}

impl ZeroRule {
    fn shares(self, counts: &[f64]) -> Option<Vec<f64>> {
        let total = grid::total(counts)?;
        let mut shares: Vec<f64> = counts.iter().map(|count| count / total).collect();
        let zero = match self {
            Self::Constant(epsilon) => epsilon,
            Self::Evidently => match shares.iter().copied().filter(|&share| share > 0.0).fold(1.0, f64::min) {
                smallest if smallest <= 1e-4 => smallest / 1e6,
                _ => 1e-4,
            },
        };
        shares.iter_mut().filter(|share| **share == 0.0).for_each(|share| *share = zero);
        Some(shares)
    }
}

/// PSI of counts or weights per bin. `None` unless both sides have the same bins and something in them.
#[must_use]
pub fn of_bins(reference: &[f64], current: &[f64], zero: ZeroRule) -> Option<f64> {
    Some(terms(reference, current, zero)?.iter().sum())
}

/// What each bin contributes to PSI; never negative. `None` as for [`of_bins`].
#[must_use]
pub fn terms(reference: &[f64], current: &[f64], zero: ZeroRule) -> Option<Vec<f64>> {
    if reference.len() != current.len() {
        return None;
    }
    let (reference, current) = (zero.shares(reference)?, zero.shares(current)?);
    Some(reference.iter().zip(&current).map(|(r, c)| (r - c) * (r / c).ln()).collect())
}

/// Pearson's X^2 of the same bins on the scale of PSI, `sum (r - c)^2 / (n r + m c) (n + m)`, for sides of `n` and `m`
/// independent observations: about PSI where the sides are close, and free of logarithms where bins are empty.
/// `None` unless both sides have the same bins and something in them.
#[must_use]
pub fn pearson(reference: &[f64], current: &[f64], n: f64, m: f64) -> Option<f64> {
    if reference.len() != current.len() {
        return None;
    }
    let (total_r, total_c) = (grid::total(reference)?, grid::total(current)?);
    let terms = reference.iter().zip(current).map(|(r, c)| {
        let (r, c) = (r / total_r, c / total_c);
        let pooled = (n * r + m * c) / (n + m);
        if pooled > 0.0 { (r - c).powi(2) / pooled } else { 0.0 }
    });
    Some(terms.sum())
}

/// PSI less what it comes to on average when nothing has changed: `(bins - 1) (1/n + 1/m)` for sides of `n` and `m`
/// independent observations. Negative about half the time when nothing has changed.
#[must_use]
pub fn debiased(psi: f64, bins: usize, n: f64, m: f64) -> f64 {
    psi - (bins.saturating_sub(1)) as f64 * (n.recip() + m.recip())
}
