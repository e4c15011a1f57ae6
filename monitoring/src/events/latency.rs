//! Where the time of a request went.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time spent by stage; 0 where a stage did not take place. In JSON as whole nanoseconds. Stages that a whole batch
/// shares (input, infer, output) are the batch's, not divided by its size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// From admission until an instance took the request.
    #[serde(rename = "queue_ns", with = "nanoseconds")]
    pub queue: Duration,
    /// Decoding and resizing the image.
    #[serde(rename = "decode_ns", with = "nanoseconds")]
    pub decode: Duration,
    /// Gathering the batch into the input buffer.
    #[serde(rename = "input_ns", with = "nanoseconds")]
    pub input: Duration,
    /// The session's run.
    #[serde(rename = "infer_ns", with = "nanoseconds")]
    pub infer: Duration,
    /// Splitting outputs and judging them.
    #[serde(rename = "output_ns", with = "nanoseconds")]
    pub output: Duration,
}

impl Latency {
    /// All stages together.
    #[must_use]
    pub fn total(&self) -> Duration {
        let Self { queue, decode, input, infer, output } = self;
        [queue, decode, input, infer, output].into_iter().fold(Duration::ZERO, |sum, &stage| sum.saturating_add(stage))
    }
}

mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(stage: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        // 64 bits hold 584 years.
        serializer.serialize_u64(u64::try_from(stage.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}
