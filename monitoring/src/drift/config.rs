//! How drift is judged.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

/// From where on a feature has drifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Population stability index.
    pub psi: f64,
    /// Kolmogorov-Smirnov distance, 0 to 1.
    pub ks: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { psi: 0.15, ks: 0.22 }
    }
}

/// How panes are cut and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftConfig {
    /// Length of a pane.
    pub pane: Duration,
    /// Panes in the rolling window.
    pub window: NonZeroUsize,
    /// Limits of features that have none of their own.
    pub limits: Limits,
    /// Limits by feature.
    pub features: BTreeMap<String, Limits>,
}

impl Default for DriftConfig {
    fn default() -> Self {
        const TEN: NonZeroUsize = NonZeroUsize::new(10).expect("ten is not zero");
        Self { pane: Duration::from_secs(60), window: TEN, limits: Limits::default(), features: BTreeMap::new() }
    }
}

impl DriftConfig {
    /// Limits of a feature.
    #[must_use]
    pub fn limits_of(&self, feature: &str) -> Limits {
        self.features.get(feature).copied().unwrap_or(self.limits)
    }
}
