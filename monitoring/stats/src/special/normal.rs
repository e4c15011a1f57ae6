//! The normal distribution.

/// The share of a standard normal distribution above `z`.
pub(crate) fn normal_upper(z: f64) -> f64 {
    0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2)
}
