//! A look at a `ModelRollout`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::controller::Action;
use takt_artifact::time::UnixMillis;
use takt_rollout::Phase;
use tracing::{info, warn};

use super::{Context, ReconcileError, clock};
use crate::build::{Outcome, memory, rollout_status, route_memory, worth_writing};
use crate::crd::{FINALIZER, Identity, ModelRollout, ModelRolloutStatus};
use crate::fleet::{Course, Decision, Fleet, Heard, Order, Seen, Wish, decide};
use crate::hands::events::Told;
use crate::hands::{Address, PATIENCE};
use crate::spec::{Faults, Rollout, is_routed};

/// Devices asked at once.
const AT_ONCE: usize = 32;
/// After an order a device needs little to show that it obeys.
pub(super) const AFTER_ORDER: Duration = Duration::from_millis(300);
/// A device that was silent is waited for so long: what the others say must not wait for it.
const DOUBT: Duration = Duration::from_secs(1);
/// One second of so many it is given its time all the same, or one that is slow would be taken for one that is gone.
const BENEFIT: u64 = 16;
/// A pod's own port, where not all devices have the same.
const PORT_ANNOTATION: &str = "takt.dev/grpc-port";

/// What is known before anything is done, under a term.
pub(super) struct Observed {
    pub(super) object: Arc<ModelRollout>,
    version: Option<String>,
    pub(super) status: ModelRolloutStatus,
    since: Duration,
    pub(super) term: i64,
}

/// With a spec that makes sense, and what its devices said.
struct Heards {
    observed: Observed,
    rollout: Rollout,
    fleet: Fleet,
    addresses: BTreeMap<String, Address>,
    seen: Vec<Seen>,
}

/// With what is next.
struct Decided {
    observed: Observed,
    rollout: Rollout,
    addresses: BTreeMap<String, Address>,
    decision: Decision,
}

/// With devices told.
pub(super) struct Applied {
    pub(super) observed: Observed,
    pub(super) outcome: Outcome,
    pub(super) events: Vec<Told>,
    pub(super) refused: bool,
}

/// One look: observe, validate, listen, decide, apply, report.
///
/// # Errors
/// We do not lead, or the API server did not do its part. What devices say is never an error here: it is what is decided on.
pub async fn reconcile(object: Arc<ModelRollout>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    if is_between_services(&object) {
        return super::route::reconcile(object, context).await;
    }
    let observed = observe(object, &context)?;
    if observed.object.metadata.deletion_timestamp.is_some() && !holds(&observed.object) {
        context.forget(&observed.object);
        return Ok(Action::await_change());
    }
    let before = observed.status.fleet.as_ref();
    let (bound, attempt) = (before.and_then(memory::bound), before.map_or(0, |fleet| fleet.attempt));
    let rollout =
        Rollout::try_from(observed.object.as_ref()).and_then(|rollout| rollout.after(bound.as_ref(), attempt));
    let applied = match rollout {
        Err(faults) if observed.object.metadata.deletion_timestamp.is_none() => faulty(observed, faults),
        // A rollout that is to go and makes no sense goes: the plan no longer matters.
        Err(_) => {
            let Some(subject) = bound else { return let_go(&observed.object, &context).await };
            let goal = observed.status.fleet.as_ref().map(|fleet| fleet.goal.clone()).unwrap_or_default();
            let rollout = Rollout::leaving(&observed.object, subject, goal);
            apply(decided(listen(observed, rollout, &context).await?), &context).await?
        }
        Ok(rollout) => {
            if settled(&observed, &rollout) {
                return Ok(Action::await_change());
            }
            if !holds(&observed.object) {
                // Held before a device is touched; the write brings us here again.
                context.cluster.hold(&observed.object, true).await?;
                return Ok(Action::await_change());
            }
            apply(decided(listen(observed, rollout, &context).await?), &context).await?
        }
    };
    report(applied, &context).await
}

/// Which layer looks after it: the one that may have given the candidate traffic, or else the one that is asked for.
fn is_between_services(object: &ModelRollout) -> bool {
    let status = object.status.as_ref();
    let routed =
        status.and_then(|status| status.route.as_ref()).is_some_and(|route| route_memory::read(route).is_active());
    let at_work = status.and_then(|status| status.fleet.as_ref()).and_then(memory::bound).is_some();
    routed || (!at_work && is_routed(object))
}

pub(super) fn observe(object: Arc<ModelRollout>, context: &Context) -> Result<Observed, ReconcileError> {
    let (version, status, since) = context.newest(&object);
    let term = context.term(status.term)?;
    Ok(Observed { object, version, status, since, term })
}

