//! One step of the machine: what the state becomes, what is to be done, and why. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use takt_artifact::VersionDigest;
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;

use crate::action::Action;
use crate::evidence::Evidence;
use crate::observation::{Command, Copies, Observation};
use crate::plan::{Feasibility, Plan, Rates, feasibility};
use crate::route::Salt;
use crate::state::{Failed, Phase, Placed, Reason, Rollback, Rollout, RolloutId, Stage, State, Times};

mod advance;
mod back;
mod hands;
mod said;
#[cfg(test)]
mod tests;
mod turn;

use turn::Turn;

/// A process that ends more often than this under one rollout ends it.
const MOST_RESTARTS: u32 = 3;

/// What is next. Persist [`next`](Self::next), then do the [`actions`](Self::actions) in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The revision it was made for.
    pub base: u64,
    /// The state that follows.
    pub next: State,
    /// What to do.
    pub actions: Vec<Action>,
    /// Why, in one plain sentence.
    pub why: String,
}

/// A decision that was made for another revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rollout's state is at revision {found}, the decision was made for {expected}; read the state and decide again"
)]
pub struct Conflict {
    /// The revision there is.
    pub found: u64,
    /// The revision it was made for.
    pub expected: u64,
}

/// What begins a rollout.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Its name.
    pub id: RolloutId,
    /// The version in service.
    pub stable: VersionDigest,
    /// The version to try.
    pub candidate: VersionDigest,
    /// Key of the routing hash: random.
    pub salt: Salt,
    /// Limits above which a run is slow, in microseconds by batch size, from stable's past.
    pub slow_micros: BTreeMap<u32, u64>,
    /// How much traffic there is, where known.
    pub rates: Option<Rates>,
}

/// Why a rollout does not begin.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StartError {
    /// Another is under way.
    #[error("rollout {} is under way ({phase}); abort it first, or wait", id.0)]
    Busy {
        /// Which.
        id: RolloutId,
        /// Where it stands.
        phase: Phase,
    },
    /// The candidate was taken back.
    #[error("version {} was taken back: {}; retry it explicitly if that is mended", digest.short(), failed.reason)]
    Refused {
        /// Which.
        digest: VersionDigest,
        /// When and why.
        failed: Box<Failed>,
    },
    /// The candidate is in service.
    #[error("version {} is in service already; choose another candidate", digest.short())]
    Same {
        /// Which.
        digest: VersionDigest,
    },
    /// The plan cannot finish in time.
    #[error("the plan cannot finish: {problem}")]
    Infeasible {
        /// Which step and gate, and what to change.
        problem: String,
        /// Hours by step and gate.
        estimate: Box<Feasibility>,
    },
}

/// How a process ended that had a rollout under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It died by itself: an abort in native code, the out-of-memory killer, the watchdog.
    Died,
    /// It was ended from outside: told to, killed, or the power went.
    Stopped,
}

impl StartError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Refused { .. } => "refused",
            Self::Same { .. } => "same",
            Self::Infeasible { .. } => "infeasible",
        }
    }
}

impl Decision {
    /// Compare and swap: the next state, if the decision was made for this one.
    ///
    /// # Errors
    /// The state has moved on.
    pub fn apply(self, current: &State) -> Result<State, Conflict> {
        if current.revision == self.base {
            Ok(self.next)
        } else {
            Err(Conflict { found: current.revision, expected: self.base })
        }
    }

    /// Whether the state changes.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.next.revision != self.base
    }

    fn of(before: &State, mut next: State, actions: Vec<Action>, why: String) -> Self {
        next.revision = before.revision;
        if next != *before {
            next.revision = before.revision.wrapping_add(1);
        }
        Self { base: before.revision, next, actions, why }
    }
}

/// What is next, given what was seen.
#[must_use]
pub fn decide(plan: &Plan, state: &State, observation: &Observation, now: UnixMillis) -> Decision {
    match &state.rollout {
        Some(rollout) => Turn::new(plan, state, rollout, observation, now).take(),
        None => Decision::of(state, state.clone(), Vec::new(), "there is no rollout".to_owned()),
    }
}

