//! The status of a `ModelRollout`.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use takt_artifact::share::TrafficShare;
use takt_rollout::Phase;
use takt_rollout::state::HoldReason;

use super::conditions::{Kind, conditions, now, pascal};
use super::{memory, route_memory};
use crate::crd::ModelRolloutStatus;
use crate::fleet::{Course, Decision, Device, Fleet, Standing};
use crate::route::Step;
use crate::spec::{Faults, RouteRollout, Subject};

/// What a look at a rollout came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The spec makes no sense; what was under way goes on as it was.
    Faulty(Faults),
    /// What is next was decided, about these devices.
    Decided(Box<Decision>, Subject),
    /// What is next was decided, about a route, with which something may be wrong.
    Routed(Box<Step>, Box<RouteRollout>, Option<String>),
}

/// The status that follows.
#[must_use]
pub fn rollout_status(
    before: &ModelRolloutStatus,
    generation: Option<i64>,
    outcome: &Outcome,
    term: i64,
    at: Timestamp,
) -> ModelRolloutStatus {
    match outcome {
        Outcome::Faulty(faults) => faulty(before, generation, faults, term, at),
        Outcome::Decided(decision, subject) => decided(before, generation, decision, subject, term, at),
        Outcome::Routed(step, want, trouble) => routed(before, generation, (step, want, trouble.as_deref()), term, at),
    }
}

fn faulty(
    before: &ModelRolloutStatus,
    generation: Option<i64>,
    faults: &Faults,
    term: i64,
    at: Timestamp,
) -> ModelRolloutStatus {
    let message = faults.to_string();
    let is = vec![
        now(Kind::Ready, Some(false), "spec_invalid", message.clone()),
        now(Kind::Progressing, Some(false), "spec_invalid", "nothing is done before the spec makes sense"),
        now(Kind::SpecValid, Some(false), "faults", message.clone()),
    ];
    ModelRolloutStatus {
        observed_generation: generation,
        why: Some(message),
        phase: before.phase.clone().or_else(|| Some("Pending".to_owned())),
        conditions: conditions(&before.conditions, is, generation, at),
        term: Some(term),
        ..before.clone()
    }
}

fn decided(
    before: &ModelRolloutStatus,
    generation: Option<i64>,
    decision: &Decision,
    subject: &Subject,
    term: i64,
    at: Timestamp,
) -> ModelRolloutStatus {
    let fleet = &decision.next;
    let label = fleet.course.label();
    let (ready, promoted) = (fleet.course == Course::Succeeded, fleet.course == Course::Succeeded);
    let progressing = matches!(fleet.course, Course::Rolling | Course::Aborting(_));
    let (fresh, heard) = match decision.stale.as_slice() {
        [] => (true, "every device at work was heard lately".to_owned()),
        [one] => (false, format!("{one} was not heard lately; it goes on, or back, by itself")),
        [one, rest @ ..] => (
            false,
            format!("{one} and {} others were not heard lately; they go on, or back, by themselves", rest.len()),
        ),
    };
    let is = vec![
        now(Kind::Ready, Some(ready), label, decision.why.clone()),
        now(Kind::Progressing, Some(progressing), label, decision.why.clone()),
        now(Kind::Promoted, Some(promoted), label, summary(fleet)),
        now(Kind::SpecValid, Some(true), "valid", "the spec makes sense"),
        now(Kind::DataFresh, Some(fresh), if fresh { "fresh" } else { "silent" }, heard),
    ];
    let weight = fleet.devices.values().filter(|device| device.listed).map(|device| device.weight).max();
    ModelRolloutStatus {
        observed_generation: generation,
        phase: Some(phase(fleet)),
        weight: Some(weight.unwrap_or(TrafficShare::NONE).to_string()),
        summary: Some(summary(fleet)),
        why: Some(decision.why.clone()),
        conditions: conditions(&before.conditions, is, generation, at),
        fleet: Some(memory::write(subject, fleet, &decision.pooled)),
        route: before.route.clone(),
        term: Some(term),
    }
}