pub(super) fn holds(object: &ModelRollout) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Ends our part in a rollout: it may be deleted.
pub(super) async fn let_go(object: &ModelRollout, context: &Context) -> Result<Action, ReconcileError> {
    context.cluster.hold(object, false).await?;
    context.forget(object);
    Ok(Action::await_change())
}

/// Whether nothing can follow: it has ended, and the same is wanted.
fn settled(observed: &Observed, rollout: &Rollout) -> bool {
    let ended = observed
        .status
        .fleet
        .as_ref()
        .map(memory::read)
        .is_some_and(|fleet| fleet.has_ended() && fleet.goal == rollout.want.goal);
    let told = observed.status.observed_generation == observed.object.metadata.generation;
    ended && told && rollout.want.wish != Wish::Leave
}

pub(super) fn faulty(observed: Observed, faults: Faults) -> Applied {
    let new = observed.status.observed_generation != observed.object.metadata.generation;
    let events = new.then(|| Told::new(true, "spec_invalid", faults.to_string())).into_iter().collect();
    Applied { observed, outcome: Outcome::Faulty(faults), events, refused: false }
}

/// Asks every device.
async fn listen(observed: Observed, rollout: Rollout, context: &Context) -> Result<Heards, ReconcileError> {
    let pods = context.cluster.pods(&observed.object, &rollout.subject.selector).await?;
    let fleet = observed.status.fleet.as_ref().map_or_else(|| Fleet::new(&rollout.want), memory::read);
    let found = find(&pods, &rollout);
    let now = clock().0;
    let looks: Vec<_> = found
        .iter()
        .map(|(device, address)| {
            let silent = fleet.devices.get(device).is_some_and(|device| device.silent.is_some());
            look(device, address.as_ref(), &rollout, patience(silent, now), context)
        })
        .collect();
    let seen = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
    let addresses = found.into_iter().filter_map(|(device, address)| Some((device, address?))).collect();
    Ok(Heards { observed, rollout, fleet, addresses, seen })
}

/// How long an answer may take.
fn patience(silent: bool, now: UnixMillis) -> Duration {
    if silent && !(now.0 / 1000).is_multiple_of(BENEFIT) { DOUBT } else { PATIENCE }
}

async fn look(
    device: &str,
    address: Option<&Address>,
    rollout: &Rollout,
    patience: Duration,
    context: &Context,
) -> Seen {
    let heard = match address {
        Some(address) => {
            let look = tokio::time::timeout(patience, context.devices.look(address, rollout)).await;
            look.unwrap_or_else(|_| Heard::Silent(format!("it has not answered within {patience:?}")))
        }
        None => Heard::Silent("its pod has no address yet".to_owned()),
    };
    Seen { device: device.to_owned(), heard }
}

/// Devices and where they are reached. Of several pods of a node the newest that has an address.
fn find(pods: &[Pod], rollout: &Rollout) -> BTreeMap<String, Option<Address>> {
    let mut found: BTreeMap<String, (i64, Option<Address>)> = BTreeMap::new();
    for pod in pods {
        let over = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if pod.metadata.deletion_timestamp.is_some() || matches!(over, Some("Succeeded" | "Failed")) {
            continue;
        }
        let name = match rollout.subject.identity {
            Identity::Pod => Some(pod.name_any()),
            Identity::Node => pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        };
        // A pod without a node is no device yet.
        let Some(name) = name else { continue };
        let address = address(pod, rollout.port);
        let age = pod.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
        let newer = |(known, before): &(i64, Option<Address>)| (address.is_some(), age) > (before.is_some(), *known);
        if found.get(&name).is_none_or(newer) {
            found.insert(name, (age, address));
        }
    }
    found.into_iter().map(|(name, (_, address))| (name, address)).collect()
}

/// Where a pod is reached, once it has an address.
pub(super) fn address(pod: &Pod, port: u16) -> Option<Address> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).filter(|ip| !ip.is_empty())?;
    let own = pod.annotations().get(PORT_ANNOTATION).and_then(|port| port.parse().ok());
    Some(Address::new(ip, own.unwrap_or(port)))
}

fn decided(heards: Heards) -> Decided {
    let Heards { observed, rollout, fleet, addresses, seen } = heards;
    let decision = decide(&rollout.want, &fleet, &seen, clock().0);
    Decided { observed, rollout, addresses, decision }
}

