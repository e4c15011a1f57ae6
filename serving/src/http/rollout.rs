//! `/rollouts`: rollouts as JSON, and people's words about them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use takt_rollout::observation::Command;

use super::control::control_body;
use super::router::HttpServer;
use super::status::Failure;
use crate::error::InferError;
use crate::protocol::rollouts::{order, reports};
use crate::rollout::RolloutReport;

type Server = State<Arc<HttpServer>>;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StartRequest {
    candidate: Option<u64>,
    /// In TOML, as the table `[rollout]` of `model.toml`.
    plan_toml: String,
    retry: bool,
    dry_run: bool,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ControlRequest {
    reason: String,
}

/// Every rollout.
pub(super) async fn all(State(server): Server) -> Json<Vec<RolloutReport>> {
    Json(server.core.rollouts().reports().to_vec())
}

/// The rollout of a model.
pub(super) async fn one(State(server): Server, Path(model): Path<String>) -> Result<Json<RolloutReport>, Failure> {
    // One at most, of a model that has a name.
    let found = reports(server.core.rollouts(), &model)?.pop();
    found.map(Json).ok_or_else(|| InferError::invalid("the model has no name").into())
}

/// Begins one.
pub(super) async fn start(
    State(server): Server,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RolloutReport>, Failure> {
    let request: StartRequest = control_body(&server, &headers, body).await?;
    let missing = || InferError::invalid("candidate is not set; expected the number of the version to try");
    let order =
        order(model, request.candidate.ok_or_else(missing)?, &request.plan_toml, request.retry, request.dry_run)?;
    Ok(Json(server.core.rollouts().begin(order).await?))
}

/// Pauses, resumes, promotes or aborts one.
pub(super) async fn control(
    State(server): Server,
    Path((model, action)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RolloutReport>, Failure> {
    let command = match action.as_str() {
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        "promote" => Command::Promote,
        "abort" => Command::Abort,
        other => {
            let message =
                format!("'{other}' can't be done to a rollout; expected start, pause, resume, promote or abort");
            return Err(InferError::invalid(message).into());
        }
    };
    let request: ControlRequest = control_body(&server, &headers, body).await?;
    Ok(Json(server.core.rollouts().control(&model, command, &request.reason).await?))
}
