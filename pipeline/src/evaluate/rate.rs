//! A share of a count, with its uncertainty.

use serde::{Deserialize, Serialize};

/// 97.5 % point of the normal distribution, for two-sided 95 % intervals.
pub(super) const Z_TWO_SIDED: f64 = 1.959_963_984_540_054;

/// 95 % point of the normal distribution, for one-sided 95 % bounds.
pub(super) const Z_ONE_SIDED: f64 = 1.644_853_626_951_472_2;

/// `hits` of `total`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// How many were.
    pub hits: u64,
    /// How many could have been.
    pub total: u64,
    /// `hits / total`; none where there was nothing to count.
    pub value: Option<f64>,
    /// Wilson's 95 % interval ("Probable inference, the law of succession, and statistical inference", 1927).
    pub interval: Option<[f64; 2]>,
}

impl Rate {
    /// The rate of these counts.
    #[must_use]
    pub fn new(hits: u64, total: u64) -> Self {
        if total == 0 {
            return Self { hits, total, value: None, interval: None };
        }
        let (share, n, z2) = (hits as f64 / total as f64, total as f64, Z_TWO_SIDED * Z_TWO_SIDED);
        let scale = 1.0 + z2 / n;
        let middle = (share + z2 / (2.0 * n)) / scale;
        let half = Z_TWO_SIDED / scale * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
        let interval = [(middle - half).max(0.0), (middle + half).min(1.0)];
        Self { hits, total, value: Some(share), interval: Some(interval) }
    }

    /// Counts how many of the items are hits.
    pub(super) fn of(items: impl IntoIterator<Item = bool>) -> Self {
        let (mut hits, mut total) = (0, 0);
        for hit in items {
            hits += u64::from(hit);
            total += 1;
        }
        Self::new(hits, total)
    }
}
