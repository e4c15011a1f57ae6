//! Sums of numbers that are known by their logarithms.

/// `ln(e^a + e^b)`; either may be minus infinity.
pub(super) fn ln_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a < b { (b, a) } else { (a, b) };
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The logarithm of the mean of e-values whose logarithms these are; 0 for none. The mean of e-values is an e-value under
/// any dependence (Vovk and Wang, "E-values: Calibration, combination and applications", 2021).
#[must_use]
pub fn ln_mean(ln_e_values: &[f64]) -> f64 {
    if ln_e_values.is_empty() {
        return 0.0;
    }
    let sum = ln_e_values.iter().copied().fold(f64::NEG_INFINITY, ln_add);
    sum - (ln_e_values.len() as f64).ln()
}
