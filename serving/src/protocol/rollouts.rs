//! Rollouts as both protocols ask for them.

use takt_artifact::fault::DocumentError;
use takt_rollout::{Plan, RawPlan};

use crate::error::{ErrorKind, InferError};
use crate::rollout::{RolloutHub, RolloutReport, StartOrder};

/// An order to begin a rollout.
///
/// # Errors
/// The plan has faults; all are named.
pub fn order(model: String, candidate: u64, plan: &str, retry: bool, dry_run: bool) -> Result<StartOrder, InferError> {
    let plan = if plan.trim().is_empty() { None } else { Some(read_plan(plan)?) };
    Ok(StartOrder { model, candidate, plan, retry, dry_run, asked: "a person".to_owned() })
}

/// A plan from TOML.
fn read_plan(text: &str) -> Result<Plan, InferError> {
    let raw: RawPlan =
        toml::from_str(text).map_err(|error| InferError::invalid(format!("the plan can't be read: {error}")))?;
    Plan::try_from(raw).map_err(|error: DocumentError| InferError::invalid(error.to_string()))
}

/// How the rollout of a model stands, or of all where the name is empty.
///
/// # Errors
/// The model has none.
pub fn reports(hub: &RolloutHub, model: &str) -> Result<Vec<RolloutReport>, InferError> {
    let mut reports = hub.reports().to_vec();
    if model.is_empty() {
        return Ok(reports);
    }
    reports.retain(|report| report.model == model);
    if reports.is_empty() {
        let message = format!("no rollout of '{model}'; begin one with takt rollout start");
        return Err(InferError::new(ErrorKind::NotFound, message));
    }
    Ok(reports)
}
