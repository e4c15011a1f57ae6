//! A look at a `ModelRollout` of the layer GRPCRoute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use takt_artifact::share::TrafficShare;
use takt_rollout::Phase;
use takt_rollout::observation::Candidate;
use tracing::{info, warn};

use super::rollout::{AFTER_ORDER, Applied, Observed, address, faulty, holds, let_go, observe};
use super::{Context, ReconcileError, clock};
use crate::build::{Outcome, route_memory};
use crate::crd::ModelRollout;
use crate::fleet::Wish;
use crate::hands::events::Told;
use crate::hands::{Address, ClusterError, metrics};
use crate::route::{Look, Memory, Split, Step, step, weights};
use crate::spec::{RouteRollout, grpc_port};

/// Pods of a Service that are asked, at most, for one that serves.
const MOST_PODS: usize = 8;

/// One look: observe, validate, look, decide, write, apply, report.
///
/// # Errors
/// We do not lead, or the API server did not do its part. What is wrong with the route, the pods or Prometheus is never an
/// error here: it is what is decided on.
pub(super) async fn reconcile(object: Arc<ModelRollout>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    let observed = observe(object, &context)?;
    let leaves = observed.object.metadata.deletion_timestamp.is_some();
    if leaves && !holds(&observed.object) {
        context.forget(&observed.object);
        return Ok(Action::await_change());
    }
    let before = observed.status.route.as_ref();
    let memory = before.map(route_memory::read).unwrap_or_default();
    let bound = before.filter(|_| memory.is_active()).and_then(route_memory::subject);
    let attempt = before.map_or(0, |route| route.attempt);
    let want = RouteRollout::try_from(observed.object.as_ref()).and_then(|want| want.after(bound.as_ref(), attempt));
    let want = match (want, bound) {
        (Ok(want), _) => want,
        (Err(faults), _) if !leaves => return super::rollout::report(faulty(observed, faults), &context).await,
        // A rollout that is to go and makes no sense goes: the plan no longer matters.
        (Err(_), Some(subject)) => RouteRollout::leaving(&observed.object, subject),
        (Err(_), None) => return let_go(&observed.object, &context).await,
    };
    let told = observed.status.observed_generation == observed.object.metadata.generation;
    let over = memory.phase().is_some_and(Phase::is_terminal) && memory.goal == want.goal;
    if over && told && want.wish != Wish::Leave {
        return Ok(Action::await_change());
    }
    if !holds(&observed.object) {
        // Held before a weight is touched; the write brings us here again.
        context.cluster.hold(&observed.object, true).await?;
        return Ok(Action::await_change());
    }
    let nothing_begun = memory.phase().is_none_or(Phase::is_terminal);
    if nothing_begun && want.wish == Wish::Leave {
        return let_go(&observed.object, &context).await;
    }
    let (look, route) = look(&observed, &want, &context).await?;
    let trouble = look.accepted.clone().and(look.share.clone()).err();
    let next = step(&want, memory.clone(), look, seed(&observed.object), clock().0);
    apply(observed, Decided { want, before: memory, trouble, route, next }, &context).await
}

/// What is next, and what it was decided on.
struct Decided {
    want: RouteRollout,
    before: Memory,
    /// What is wrong with the route.
    trouble: Option<String>,
    route: Option<Split>,
    next: Step,
}

