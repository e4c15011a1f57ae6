//! One request's way through the server: resolve the version, check against its signature, queue, wait, judge.

pub mod classify;
pub(crate) mod routed;
mod shadow;
pub mod validate;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use takt_artifact::decision::Judgement;
use takt_artifact::judge::{Confidence, RowError};
use takt_monitoring::events::{Arm, PredictionId};
use tokio::sync::oneshot;

use self::routed::Assigned;
use crate::batch::batcher::{self, Refusal};
use crate::batch::config::TimeoutAction;
use crate::batch::images::ImageSlot;
use crate::batch::job::{Job, Payload, Ticket};
use crate::error::{ErrorKind, InferError};
use crate::monitor::{ObservedRow, Placed};
use crate::registry::table::{Chosen, ServedTable};
use crate::registry::version::ServedVersion;
use crate::request::{InferRequest, NamedTensor, StageTimes};
use crate::route::verify;

/// How often a request looks for another version when the one it chose began to drain meanwhile.
const RESOLVE_ATTEMPTS: usize = 8;

/// A finished inference.
pub struct InferResponse {
    /// The version that answered.
    pub version: Arc<ServedVersion>,
    /// The outputs asked for, in that order.
    pub outputs: Vec<NamedTensor>,
    /// One verdict per row, where the version has a decision; or why there is none. A missing verdict never costs a
    /// client the outputs it asked for.
    pub judgements: Result<Vec<Judgement>, InferError>,
    /// Ours, unique; feedback refers to it.
    pub prediction: PredictionId,
    /// Time spent in each stage.
    pub times: StageTimes,
    /// Rows of the batch it ran in.
    pub batch_rows: usize,
    /// The run of the whole batch that failed before this answer's own run, where one did.
    pub failed_run: Option<u64>,
    /// In a rollout, whose answer it is.
    pub arm: Arm,
    /// The candidate was to answer and could not.
    pub instead_of_canary: bool,
}

/// Runs one request on the version that is right for it.
///
/// # Errors
/// [`InferError`], with the kind that decides the status; the failure is counted on the version where one was found.
pub async fn infer(table: &ServedTable, request: &InferRequest) -> Result<InferResponse, InferError> {
    let arrived = Instant::now();
    for _ in 0..RESOLVE_ATTEMPTS {
        let response = match table.choose(request)? {
            Chosen::Version(version) => attempt(&version, request, arrived, None).await?,
            Chosen::Assigned(assigned) => routed::run(&assigned, request, arrived).await?,
        };
        match response {
            Some(response) => return Ok(response),
            // The version began to drain between the look and the queue: its successor is in the table by now.
            None => tokio::task::yield_now().await,
        }
    }
    Err(InferError::new(ErrorKind::Unavailable, format!("model '{}' is being unloaded; try again", request.model)))
}

/// One attempt on one version, counted there. `None` when the version drains and took nothing.
async fn attempt(
    version: &Arc<ServedVersion>,
    request: &InferRequest,
    arrived: Instant,
    assigned: Option<&Assigned>,
) -> Result<Option<InferResponse>, InferError> {
    let placed = assigned.map_or_else(Placed::default, Assigned::placed);
    let outcome = run_on(version, request, arrived, assigned.is_some(), placed).await;
    if let Err(error) = &outcome {
        version.stats.failed(error, arrived.elapsed());
        if let Some(tap) = &version.tap {
            tap.failed(&request.origin, placed, error);
        }
    }
    outcome
}

