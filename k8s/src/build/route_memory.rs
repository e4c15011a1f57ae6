//! What is remembered of a route, as it is written in the status. What was edited by others and makes no sense is forgotten: the
//! machine begins anew, and first of all takes the candidate's weight away.

use takt_rollout::evidence::GateReport;

use super::memory::number;
use crate::crd::{GateStatus, RouteStatus};
use crate::route::{Memory, Step};
use crate::spec::{RouteNames, RouteRollout, RouteSubject};

/// As it is written.
#[must_use]
pub fn write(want: &RouteRollout, step: &Step) -> RouteStatus {
    let RouteSubject { model, candidate, names } = &want.subject;
    let gate = |report: &GateReport| GateStatus {
        gate: report.gate.to_string(),
        log_e: report.against.as_ref().map_or_else(|| number(0.0), |against| number(against.ln_e)),
        log_threshold: report.against.as_ref().map(|against| number(against.ln_threshold)),
    };
    let exposed = step.memory.state.rollout.as_ref().map_or(0, |rollout| rollout.exposed);
    RouteStatus {
        name: names.route.clone(),
        stable_service: names.stable.clone(),
        canary_service: names.canary.clone(),
        model: model.clone(),
        candidate: i64::try_from(*candidate).unwrap_or(i64::MAX),
        goal: step.memory.goal.clone(),
        attempt: want.attempt,
        observed: step.memory.observed.map(|share| share.to_string()),
        exposed: i64::try_from(exposed).unwrap_or(i64::MAX),
        gates: step.gates.iter().map(gate).collect(),
        memory: serde_json::to_string(&step.memory).unwrap_or_default(),
    }
}

/// As it was written.
#[must_use]
pub fn read(status: &RouteStatus) -> Memory {
    serde_json::from_str(&status.memory).unwrap_or_default()
}

/// What the route has, or had, weights for.
#[must_use]
pub fn subject(status: &RouteStatus) -> Option<RouteSubject> {
    let names = RouteNames {
        namespace: String::new(),
        route: status.name.clone(),
        stable: status.stable_service.clone(),
        canary: status.canary_service.clone(),
    };
    Some(RouteSubject { model: status.model.clone(), candidate: u64::try_from(status.candidate).ok()?, names })
}
