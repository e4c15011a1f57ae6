//! The rollout service: people's words about rollouts, and how they stand.

use std::sync::Arc;

use takt_artifact::share::TrafficShare;
use takt_proto::rollout::control_request::Action;
use takt_proto::rollout::rollouts_server::Rollouts;
use takt_proto::rollout::{ControlRequest, GetRequest, GetResponse, Rollout, StartRequest};
use takt_rollout::observation::Command;
use tonic::{Request, Response, Status};

use crate::core::Core;
use crate::error::{ErrorKind, InferError};
use crate::protocol::rollouts::{order, reports};
use crate::rollout::RolloutReport;

/// Answers rollout RPCs from the server's core.
pub struct RolloutService {
    core: Arc<Core>,
}

impl RolloutService {
    /// A service over that core.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[tonic::async_trait]
impl Rollouts for RolloutService {
    async fn start(&self, request: Request<StartRequest>) -> Result<Response<Rollout>, Status> {
        let StartRequest { model, candidate, plan_toml, retry, dry_run } = request.into_inner();
        let order = order(model, candidate, &plan_toml, retry, dry_run)?;
        let report = self.core.rollouts().begin(order).await?;
        Ok(Response::new(message(&report)?))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let found = reports(self.core.rollouts(), &request.into_inner().model)?;
        let rollouts = found.iter().map(message).collect::<Result<_, _>>()?;
        Ok(Response::new(GetResponse { rollouts }))
    }

    async fn control(&self, request: Request<ControlRequest>) -> Result<Response<Rollout>, Status> {
        let request = request.into_inner();
        let command = match request.action() {
            Action::Pause => Command::Pause,
            Action::Resume => Command::Resume,
            Action::Promote => Command::Promote,
            Action::Abort => Command::Abort,
            Action::Unspecified => {
                return Err(InferError::invalid("action is not set; expected PAUSE, RESUME, PROMOTE or ABORT").into());
            }
        };
        let report = self.core.rollouts().control(&request.model, command, &request.reason).await?;
        Ok(Response::new(message(&report)?))
    }
}

fn message(report: &RolloutReport) -> Result<Rollout, InferError> {
    let progress_json =
        serde_json::to_string(report).map_err(|error| InferError::new(ErrorKind::Internal, error.to_string()))?;
    let progress = &report.progress;
    Ok(Rollout {
        model: report.model.clone(),
        id: progress.id.clone(),
        phase: progress.phase.label().to_owned(),
        stable: report.stable,
        candidate: report.candidate,
        weight: progress.desired.get(),
        observed: progress.observed.map_or(0.0, TrafficShare::get),
        reason: progress.why.clone(),
        progress_json,
    })
}
