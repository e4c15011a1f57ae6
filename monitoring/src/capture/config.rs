//! Which images are kept, and how many.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use takt_artifact::decision::Verdict;
use takt_artifact::fault::Fault;

use crate::events::PredictionId;

/// Why an image is kept; the best reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The model flagged it and a label said it was good.
    FalseReject,
    /// Two versions disagreed.
    Disagreeing,
    /// Its features had drifted.
    Drifted,
    /// The verdict was left to a person.
    Uncertain,
    /// The model flagged it. A label may yet make it a false reject, and by then the image would be gone.
    Flagged,
    /// Drawn at random.
    OneInN,
}

impl Reason {
    /// Stable label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::FalseReject => "false_reject",
            Self::Disagreeing => "disagreeing",
            Self::Drifted => "drifted",
            Self::Uncertain => "uncertain",
            Self::Flagged => "flagged",
            Self::OneInN => "one_in_n",
        }
    }

    /// All of them, the best first.
    pub const ALL: [Self; 6] =
        [Self::FalseReject, Self::Disagreeing, Self::Drifted, Self::Uncertain, Self::Flagged, Self::OneInN];
}

/// What others know of an outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    /// Another version said something else of this part.
    pub disagreeing: bool,
    /// Its features have drifted.
    pub drifted: bool,
}

/// Settings of the capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureConfig {
    /// Bytes of all images with what is known of them.
    pub total_bytes: u64,
    /// Bytes for each reason; a quarter of all where not given, and with 0 nothing is kept for it.
    pub reason_bytes: BTreeMap<Reason, u64>,
    /// Images at most.
    pub max_images: usize,
    /// Draws one image of so many, whatever was said of it. Not given: none.
    pub one_in: Option<NonZeroU32>,
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            total_bytes: 512 << 20,
            reason_bytes: BTreeMap::new(),
            max_images: 20_000,
            one_in: NonZeroU32::new(1000),
        }
    }
}

impl CaptureConfig {
    /// Everything about the settings that does not make sense.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.total_bytes < 1 << 20 {
            let expected = "at least 1048576, one MiB";
            faults.push(Fault::new("total_bytes", self.total_bytes.to_string(), expected, "leave the capture out"));
        }
        if !(1..=1_000_000).contains(&self.max_images) {
            let found = self.max_images.to_string();
            faults.push(Fault::new("max_images", found, "1 to 1000000", "20000 are some 10 MB of memory"));
        }
        for (reason, bytes) in self.reason_bytes.iter().filter(|(_, bytes)| **bytes > self.total_bytes) {
            let path = serde_json::to_value(reason).ok().and_then(|name| Some(name.as_str()?.to_owned()));
            faults.push(Fault::new(
                format!("reason_bytes.{}", path.unwrap_or_default()),
                bytes.to_string(),
                format!("at most total_bytes, which is {}", self.total_bytes),
                "lower it, or raise total_bytes",
            ));
        }
        faults
    }

    /// The best reason to keep the image of a prediction.
    #[must_use]
    pub fn reason(&self, prediction: PredictionId, verdict: Option<Verdict>, hints: Hints) -> Option<Reason> {
        let reasons = [
            (Reason::Disagreeing, hints.disagreeing),
            (Reason::Drifted, hints.drifted),
            (Reason::Uncertain, verdict == Some(Verdict::Uncertain)),
            (Reason::Flagged, verdict == Some(Verdict::Defect)),
            (Reason::OneInN, self.draws(prediction)),
        ];
        reasons.into_iter().find(|(reason, holds)| *holds && self.bytes_for(*reason) > 0).map(|(reason, _)| reason)
    }

    /// By the id's random bits, so that it is the same image whoever asks.
    fn draws(&self, prediction: PredictionId) -> bool {
        self.one_in.is_some_and(|one_in| prediction.bits().is_multiple_of(one_in.get().into()))
    }

    pub(super) fn bytes_for(&self, reason: Reason) -> u64 {
        self.reason_bytes.get(&reason).copied().unwrap_or(self.total_bytes / 4)
    }
}
