//! What a part really was.

use serde::{Deserialize, Serialize};
use takt_artifact::fault::{self, Document, DocumentError, Fault};

use super::{Name, PredictionId, Schema, UnixMillis};

/// An inspector's finding about one prediction, one part, or all parts of a station over a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Always [`super::SCHEMA`].
    pub schema: Schema,
    /// What was judged.
    pub by: Subject,
    /// What it was.
    pub verdict: LabelVerdict,
    /// Who or what says so.
    pub inspector: Name,
    /// When it was said, not when the part was made.
    pub at: UnixMillis,
}

/// How a label finds its predictions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Subject {
    /// One prediction.
    Prediction(PredictionId),
    /// All views of one part at a station.
    Part {
        /// Where it was looked at.
        station: Name,
        /// Which part.
        part_id: Name,
    },
    /// Everything routed at a station in `from <= t < until`, for lines without part ids.
    Span {
        /// Where it was looked at.
        station: Name,
        /// First moment.
        from: UnixMillis,
        /// First moment after.
        until: UnixMillis,
    },
}

/// What the part really was. Unlike a [`Verdict`](takt_artifact::decision::Verdict) it is never uncertain, and an
/// inspector may or may not name the class.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelVerdict {
    /// Good.
    Good,
    /// Defective; which defect was not said.
    Defect,
    /// This class, by its label; whether that is good is for the version's decision to say.
    Class(Name),
}

impl Label {
    /// Reads one JSON line.
    ///
    /// # Errors
    /// A newer or missing schema, a fault of form with its path, or all faults of meaning together.
    pub fn parse(line: &[u8]) -> Result<Self, DocumentError> {
        fault::read(line)
    }

    /// As one JSON line, newline included.
    ///
    /// # Errors
    /// Its faults, so that what is written can be read.
    pub fn to_line(&self) -> Result<Vec<u8>, DocumentError> {
        fault::write_line(self)
    }
}

impl Document for Label {
    const NAME: &'static str = "label";
    const SCHEMA: u32 = super::SCHEMA;

    fn faults(&self) -> Vec<Fault> {
        match &self.by {
            Subject::Span { from, until, .. } if from >= until => vec![Fault::new(
                "by.span",
                format!("from {} until {}", from.0, until.0),
                "an end after its beginning, both in milliseconds since 1970 UTC",
                "correct the times",
            )],
            _ => Vec::new(),
        }
    }
}
