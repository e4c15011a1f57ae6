//! How often one accepts to be wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Probability of a wrong decision that is accepted: above 0 and below 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Alpha(f64);

/// A number that cannot be an [`Alpha`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BadAlpha {
    /// The number that was given.
    pub found: f64,
}

impl Alpha {
    /// One wrong decision in twenty.
    pub const ONE_IN_TWENTY: Self = Self(0.05);

    /// # Errors
    /// Not above 0, or not below 1.
    pub fn new(alpha: f64) -> Result<Self, BadAlpha> {
        if alpha > 0.0 && alpha < 1.0 { Ok(Self(alpha)) } else { Err(BadAlpha { found: alpha }) }
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// An equal part of it for each of `tests`, so that any of them is wrong at most as often as this says (Bonferroni).
    #[must_use]
    pub fn split(self, tests: usize) -> Self {
        Self((self.0 / tests.max(1) as f64).max(f64::MIN_POSITIVE))
    }

    /// The logarithm of the evidence that decides: `ln(1/alpha)`.
    #[must_use]
    pub fn ln_threshold(self) -> f64 {
        -self.0.ln()
    }
}

impl fmt::Display for BadAlpha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {}, expected a probability above 0 and below 1, such as 0.05", self.found)
    }
}

impl std::error::Error for BadAlpha {}

impl TryFrom<f64> for Alpha {
    type Error = BadAlpha;

    fn try_from(alpha: f64) -> Result<Self, BadAlpha> {
        Self::new(alpha)
    }
}

impl From<Alpha> for f64 {
    fn from(alpha: Alpha) -> Self {
        alpha.0
    }
}
