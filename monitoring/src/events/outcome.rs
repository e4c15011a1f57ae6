//! What became of a request.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use takt_artifact::VersionDigest;
use takt_artifact::decision::Judgement;
use takt_artifact::fault::{self, Document, DocumentError, Fault};

use super::{Features, Latency, Name, PredictionId, Schema, TrafficShare, UnixMillis};

/// One answer, or refusal, of one version. A request with several rows gives one outcome per row, each with an id of
/// its own, which share the latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Always [`super::SCHEMA`].
    pub schema: Schema,
    /// Names this prediction; goes back to the client as metadata.
    pub prediction_id: PredictionId,
    /// The part that was looked at (`x-part-id`). The unit of routing and of statistics where it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_id: Option<Name>,
    /// The camera or cell (`x-station-id`), where the client names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<Name>,
    /// Product or recipe (`x-product`), where the client names it: the segment of the drift reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Name>,
    /// Model that was asked for.
    pub model: Name,
    /// Version that answered.
    pub version_digest: VersionDigest,
    /// Its role at the time.
    pub arm: Arm,
    /// Share of the canary in force when the request was routed; 0 outside a rollout. Evidence is weighed by it, so
    /// it is kept with each event and never looked up later.
    pub rho: TrafficShare,
    /// When the request was routed.
    pub routed_at: UnixMillis,
    /// Where its time went.
    pub latency: Latency,
    /// Whether it was answered.
    pub status: Status,
    /// The verdict, where the version judges and the run succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Judgement>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Features::is_empty")]
    pub features: Features,
}

/// The role of the version that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// The version in service.
    Stable,
    /// The candidate, for a client.
    Canary,
    /// The candidate, on a copy; no client saw this answer.
    Shadow,
}

/// Whether a request was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was.
    Ok,
    /// It was not; the error's stable `kind()` label.
    Error(Cow<'static, str>),
}

impl Outcome {
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

impl Document for Outcome {
    const NAME: &'static str = "outcome";
    const SCHEMA: u32 = super::SCHEMA;

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Status::Error(kind) = &self.status {
            let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            if !(1..=64).contains(&kind.len()) || !kind.bytes().all(label) {
                faults.push(Fault::new(
                    "status.error",
                    format!("{kind:?}"),
                    "a label of 1 to 64 of the characters a-z 0-9 _",
                    "give the error's kind, not its message",
                ));
            }
            if self.decision.is_some() {
                faults.push(Fault::new(
                    "decision",
                    "a verdict",
                    format!("none, as the request failed with {kind:?}"),
                    "leave it out",
                ));
            }
        }
        if let Some(decision) = &self.decision {
            for (key, score) in [("score", decision.score), ("defect_score", decision.defect_score)] {
                if !(0.0..=1.0).contains(&score) {
                    faults.push(Fault::new(
                        format!("decision.{key}"),
                        score.to_string(),
                        "a score from 0 to 1",
                        "give the score after the activation",
                    ));
                }
            }
        }
        faults
    }
}