async fn run_on(
    version: &Arc<ServedVersion>,
    request: &InferRequest,
    arrived: Instant,
    verified: bool,
    placed: Placed,
) -> Result<Option<InferResponse>, InferError> {
    let wanted = validate::wanted_outputs(version, &request.outputs)?;
    let checked = validate::check(version, request, arrived)?;
    let images = images_of(version, &checked.inputs);
    let (reply, received) = oneshot::channel();
    let ticket = Arc::new(Ticket::default());
    let job = Job { inputs: checked.inputs, shapes: checked.shapes, ticket: Arc::clone(&ticket), reply };
    let rejects = version.batcher.config().timeout_action == TimeoutAction::Reject;
    let (expires, deadline) = (checked.meta.expires.filter(|_| rejects), checked.meta.deadline);
    let rows = checked.meta.rows;
    if let Err((_, refusal)) = version.batcher.submit(job, checked.meta) {
        return match refusal {
            Refusal::Draining => Ok(None),
            Refusal::Error(error) => Err(error),
        };
    }
    if let Some(tap) = version.tap.as_ref().filter(|_| placed.arm != Arm::Shadow) {
        tap.arrived(&request.origin, rows);
    }
    let answer = batcher::wait(&version.batcher, ticket, received, expires, deadline).await?;
    if verified {
        verify(&version.signature, &answer.outputs).map_err(|bad| {
            InferError::new(ErrorKind::BadOutput, format!("{} gave no answer: {bad}", version.id)).of_run(answer.run)
        })?;
    }
    let judged = judge(version, &answer.outputs);
    match &judged {
        Ok(judged) => judged.iter().for_each(|row| version.stats.judged(row.judgement.verdict)),
        Err(error) => tracing::warn!(version = %version.id, %error, "no verdict"),
    }
    let prediction = PredictionId::at(SystemTime::now().into());
    if let Some(tap) = &version.tap {
        let judged = judged.as_deref().unwrap_or_default();
        tap.answered(&request.origin, placed, prediction, &answer.times, observed(rows, judged, &images));
    }
    let outputs = wanted
        .into_iter()
        .map(|index| {
            let tensor = &answer.outputs[index];
            NamedTensor {
                name: version.signature.outputs[index].name.clone(),
                datatype: tensor.datatype,
                shape: tensor.shape.clone(),
                data: tensor.data.clone(),
            }
        })
        .collect();
    version.stats.answered(rows, &answer.times, arrived.elapsed());
    if answer.failed_run.is_some() {
        version.stats.failed_runs.add(answer.failed_run);
    }
    Ok(Some(InferResponse {
        version: Arc::clone(version),
        outputs,
        judgements: judged.map(|rows| rows.into_iter().map(|row| row.judgement).collect()),
        prediction,
        times: answer.times,
        batch_rows: answer.batch_rows,
        failed_run: answer.failed_run,
        arm: placed.arm,
        instead_of_canary: false,
    }))
}

/// One row's verdict, and for the monitor how sure it is.
struct JudgedRow {
    judgement: Judgement,
    confidence: Option<Confidence>,
}

/// One verdict per row of the output that the version decides by.
fn judge(version: &ServedVersion, outputs: &[takt_backend::OutputTensor]) -> Result<Vec<JudgedRow>, InferError> {
    let Some(judge) = &version.judge else { return Ok(Vec::new()) };
    let output = &outputs[judge.output];
    let scores = classify::as_f32(output.datatype, &output.data)
        .map_err(|error| InferError::new(ErrorKind::Internal, format!("decision of {}: {error}", version.id)))?;
    let classes = output.shape.last().copied().unwrap_or(1).max(1);
    let watched = version.tap.is_some();
    scores
        .chunks_exact(classes)
        .map(|row| {
            let judgement = judge.judge.judge(row)?;
            let confidence = if watched { Some(judge.judge.confidence(row)?) } else { None };
            Ok(JudgedRow { judgement, confidence })
        })
        .collect::<Result<_, RowError>>()
        .map_err(|error| InferError::new(ErrorKind::RunFailed, format!("{} gave no verdict: {error}", version.id)))
}

/// The images of a request that the monitor will ask for, where it has encoded ones.
fn images_of(version: &ServedVersion, inputs: &[Payload]) -> Vec<Arc<ImageSlot>> {
    let Some(tap) = &version.tap else { return Vec::new() };
    let image = version.image.as_ref().and_then(|image| inputs.get(image.index));
    match image {
        Some(Payload::Images(slots)) if tap.keeps_images() || slots.iter().any(|slot| slot.is_measured()) => {
            slots.clone()
        }
        _ => Vec::new(),
    }
}

/// What the monitor sees of each row.
fn observed<'a>(
    rows: usize,
    judged: &'a [JudgedRow],
    images: &'a [Arc<ImageSlot>],
) -> impl ExactSizeIterator<Item = ObservedRow<'a>> {
    (0..rows).map(|row| ObservedRow {
        judgement: judged.get(row).map(|row| &row.judgement),
        confidence: judged.get(row).and_then(|row| row.confidence),
        image: images.get(row).and_then(|slot| slot.figures()),
        encoded: images.get(row).map(|slot| slot.encoded()),
    })
}