/// Looks at the route, the pods of both Services, and a Prometheus.
async fn look(
    observed: &Observed,
    want: &RouteRollout,
    context: &Context,
) -> Result<(Look, Option<Split>), ReconcileError> {
    let (object, names) = (&observed.object, &want.subject.names);
    let asks = context.may_ask(object);
    let answers = async {
        match asks {
            true => Some(metrics::ask(context.prometheus.clone(), want).await),
            false => None,
        }
    };
    let (route, stable, canary, answers) = tokio::join!(
        context.cluster.grpc_route(object, &names.route),
        serving(context, object, &names.stable, want, None),
        serving(context, object, &names.canary, want, Some(want.subject.candidate)),
        answers,
    );
    let route = match route {
        Ok(route) => Ok(route),
        Err(ClusterError::Gone) => Err(format!("GRPCRoute '{}' is not there", names.route)),
        // The kind may not be installed, or the Role may be an old one.
        Err(error @ (ClusterError::Forbidden(_) | ClusterError::Refused(_))) => Err(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    let split = route.as_ref().map_err(Clone::clone).and_then(|route| Split::read(route, names));
    let share = split.as_ref().map_err(Clone::clone).and_then(|split| {
        split.share().ok_or_else(|| format!("rules of GRPCRoute '{}' give the candidate different shares", names.route))
    });
    let accepted = route.as_ref().map_err(Clone::clone).and_then(weights::accepted);
    let candidate = if canary? { Candidate::Ready } else { Candidate::Coming };
    Ok((Look { share, accepted, stable_ready: stable?, candidate, answers }, split.ok()))
}

/// Whether a pod behind a Service serves the model, in that version if one is given.
async fn serving(
    context: &Context,
    object: &ModelRollout,
    service: &str,
    want: &RouteRollout,
    version: Option<u64>,
) -> Result<bool, ClusterError> {
    let selector = match context.cluster.service_named(object, service).await? {
        Some(service) => service.spec.and_then(|spec| spec.selector).unwrap_or_default(),
        None => BTreeMap::new(),
    };
    if selector.is_empty() {
        return Ok(false);
    }
    let pods = context.cluster.pods(object, &selector).await?;
    let ready = pods.iter().filter(|pod| is_ready(pod)).filter_map(|pod| address(pod, grpc_port(object)));
    let addresses: Vec<Address> = ready.take(MOST_PODS).collect();
    let asked = addresses.iter().map(|address| context.devices.serves(address, &want.subject.model, version));
    Ok(join_all(asked).await.into_iter().any(|serves| serves))
}

fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Writes down what was decided, then does it.
async fn apply(observed: Observed, decided: Decided, context: &Context) -> Result<Action, ReconcileError> {
    let Decided { want, before, trouble, route, next } = decided;
    let events = turns(&before, &next);
    let weight = next.weight;
    let applied = Applied {
        outcome: Outcome::Routed(Box::new(next), Box::new(want.clone()), trouble),
        events: Vec::new(),
        refused: false,
        observed,
    };
    let (object, term) = (Arc::clone(&applied.observed.object), applied.observed.term);
    // Written before it is done: who comes after us must know that the candidate may have traffic.
    let action = super::rollout::report_now(applied, weight.is_some(), context).await?;
    let set = match (weight, route) {
        (Some(share), Some(route)) => set(&object, &want, share, &route, term, context).await?,
        _ => action,
    };
    for event in &events {
        context.teller.tell(&object, event).await;
    }
    Ok(set)
}

/// Gives the candidate a weight.
async fn set(
    object: &ModelRollout,
    want: &RouteRollout,
    share: TrafficShare,
    route: &Split,
    term: i64,
    context: &Context,
) -> Result<Action, ReconcileError> {
    if context.leadership.term() != Some(term) {
        return Err(ReconcileError::NotLeading);
    }
    let names = &want.subject.names;
    let done = match route.patch(share) {
        Ok(patch) => context.cluster.patch_grpc_route(object, &names.route, patch).await.map_err(|error| match error {
            ClusterError::Refused(why) => format!("somebody changed it meanwhile, or it may not be so: {why}"),
            error => error.to_string(),
        }),
        Err(why) => Err(why),
    };
    match done {
        Ok(()) => {
            info!(route = names.route, %share, "the candidate's weight is set");
            Ok(Action::requeue(AFTER_ORDER))
        }
        Err(why) => {
            warn!(route = names.route, %share, why, "the candidate's weight could not be set");
            let note = format!("GRPCRoute '{}' can't be given {share} for the candidate: {why}", names.route);
            context.teller.tell(object, &Told::new(true, "weight_not_set", note)).await;
            Ok(Action::requeue(context.backoff.wait(object.uid().as_deref().unwrap_or_default())))
        }
    }
}

/// What people are told.
fn turns(before: &Memory, next: &Step) -> Vec<Told> {
    let mut events = Vec::new();
    if let Some(why) = &next.refused {
        events.push(Told::new(true, "refused", why.clone()));
    }
    if let Some(phase) = next.memory.phase().filter(|phase| before.phase() != Some(*phase)) {
        let bad = matches!(phase, Phase::Held { .. } | Phase::Aborting | Phase::Degraded | Phase::RolledBack);
        events.push(Told::new(bad, phase.label(), next.memory.why()));
    }
    events
}

/// Random enough for a salt that is no secret: routing is the gateway's.
fn seed(object: &ModelRollout) -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let uid = object.metadata.uid.as_deref().unwrap_or_default().bytes();
    uid.fold(since, |seed, byte| seed.rotate_left(9) ^ u128::from(byte))
}
