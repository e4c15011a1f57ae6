//! How large and how old a directory of segments may become.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::fault::Fault;

/// Limits of a directory of segments. What exceeds them goes oldest segment first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes at which a segment is sealed.
    pub segment_bytes: u64,
    /// Age in seconds at which a segment is sealed: what a power cut may cost.
    pub segment_age_secs: u64,
    /// Bytes of all segments together.
    pub total_bytes: u64,
    /// Age in days of what is kept.
    pub max_age_days: u32,
}

impl Default for Limits {
    /// 8 MiB or 15 minutes a segment, 256 MiB and 30 days in all.
    fn default() -> Self {
        Self { segment_bytes: 8 << 20, segment_age_secs: 15 * 60, total_bytes: 256 << 20, max_age_days: 30 }
    }
}

impl Limits {
    /// Smallest segment: less would be mostly headers and names.
    pub const MIN_SEGMENT_BYTES: u64 = 4 << 10;

    /// Everything about them that does not make sense.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |path: &str, found: u64, expected: String, fix: &str| {
            faults.push(Fault::new(path, found.to_string(), expected, fix));
        };
        if self.segment_bytes < Self::MIN_SEGMENT_BYTES {
            let expected = format!("at least {}", Self::MIN_SEGMENT_BYTES);
            fault("segment_bytes", self.segment_bytes, expected, "a segment holds thousands of records");
        }
        if self.total_bytes / 2 < self.segment_bytes {
            let expected = format!("at least twice segment_bytes, which is {}", self.segment_bytes);
            fault("total_bytes", self.total_bytes, expected, "raise it, or make segments smaller");
        }
        if self.segment_age_secs == 0 {
            fault("segment_age_secs", 0, "at least 1".to_owned(), "each seal waits for the disk; 900 is a good value");
        }
        if self.max_age_days == 0 {
            fault("max_age_days", 0, "at least 1".to_owned(), "give how many days are kept");
        }
        faults
    }

    pub(crate) const fn segment_age(&self) -> Duration {
        Duration::from_secs(self.segment_age_secs)
    }

    pub(crate) fn max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_age_days) * 24 * 3600)
    }
}