/// Begins a rollout. Nothing is touched by this yet: the first [`decide`] says what to do.
///
/// # Errors
/// Another is under way; the candidate was taken back or is in service; or the plan cannot finish.
pub fn start(plan: &Plan, state: &State, start: Start, now: UnixMillis) -> Result<Decision, StartError> {
    if let Some(rollout) = state.rollout.as_ref().filter(|_| state.is_active()) {
        return Err(StartError::Busy { id: rollout.id.clone(), phase: rollout.phase.clone() });
    }
    if let Some(failed) = state.refuses(&start.candidate) {
        return Err(StartError::Refused { digest: start.candidate, failed: Box::new(failed.clone()) });
    }
    if start.stable == start.candidate {
        return Err(StartError::Same { digest: start.candidate });
    }
    if let Some(rates) = &start.rates {
        let estimate = feasibility(plan, rates);
        if let Some(problem) = estimate.problem(plan) {
            return Err(StartError::Infeasible { problem, estimate: Box::new(estimate) });
        }
    }
    let why = format!("rollout {} of version {} begins", start.id.0, start.candidate.short());
    let rollout = Rollout {
        id: start.id,
        plan: plan.digest(),
        stable: start.stable,
        candidate: start.candidate,
        phase: Phase::Running(Stage::Validating),
        placed: Placed::Nowhere,
        desired: TrafficShare::NONE,
        routed: None,
        observed: None,
        salt: start.salt,
        attempt: 0,
        slow_micros: start.slow_micros,
        evidence: Evidence::new(plan),
        intent: None,
        times: Times {
            started: now,
            since: now,
            asked: None,
            dwell: Duration::ZERO,
            working: Duration::ZERO,
            held: Duration::ZERO,
        },
        copies: Copies::default(),
        exposed: 0,
        released: None,
        restarts: 0,
        rollback: None,
        why: why.clone(),
    };
    let next = State { rollout: Some(rollout), ..state.clone() };
    Ok(Decision::of(state, next, Vec::new(), why))
}

/// Lets a version that was taken back be tried again.
#[must_use]
pub fn retry(state: &State, digest: &VersionDigest) -> Decision {
    let mut next = state.clone();
    let why = match next.failed.remove(digest) {
        Some(_) => format!("version {} may be tried again", digest.short()),
        None => format!("version {} was not taken back: nothing to do", digest.short()),
    };
    Decision::of(state, next, Vec::new(), why)
}

/// What a stored state means to the process that finds it. Doing it twice makes no difference. Persist it before going on.
///
/// A candidate that was being loaded, warmed up or given weight when the process died did it, and goes back. After any other
/// end the rollout goes on where it was, with the candidate loaded and warmed up again before it is given anything.
#[must_use]
pub fn recover(state: &State, ended: Ended, now: UnixMillis) -> State {
    let mut next = state.clone();
    let Some(rollout) = next.rollout.as_mut().filter(|rollout| !rollout.phase.is_terminal()) else { return next };
    if rollout.times.asked.is_none() && rollout.routed.is_none() && rollout.intent.is_none() {
        // Nobody has decided anything since it began or was recovered.
        return next;
    }
    (rollout.routed, rollout.observed, rollout.times.asked) = (None, None, None);
    let intent = rollout.intent.take();
    if matches!(rollout.phase, Phase::Running(_) | Phase::Held { .. }) {
        rollout.restarts = rollout.restarts.saturating_add(1);
        let reason = match intent {
            Some(intent) if ended == Ended::Died => Some(Reason::Died(intent)),
            _ if rollout.restarts > MOST_RESTARTS => Some(Reason::Restarts(rollout.restarts)),
            _ => None,
        };
        if let Some(reason) = reason {
            take_back(rollout, reason.clone(), now);
            next.failed.insert(rollout.candidate, Failed { at: now, reason });
        }
    }
    next.revision = state.revision.wrapping_add(1);
    next
}

/// The candidate goes back, from this moment on.
fn take_back(rollout: &mut Rollout, reason: Reason, now: UnixMillis) {
    rollout.why = format!("version {} is taken back: {reason}", rollout.candidate.short());
    rollout.rollback = Some(Rollback { reason, decided: now, zero: None, exposed: rollout.exposed });
    rollout.phase = Phase::Aborting;
    rollout.times.since = now;
}

impl Command {
    /// Stable label for audit logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Retry => "retry",
        }
    }
}