fn routed(
    before: &ModelRolloutStatus,
    generation: Option<i64>,
    (step, want, trouble): (&Step, &RouteRollout, Option<&str>),
    term: i64,
    at: Timestamp,
) -> ModelRolloutStatus {
    let phase = step.memory.phase();
    let label = phase.map_or("pending", Phase::label);
    let (succeeded, promoted) = (phase == Some(&Phase::Succeeded), step.memory.promoted);
    let progressing = matches!(phase, Some(Phase::Running(_) | Phase::Aborting));
    let blind = |phase: &Phase| matches!(phase, Phase::Held { reason: HoldReason::NoData | HoldReason::Stale, .. });
    let complaint = step.memory.complaint.as_deref();
    let (fresh, heard) = match (trouble, complaint) {
        (Some(trouble), _) => (false, trouble.to_owned()),
        (None, Some(complaint)) => (false, complaint.to_owned()),
        (None, None) if phase.is_some_and(blind) => (false, step.memory.why().to_owned()),
        (None, None) => (true, "the route is in force, and Prometheus answers".to_owned()),
    };
    let why = match (&step.refused, trouble) {
        (Some(refused), _) => refused.clone(),
        (None, Some(trouble)) => format!("{}; {trouble}", step.memory.why()),
        (None, None) => step.memory.why().to_owned(),
    };
    let is = vec![
        now(Kind::Ready, Some(succeeded), label, why.clone()),
        now(Kind::Progressing, Some(progressing), label, why.clone()),
        now(Kind::Promoted, Some(promoted), label, "whether the route is the candidate's"),
        now(Kind::SpecValid, Some(true), "valid", "the spec makes sense"),
        now(Kind::DataFresh, Some(fresh), if fresh { "fresh" } else { "silent" }, heard),
    ];
    let rollout = step.memory.state.rollout.as_ref();
    ModelRolloutStatus {
        observed_generation: generation,
        phase: Some(phase.map_or_else(|| "Pending".to_owned(), |phase| pascal(phase.label()))),
        weight: Some(rollout.map_or(TrafficShare::NONE, |rollout| rollout.desired).to_string()),
        summary: None,
        why: Some(why),
        conditions: conditions(&before.conditions, is, generation, at),
        fleet: before.fleet.clone(),
        route: Some(route_memory::write(want, step)),
        term: Some(term),
    }
}

/// Of the device that is the least far among those that have begun.
fn phase(fleet: &Fleet) -> String {
    const ORDER: [&str; 8] =
        ["held", "validating", "placing", "warming", "shadowing", "stepping", "promoting", "baking"];
    if fleet.course != Course::Rolling {
        return pascal(fleet.course.label());
    }
    let place = |device: &Device| ORDER.iter().position(|label| Some(*label) == device.phase.as_deref());
    let begun = fleet
        .devices
        .values()
        .filter(|device| device.listed && matches!(device.standing, Standing::Rolling | Standing::Promoted));
    let least = begun.filter_map(place).min();
    least.and_then(|place| ORDER.get(place)).map_or_else(|| "Pending".to_owned(), |label| pascal(label))
}

fn summary(fleet: &Fleet) -> String {
    let has = |device: &&Device| matches!(device.standing, Standing::Promoted | Standing::Succeeded);
    let (promoted, all) = (fleet.devices.values().filter(has).count(), fleet.devices.len());
    match fleet.standing(Standing::Failed).count() {
        0 => format!("{promoted}/{all}"),
        failed => format!("{promoted}/{all}, {failed} failed"),
    }
}

/// Whether a status is to be written: at once where its meaning changes; where only figures do, from time to time. Never where
/// nothing does.
#[must_use]
pub fn worth_writing(
    before: &ModelRolloutStatus,
    after: &ModelRolloutStatus,
    since: Duration,
    figures: Duration,
) -> bool {
    if before == after {
        return false;
    }
    meaning(before) != meaning(after) || since >= figures
}

/// The status without what moves with every part that is made.
fn meaning(status: &ModelRolloutStatus) -> ModelRolloutStatus {
    let mut status = status.clone();
    status.why = None;
    status.term = None;
    for condition in &mut status.conditions {
        condition.message.clear();
    }
    if let Some(route) = &mut status.route {
        (route.observed, route.exposed) = (None, 0);
        route.memory.clear();
        route.gates.clear();
    }
    if let Some(fleet) = &mut status.fleet {
        fleet.gates.clear();
        for device in &mut fleet.devices {
            (device.exposed, device.why) = (0, None);
            device.gates.clear();
        }
    }
    status
}
