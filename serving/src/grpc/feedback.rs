//! The feedback service: labels from the wire to the store.

use std::sync::Arc;
use std::time::SystemTime;

use takt_monitoring::events::{Label, LabelVerdict, Name, Schema, Subject, UnixMillis};
use takt_monitoring::feedback::Received;
use takt_proto::feedback::feedback_server::Feedback;
use takt_proto::feedback::{self as wire, ReportRequest, ReportResponse, label};
use tonic::{Request, Response, Status};

use crate::core::Core;
use crate::error::InferError;
use crate::protocol::labels::{MOST_LABELS, check};

/// Answers the feedback RPC from the server's core.
pub struct FeedbackService {
    core: Arc<Core>,
}

impl FeedbackService {
    /// A service over that core.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[tonic::async_trait]
impl Feedback for FeedbackService {
    async fn report(&self, request: Request<ReportRequest>) -> Result<Response<ReportResponse>, Status> {
        let labels = request.into_inner().labels;
        if labels.len() > MOST_LABELS {
            let found = labels.len();
            return Err(
                InferError::invalid(format!("found {found} labels, expected at most {MOST_LABELS} a request")).into()
            );
        }
        let now = UnixMillis::from(SystemTime::now());
        let numbered = labels.into_iter().enumerate();
        let labels: Vec<Label> = numbered
            .map(|(at, label)| decode(label, now).and_then(check).map_err(|fault| fault_of(at, &fault)))
            .collect::<Result<_, _>>()?;
        let mut response = ReportResponse::default();
        for label in labels {
            match self.core.monitor().label(label).await? {
                Received::New => response.added += 1,
                Received::Revised => response.revised += 1,
                Received::Known => response.known += 1,
            }
        }
        Ok(Response::new(response))
    }
}

fn fault_of(at: usize, fault: &str) -> InferError {
    InferError::invalid(format!("labels[{at}]: {fault}"))
}

/// A label as the core knows it.
fn decode(label: wire::Label, now: UnixMillis) -> Result<Label, String> {
    let by = match label.by.ok_or("says nothing of what was judged; give prediction_id, part or span")? {
        label::By::PredictionId(id) => Subject::Prediction(id.parse().map_err(|bad| format!("prediction_id: {bad}"))?),
        label::By::Part(wire::Part { station, part_id }) => {
            Subject::Part { station: name("part.station", &station)?, part_id: name("part.part_id", &part_id)? }
        }
        label::By::Span(wire::Span { station, from_unix_ms, until_unix_ms }) => Subject::Span {
            station: name("span.station", &station)?,
            from: UnixMillis(from_unix_ms),
            until: UnixMillis(until_unix_ms),
        },
    };
    let verdict = match label.verdict.ok_or("says nothing of what it was; give good or class")? {
        label::Verdict::Good(true) => LabelVerdict::Good,
        label::Verdict::Good(false) => LabelVerdict::Defect,
        label::Verdict::Class(class) => LabelVerdict::Class(name("class", &class)?),
    };
    let inspector = name("inspector", &label.inspector)?;
    let at = if label.at_unix_ms == 0 { now } else { UnixMillis(label.at_unix_ms) };
    Ok(Label { schema: Schema, by, verdict, inspector, at })
}

fn name(field: &str, text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|bad| format!("{field}: {bad}"))
}
