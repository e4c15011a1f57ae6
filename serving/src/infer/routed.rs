//! A request under a rollout: no client loses an answer to the candidate, and what happened is counted where it happened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use takt_monitoring::events::Arm;

use super::{InferResponse, attempt, shadow};
use crate::error::{ErrorKind, InferError};
use crate::monitor::Placed;
use crate::registry::version::ServedVersion;
use crate::request::{InferRequest, Origin};
use crate::route::{Route, Trip, Wake};

/// A request's place in a rollout.
pub struct Assigned {
    /// The route that was in force.
    pub route: Arc<Route>,
    /// Who is to answer.
    pub arm: Arm,
    /// The stable version; none while the candidate has taken its place, because both find no room.
    pub stable: Option<Arc<ServedVersion>>,
    /// The candidate, while it is loaded.
    pub candidate: Option<Arc<ServedVersion>>,
}

impl Assigned {
    /// Arm and share, for the record.
    #[must_use]
    pub fn placed(&self) -> Placed {
        Placed { arm: self.arm, rho: self.route.share() }
    }

    /// The version that is to answer.
    fn version(&self) -> Option<&Arc<ServedVersion>> {
        match self.arm {
            Arm::Stable => self.stable.as_ref(),
            Arm::Canary | Arm::Shadow => self.candidate.as_ref(),
        }
    }

    /// The same with stable's answer, if it can.
    fn on_stable(&self) -> Option<Self> {
        let (route, stable) = (Arc::clone(&self.route), Arc::clone(self.stable.as_ref()?));
        Some(Self { route, arm: Arm::Stable, stable: Some(stable), candidate: self.candidate.clone() })
    }
}

/// Runs a request on the arm that it was given; where that fails through no fault of the request, on the stable version.
///
/// A failure is evidence only where the stable version then answered: what both fail on is the input's fault. That goes
/// for the stable arm too, else a broken camera would speak for the candidate.
///
/// `None` when the version drains and took nothing.
///
/// # Errors
/// The request's own fault, or that both failed.
pub(super) async fn run(
    assigned: &Assigned,
    request: &InferRequest,
    arrived: Instant,
) -> Result<Option<InferResponse>, InferError> {
    let Assigned { route, arm, .. } = assigned;
    let Some(version) = assigned.version() else { return Ok(None) };
    let first = match (arm, &assigned.stable) {
        // The instance may hang: a client of stable's would not wait for it.
        (Arm::Canary, Some(_)) => {
            let attempt = attempt(version, request, arrived, Some(assigned));
            let first = tokio::time::timeout(route.patience, attempt).await;
            first.unwrap_or_else(|_| Err(impatience(version, route.patience)))
        }
        _ => attempt(version, request, arrived, Some(assigned)).await,
    };
    match first {
        Ok(Some(response)) => {
            answered(assigned, &request.origin, response.failed_run, arrived.elapsed());
            shadow::copy(assigned, request, &response);
            Ok(Some(response))
        }
        Err(error) if is_tried_again(error.kind(), *arm) => {
            let Some(second) = assigned.on_stable() else {
                // Nobody can say whether it was the input: counted, for the ceilings.
                failed(assigned, &error);
                route.counts(*arm).answer(arrived.elapsed(), route.objective);
                return Err(error);
            };
            let Some(stable) = &second.stable else { return Err(error) };
            let Some(mut response) = attempt(stable, request, arrived, Some(&second)).await? else { return Ok(None) };
            answered_by_stable(assigned, &request.origin, &error, arrived.elapsed());
            response.instead_of_canary = *arm == Arm::Canary;
            Ok(Some(response))
        }
        other => other,
    }
}

/// Whether the stable version is asked after such a failure.
fn is_tried_again(kind: ErrorKind, arm: Arm) -> bool {
    match kind {
        ErrorKind::RunFailed | ErrorKind::BadOutput | ErrorKind::Internal => true,
        // Of stable the same answer is to be expected; of the candidate nobody asked to be its client.
        ErrorKind::InvalidArgument
        | ErrorKind::NotFound
        | ErrorKind::Unavailable
        | ErrorKind::QueueFull
        | ErrorKind::QueueTimeout => arm == Arm::Canary,
        ErrorKind::BadImage
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Cancelled
        | ErrorKind::ResourceExhausted
        | ErrorKind::Unimplemented => false,
    }
}

/// Counts an answer of the arm that was to give it, `took` after the request had arrived; perhaps after a run that failed.
pub(crate) fn answered(assigned: &Assigned, origin: &Origin, failed: Option<u64>, took: Duration) {
    let Assigned { route, arm, .. } = assigned;
    route.counts(*arm).answer(took, route.objective);
    route.count_station(origin, failed.is_some());
    match failed {
        Some(run) => failed_run(assigned, Some(run)),
        None if *arm == Arm::Canary => route.dead_man.answered(),
        None => {}
    }
}

/// Counts an answer that stable gave where the attempt before had failed with `error`.
pub(crate) fn answered_by_stable(assigned: &Assigned, origin: &Origin, error: &InferError, took: Duration) {
    let Assigned { route, arm, .. } = assigned;
    failed(assigned, error);
    route.count_station(origin, error.kind() != ErrorKind::QueueFull);
    route.counts(*arm).answer(took, route.objective);
}

/// What is said where the candidate took too long.
pub(super) fn impatience(version: &ServedVersion, patience: Duration) -> InferError {
    InferError::new(ErrorKind::QueueTimeout, format!("{} did not answer within {patience:?}", version.id))
}

/// An attempt failed where the stable version answered, before or after: the failure was the version's.
pub(super) fn failed(assigned: &Assigned, error: &InferError) {
    let Assigned { route, arm, .. } = assigned;
    match (error.kind(), arm) {
        // Said of the load, not of the version.
        (ErrorKind::QueueFull, _) => {}
        (ErrorKind::BadOutput, Arm::Canary | Arm::Shadow) => {
            route.counts(*arm).failed.add(error.run());
            tell(assigned, route.dead_man.trip(Trip::BadOutput(error.message().to_owned())));
        }
        _ => failed_run(assigned, error.run()),
    }
}

fn failed_run(assigned: &Assigned, run: Option<u64>) {
    let Assigned { route, arm, .. } = assigned;
    if route.counts(*arm).failed.add(run) {
        let trip = if *arm == Arm::Stable { None } else { route.dead_man.failed() };
        tell(assigned, trip);
    }
}

/// Wakes the owner of the rollout.
fn tell(assigned: &Assigned, trip: Option<Trip>) {
    let wake = match trip {
        Some(trip) => {
            Wake::Tripped(assigned.version().map(|version| version.id.model.clone()).unwrap_or_default(), trip)
        }
        None => Wake::Failure,
    };
    assigned.route.waker.wake(wake);
}
