//! A rollout for people: what a terminal view shows.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;

use crate::evidence::{Against, Escapes, GateReport};
use crate::plan::{Plan, Rates, feasibility};
use crate::state::{Phase, Placed, Rollback, Stage, State};

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub phase: Phase,
    /// Why, in one sentence.
    pub why: String,
    /// Stages that are measured, in order.
    pub steps: Vec<StepView>,
    /// The candidate's share that was asked for.
    pub desired: TrafficShare,
    /// That routing has.
    pub routed: Option<TrafficShare>,
    /// That it really answered.
    pub observed: Option<TrafficShare>,
    /// What every gate says.
    pub gates: Vec<GateReport>,
    /// Escapes; `None` for unknown.
    pub escapes: Option<Escapes>,
    /// Clients' units that the candidate answered.
    pub exposed: u64,
    /// How it is being, or was, taken back.
    pub rollback: Option<Rollback>,
    /// Time since it began.
    pub elapsed: Duration,
    /// Expected hours to the promotion; `None` if not known.
    pub hours_left: Option<f64>,
}

/// A stage with a share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Which.
    pub stage: Stage,
    /// The candidate's share of clients, or of copies.
    pub share: TrafficShare,
    /// How far it is.
    pub status: StepStatus,
    /// Time it took so far; for the current one.
    pub dwell: Option<Duration>,
    /// Longest time.
    pub budget: Duration,
    /// Expected hours; `None` if not known.
    pub hours: Option<f64>,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Passed.
    Passed,
    /// It is being done.
    Current,
    /// To come.
    Waiting,
}

impl Progress {
    /// Of the rollout in this state; `None` where there is none. Times are expected where rates are known.
    #[must_use]
    pub fn new(plan: &Plan, state: &State, rates: Option<&Rates>, now: UnixMillis) -> Option<Self> {
        let rollout = state.rollout.as_ref()?;
        let steps = steps(plan, state, rates);
        let against = if rollout.placed == Placed::Swapped { Against::Ceilings } else { Against::Stable };
        let left = |step: &StepView| {
            let dwell = step.dwell.unwrap_or_default().as_secs_f64() / 3600.0;
            step.hours.map(|hours| (hours - dwell).max(0.0))
        };
        let open = steps.iter().filter(|step| step.status != StepStatus::Passed && step.stage != Stage::Baking);
        let hours_left = if rollout.phase.is_terminal() { None } else { open.map(left).sum() };
        Some(Self {
            id: rollout.id.0.clone(),
            phase: rollout.phase.clone(),
            why: rollout.why.clone(),
            steps,
            desired: rollout.desired,
            routed: rollout.routed,
            observed: rollout.observed,
            gates: rollout.evidence.reports(plan, against),
            escapes: rollout.evidence.escapes(),
            exposed: rollout.exposed,
            rollback: rollout.rollback.clone(),
            elapsed: now.since(rollout.times.started),
            hours_left,
        })
    }
}

fn steps(plan: &Plan, state: &State, rates: Option<&Rates>) -> Vec<StepView> {
    let Some(rollout) = &state.rollout else { return Vec::new() };
    let estimate = rates.map(|rates| feasibility(plan, rates));
    let hours = |stage: Stage| estimate.as_ref()?.steps.iter().find(|step| step.stage == stage)?.hours;
    let shadow = plan.shadow.map(|shadow| (Stage::Shadowing, shadow.share, shadow.budget));
    let steps = plan.steps.iter().enumerate().map(|(i, step)| (Stage::Stepping(i), step.weight, step.budget));
    let here = match rollout.phase {
        Phase::Succeeded => Some(order(Stage::Baking) + 1),
        _ => rollout.phase.stage().map(order),
    };
    let bake = (Stage::Baking, plan.bake.holdback.rest(), plan.bake.duration);
    shadow
        .into_iter()
        .chain(steps)
        .chain([bake])
        .map(|(stage, share, budget)| {
            let status = match here {
                Some(here) if order(stage) < here => StepStatus::Passed,
                Some(here) if order(stage) == here => StepStatus::Current,
                _ => StepStatus::Waiting,
            };
            let dwell = (status == StepStatus::Current).then_some(rollout.times.dwell);
            let hours = if stage == Stage::Baking { Some(budget.as_secs_f64() / 3600.0) } else { hours(stage) };
            StepView { stage, share, status, dwell, budget, hours }
        })
        .collect()
}

/// Stages in the order in which they come.
fn order(stage: Stage) -> usize {
    match stage {
        Stage::Validating => 0,
        Stage::Placing => 1,
        Stage::Warming => 2,
        Stage::Shadowing => 3,
        Stage::Stepping(step) => 4 + step,
        Stage::Promoting => usize::MAX - 2,
        Stage::Baking => usize::MAX - 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use takt_artifact::VersionDigest;

    use super::*;
    use crate::decide::{Start, start};
    use crate::route::Salt;
    use crate::state::RolloutId;

    #[test]
    fn people_see_steps_shares_evidence_and_time() {
        let plan = Plan::default();
        let rates = Rates { units_per_hour: 875.0, runs_per_hour: None, error_rate: 0.002, defect_share: 0.03 };
        assert_eq!(Progress::new(&plan, &State::new(), Some(&rates), UnixMillis(0)), None);
        let beginning = Start {
            id: RolloutId("r1".to_owned()),
            stable: VersionDigest::of_manifest(b"stable"),
            candidate: VersionDigest::of_manifest(b"candidate"),
            salt: Salt::new(1),
            slow_micros: BTreeMap::new(),
            rates: Some(rates),
        };
        let mut state = start(&plan, &State::new(), beginning, UnixMillis(0)).unwrap().next;
        let whole = Progress::new(&plan, &state, Some(&rates), UnixMillis(5_000)).unwrap();
        assert_eq!(whole.elapsed, Duration::from_secs(5));
        assert_eq!(whole.hours_left, feasibility(&plan, &rates).hours);
        assert_eq!(whole.steps.len(), 4);
        assert!(whole.steps.iter().all(|step| step.status == StepStatus::Waiting));
        state.rollout.as_mut().unwrap().phase = Phase::Running(Stage::Stepping(1));
        let later = Progress::new(&plan, &state, Some(&rates), UnixMillis(5_000)).unwrap();
        let statuses: Vec<StepStatus> = later.steps.iter().map(|step| step.status).collect();
        assert_eq!(statuses, [StepStatus::Passed, StepStatus::Passed, StepStatus::Current, StepStatus::Waiting]);
        assert!(later.hours_left < whole.hours_left);
        assert_eq!(Progress::new(&plan, &state, None, UnixMillis(0)).unwrap().hours_left, None);
    }
}
