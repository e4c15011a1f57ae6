//! What the request path hands over: nothing in it has to be made or freed there but the name of a part.

use takt_artifact::VersionDigest;
use takt_artifact::decision::{Judgement, Verdict};
use takt_monitoring::events::{Features, Latency, Name, Outcome, PredictionId, Schema, Status, UnixMillis};
use takt_monitoring::features::{VISION, Vision};

use super::tap::Placed;

/// What is known of a row. The hub makes an [`Outcome`] of it with what it knows of the version.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) prediction: PredictionId,
    pub(super) part: Option<Name>,
    pub(super) station: Option<Name>,
    pub(super) product: Option<Name>,
    pub(super) placed: Placed,
    pub(super) routed_at: UnixMillis,
    pub(super) latency: Latency,
    pub(super) status: Status,
    pub(super) judged: Option<Judged>,
    /// None where nothing was measured.
    pub(super) values: Option<Vision>,
}

/// A [`Judgement`] without the label, which follows from the class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    class: usize,
    score: f32,
    defect_score: f32,
    verdict: Verdict,
}

impl From<&Judgement> for Judged {
    fn from(judgement: &Judgement) -> Self {
        let &Judgement { class, score, defect_score, verdict, label: _ } = judgement;
        Self { class, score, defect_score, verdict }
    }
}

impl Judged {
    fn with_label(self, labels: &[String]) -> Judgement {
        let Self { class, score, defect_score, verdict } = self;
        let label = labels.get(class).cloned().unwrap_or_else(|| class.to_string());
        Judgement { class, label, score, defect_score, verdict }
    }
}

impl Note {
    /// The outcome. `labels` are the version's classes in the order of its output.
    pub(super) fn outcome(self, model: &Name, version_digest: VersionDigest, labels: &[String]) -> Outcome {
        let Self { prediction, part, station, product, placed, routed_at, latency, status, judged, values } = self;
        let measured = |values: Vision| Features { list: VISION, values: values.to_vec() };
        Outcome {
            schema: Schema,
            prediction_id: prediction,
            part_id: part,
            station,
            product,
            model: model.clone(),
            version_digest,
            arm: placed.arm,
            rho: placed.rho,
            routed_at,
            latency,
            status,
            decision: judged.map(|judged| judged.with_label(labels)),
            features: values.map(measured).unwrap_or_default(),
        }
    }
}
