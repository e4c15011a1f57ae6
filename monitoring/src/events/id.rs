//! The id of a prediction.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::UnixMillis;

/// Names one prediction everywhere and for ever: a ULID (48 bits of time, 80 random bits, 26 characters), so ids sort
/// by time. Ours, not the client's request id, which nobody promises to be unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PredictionId(Ulid);

/// Text that is not a prediction id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "found '{found}', expected a prediction id of 26 characters such as 01ARZ3NDEKTSV4RRFFQ69G5FAV; take it from the response's metadata"
)]
pub struct BadPredictionId {
    /// The text that was given.
    pub found: String,
}

impl PredictionId {
    /// A new id for a request routed at `at`, with fresh random bits.
    #[must_use]
    pub fn at(at: UnixMillis) -> Self {
        // 48 bits of milliseconds reach the year 10889; more would not fit the id.
        let millis = at.0.min((1 << Ulid::TIME_BITS) - 1);
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        Self(Ulid::from_datetime(time))
    }

    /// The id with these bits, for tests and replays.
    #[must_use]
    pub const fn from_parts(at: UnixMillis, random: u128) -> Self {
        Self(Ulid::from_parts(at.0, random))
    }

    /// The id of a request's row: the first has the request's own, the others follow it.
    #[must_use]
    pub const fn row(&self, row: usize) -> Self {
        let mask = (1 << Ulid::RAND_BITS) - 1;
        Self(Ulid::from_parts(self.0.timestamp_ms(), (self.0.random() + row as u128) & mask))
    }

    /// The id with these 128 bits, as [`bits`](Self::bits) gives them.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(Ulid(bits))
    }

    /// Its 128 bits: 48 of time, then 80 random ones.
    #[must_use]
    pub const fn bits(&self) -> u128 {
        self.0.0
    }

    /// The time in the id.
    #[must_use]
    pub const fn time(&self) -> UnixMillis {
        UnixMillis(self.0.timestamp_ms())
    }
}

impl fmt::Display for PredictionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PredictionId {
    type Err = BadPredictionId;

    fn from_str(text: &str) -> Result<Self, BadPredictionId> {
        let bad = |_| BadPredictionId { found: text.chars().take(64).collect() };
        Ulid::from_string(text).map(Self).map_err(bad)
    }
}

impl TryFrom<String> for PredictionId {
    type Error = BadPredictionId;

    fn try_from(text: String) -> Result<Self, BadPredictionId> {
        text.parse()
    }
}

impl From<PredictionId> for String {
    fn from(id: PredictionId) -> Self {
        id.to_string()
    }
}
