//! The two-sample Kolmogorov-Smirnov test on raw samples: the exact distance, ties included, and its p-value, exact for
//! small samples and by the finite-n Kolmogorov law for large ones, as `scipy.stats.ks_2samp` defines them.
//!
//! P-values take observations for independent and values for continuous; ties make them too large.

mod distance;
mod exact;
mod kolmogorov;
#[cfg(test)]
mod tests;

pub use kolmogorov::kolmogorov_upper;

/// Up to this many observations on the larger side [`Ks::p`] is exact.
pub const EXACT_TO: u64 = 10_000;

/// The KS distance of two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ks {
    /// `sup |F - G|`.
    pub d: f64,
    /// Observations on one side, without NaN.
    pub n: u64,
    /// Observations on the other.
    pub m: u64,
}

/// The KS distance of two samples. NaN is left out, infinities are ordinary values here. `None` where a side is empty.
#[must_use]
pub fn two_samples(a: &[f64], b: &[f64]) -> Option<Ks> {
    distance::distance(a, b)
}

impl Ks {
    /// The probability of a distance at least as large between samples of one distribution: [`Self::p_exact`] up to
    /// [`EXACT_TO`] observations, else [`Self::p_asymptotic`].
    #[must_use]
    pub fn p(self) -> f64 {
        if self.n.max(self.m) <= EXACT_TO { self.p_exact() } else { self.p_asymptotic() }
    }

    /// Exact for samples without ties. Time grows with `d n m`: a quarter of a second at 10,000 against 10,000.
    #[must_use]
    pub fn p_exact(self) -> f64 {
        exact::p_value(self.d, self.n, self.m)
    }

    /// By the Kolmogorov law of one sample of `n m / (n + m)` observations.
    #[must_use]
    pub fn p_asymptotic(self) -> f64 {
        let (n, m) = (self.n as f64, self.m as f64);
        kolmogorov_upper((n / (n + m) * m).round_ties_even(), self.d)
    }
}