/// Tells the devices. What they refuse is remembered as their last word.
async fn apply(decided: Decided, context: &Context) -> Result<Applied, ReconcileError> {
    let Decided { observed, rollout, addresses, mut decision } = decided;
    let mut events = turns(&observed, &decision);
    let orders = decision.orders.iter();
    let orders: Vec<_> =
        orders.map(|order| tell(order, addresses.get(&order.device), &rollout, observed.term, context)).collect();
    let told: Vec<(Order, Result<(), String>)> = stream::iter(orders).buffer_unordered(AT_ONCE).collect().await;
    if context.leadership.term() != Some(observed.term) {
        return Err(ReconcileError::NotLeading);
    }
    let mut refused = false;
    for (order, outcome) in told {
        context.metrics.order(order.what, outcome.is_ok());
        match outcome {
            Ok(()) => info!(device = order.device, what = order.what.label(), "told"),
            Err(why) => {
                refused = true;
                let note = format!("{} refuses to {}: {why}", order.device, order.what.label());
                warn!(note, "an order was refused");
                if let Some(device) = decision.next.devices.get_mut(&order.device)
                    && device.why != why
                {
                    device.why = why;
                    events.push(Told::new(true, "refused", note));
                }
            }
        }
    }
    let outcome = Outcome::Decided(Box::new(decision), rollout.subject);
    Ok(Applied { observed, outcome, events, refused })
}

async fn tell(
    order: &Order,
    address: Option<&Address>,
    rollout: &Rollout,
    term: i64,
    context: &Context,
) -> (Order, Result<(), String>) {
    // Asked for at each order: telling many devices takes a while.
    let leads = context.leadership.term() == Some(term);
    let outcome = match address {
        Some(address) if leads => context.devices.tell(address, rollout, order.what).await.map_err(|refused| refused.0),
        Some(_) => Err("another operator leads".to_owned()),
        None => Err("it has no address".to_owned()),
    };
    (order.clone(), outcome)
}

/// What people are told: where the course turns, and where devices end.
fn turns(observed: &Observed, decision: &Decision) -> Vec<Told> {
    let before = observed.status.fleet.as_ref();
    let course = decision.next.course.label();
    let mut events = Vec::new();
    if before.is_none_or(|before| before.course != course || before.goal != decision.next.goal) {
        let bad = !matches!(decision.next.course, Course::Rolling | Course::Succeeded);
        events.push(Told::new(bad, course, decision.why.clone()));
    }
    if before.is_some_and(|before| (before.wave as usize) < decision.next.wave) {
        events.push(Told::new(false, "wave_passed", decision.why.clone()));
    }
    events
}

/// Writes the status where that is worth it, tells people, and says when to look again.
pub(super) async fn report(applied: Applied, context: &Context) -> Result<Action, ReconcileError> {
    report_now(applied, false, context).await
}

/// The same; `at_once` where something is done next that must be known to whoever comes after us.
pub(super) async fn report_now(applied: Applied, at_once: bool, context: &Context) -> Result<Action, ReconcileError> {
    let Applied { observed, outcome, events, refused } = applied;
    let generation = observed.object.metadata.generation;
    let status = rollout_status(&observed.status, generation, &outcome, observed.term, clock().1);
    let mut object = Arc::clone(&observed.object);
    let mut written = false;
    let differs = at_once && observed.status != status;
    if differs || worth_writing(&observed.status, &status, observed.since, context.pace.figures) {
        let new = context.cluster.write_rollout(&observed.object, observed.version.as_deref(), &status).await?;
        context.metrics.status_written();
        context.remember(&observed.object, &new, status);
        (object, written) = (Arc::new(new), true);
    }
    for event in &events {
        context.teller.tell(&object, event).await;
    }
    let ended = match &outcome {
        Outcome::Faulty(_) => return Ok(Action::await_change()),
        Outcome::Decided(decision, _) => decision.next.has_ended(),
        Outcome::Routed(step, ..) => step.memory.phase().is_some_and(Phase::is_terminal),
    };
    if object.metadata.deletion_timestamp.is_some() && ended {
        return let_go(&object, context).await;
    }
    let uid = object.metadata.uid.clone().unwrap_or_default();
    if refused {
        return Ok(Action::requeue(context.backoff.wait(&uid)));
    }
    context.backoff.forget(&uid);
    if ended {
        return Ok(Action::await_change());
    }
    let Outcome::Decided(decision, _) = outcome else { return Ok(Action::requeue(context.pace.waiting)) };
    let at_work = decision.next.at_work().next().is_some();
    if !at_work && !written {
        return Ok(Action::requeue(context.quiet.wait(&uid)));
    }
    context.quiet.forget(&uid);
    let obeys = written || !decision.orders.is_empty();
    Ok(Action::requeue(if obeys { AFTER_ORDER } else { context.pace.at_work }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_silent_keeps_nobody_waiting_and_is_heard_out_now_and_then() {
        let full = |silent| (0..160).filter(|second| patience(silent, UnixMillis(second * 1000)) == PATIENCE).count();
        assert_eq!((full(false), full(true)), (160, 10));
    }
}
