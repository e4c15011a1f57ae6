//! A share of traffic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share of traffic from 0 to 1, kept in millionths so that shares are equal when they look equal. In JSON a number
/// such as `0.05`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct TrafficShare(u32);

/// A number that is no share.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("found {found}, expected a share of traffic from 0 to 1; 5 percent is 0.05")]
pub struct BadShare {
    /// The number that was given.
    pub found: f64,
}

impl TrafficShare {
    /// No traffic.
    pub const NONE: Self = Self(0);
    /// All traffic.
    pub const ALL: Self = Self(1_000_000);

    /// The share nearest to `share`.
    ///
    /// # Errors
    /// Below 0, above 1, or no number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000,000 by then")]
    pub fn new(share: f64) -> Result<Self, BadShare> {
        if (0.0..=1.0).contains(&share) {
            return Ok(Self((share * 1e6).round() as u32));
        }
        Err(BadShare { found: share })
    }

    /// So many millionths of the traffic, cut off at all of it.
    #[must_use]
    pub const fn of_millionths(millionths: u32) -> Self {
        if millionths > Self::ALL.0 { Self::ALL } else { Self(millionths) }
    }

    /// In millionths, exactly.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// The rest of the traffic.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(Self::ALL.0 - self.0)
    }

    /// As a fraction from 0 to 1.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl fmt::Display for TrafficShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 1e4)
    }
}

impl TryFrom<f64> for TrafficShare {
    type Error = BadShare;

    fn try_from(share: f64) -> Result<Self, BadShare> {
        Self::new(share)
    }
}

impl From<TrafficShare> for f64 {
    fn from(share: TrafficShare) -> Self {
        share.get()
    }
}
