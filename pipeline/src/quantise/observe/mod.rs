//! What values a tensor takes on calibration images, and which range of them a grid should cover.

mod choose;
mod histogram;

pub use choose::Calibration;
pub use histogram::Histogram;

use serde::{Deserialize, Serialize};

/// An interval that holds 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Range {
    /// At most 0.
    pub min: f32,
    /// At least 0.
    pub max: f32,
}

impl Range {
    /// The larger magnitude of both ends.
    #[must_use]
    pub const fn bound(self) -> f32 {
        self.max.max(-self.min)
    }

    /// The part within `[-bound, bound]`.
    #[must_use]
    pub const fn within(self, bound: f32) -> Self {
        Self { min: self.min.max(-bound), max: self.max.min(bound) }
    }

    /// The least range that holds both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
