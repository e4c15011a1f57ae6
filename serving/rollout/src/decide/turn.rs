//! What one decision goes through, in order.

use std::time::Duration;

use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;

use super::{Decision, retry, take_back};
use crate::action::{Action, Intent};
use crate::evidence::{Against, Event, Evidence, GateReport, Verdict};
use crate::observation::{Candidate, Command, Observation};
use crate::plan::{GateName, Plan, PlanDigest};
use crate::state::{Failed, HoldReason, Phase, Placed, Reason, Rollout, Stage, State};

/// More than this between two decisions is a clock that was set, or nobody asked.
const LONGEST_GAP: Duration = Duration::from_secs(600);

/// One decision in the making.
pub(super) struct Turn<'a> {
    pub(super) plan: &'a Plan,
    before: &'a State,
    pub(super) seen: &'a Observation,
    pub(super) now: UnixMillis,
    failed: Option<Failed>,
    pub(super) next: Rollout,
    pub(super) actions: Vec<Action>,
    digest: PlanDigest,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        before: &'a State,
        rollout: &Rollout,
        seen: &'a Observation,
        now: UnixMillis,
    ) -> Self {
        Self {
            plan,
            before,
            seen,
            now,
            failed: None,
            next: rollout.clone(),
            actions: Vec::new(),
            digest: plan.digest(),
        }
    }

    pub(super) fn take(mut self) -> Decision {
        if self.next.phase.is_terminal() {
            if self.seen.command == Some(Command::Retry) {
                return retry(self.before, &self.next.candidate);
            }
        } else {
            self.pass_time();
            self.look();
            self.close_intent();
            self.go();
        }
        self.reconcile();
        let mut next = self.before.clone();
        if let Some(failed) = self.failed {
            next.failed.insert(self.next.candidate, failed);
        }
        let why = self.next.why.clone();
        next.rollout = Some(self.next);
        Decision::of(self.before, next, self.actions, why)
    }

    fn pass_time(&mut self) {
        let passed = self.next.times.asked.map_or(Duration::ZERO, |asked| self.now.since(asked)).min(LONGEST_GAP);
        self.next.times.asked = Some(self.now);
        let in_force = self.seen.routed == Some(self.next.desired);
        match self.next.phase {
            Phase::Held { .. } => self.next.times.held += passed,
            Phase::Running(stage) => {
                if !stage.works() || (in_force && self.seen.candidate == Candidate::Ready) {
                    self.next.times.dwell += passed;
                }
                if stage != Stage::Baking {
                    self.next.times.working += passed;
                }
            }
            _ => {}
        }
    }

    /// Takes in what was seen.
    fn look(&mut self) {
        (self.next.routed, self.next.observed) = (self.seen.routed, self.seen.observed);
        self.next.copies.chosen = self.next.copies.chosen.saturating_add(self.seen.copies.chosen);
        self.next.copies.dropped = self.next.copies.dropped.saturating_add(self.seen.copies.dropped);
        let judging = matches!(self.next.phase, Phase::Running(_) | Phase::Held { .. }) && !self.plan_changed();
        for event in &self.seen.events {
            if let Event::Served(exposure) = event {
                self.next.exposed = self.next.exposed.saturating_add(exposure.canary.units);
            }
            if judging {
                self.next.evidence.take(self.plan, event, self.next.salt);
            }
        }
    }

    fn go(&mut self) {
        let going_back = matches!(self.next.phase, Phase::Aborting | Phase::Degraded);
        if going_back {
            self.go_back();
        } else if let Some(reason) = self.must_go() {
            self.abort(reason);
        } else if self.plan_changed() {
            self.begin_anew();
        } else if let Some(command) = self.seen.command {
            self.obey(command);
        } else {
            match self.next.phase {
                Phase::Running(stage) => self.advance(stage),
                Phase::Held { reason, stage } => self.wait(reason, stage),
                _ => {}
            }
        }
    }

    /// Whether the candidate goes back whatever stage it is in.
    fn must_go(&self) -> Option<Reason> {
        if let Some(dead_man) = &self.seen.dead_man {
            return Some(Reason::DeadMan(dead_man.clone()));
        }
        if self.seen.command == Some(Command::Abort) {
            return Some(Reason::Person);
        }
        if let Some(Err(what)) = &self.seen.verified {
            return Some(Reason::Invalid(what.clone()));
        }
        if let Candidate::Failed(what) = &self.seen.candidate {
            return Some(Reason::NotReady(what.clone()));
        }
        if self.plan_changed() {
            return None;
        }
        let rejects = |report: &GateReport| report.mode.may_reject() && report.verdict == Verdict::Reject;
        self.reports().into_iter().find(rejects).map(|report| Reason::Gate(Box::new(report)))
    }

    /// The plan is another: nothing that was gathered counts for it.
    fn begin_anew(&mut self) {
        self.next.salt = self.next.salt.next(&self.digest.to_string());
        self.next.plan = self.digest.clone();
        self.next.attempt += 1;
        self.next.evidence = Evidence::new(self.plan);
        self.next.copies = Default::default();
        self.next.released = None;
        self.next.placed = Placed::Nowhere;
        self.next.times.working = Duration::ZERO;
        self.enter(
            Stage::Validating,
            "the plan changed: the candidate gets nothing, and the rollout begins anew".to_owned(),
        );
    }

    fn obey(&mut self, command: Command) {
        match (command, self.next.phase.clone()) {
            (Command::Pause, Phase::Running(stage)) => {
                self.hold(HoldReason::Manual, stage, "a person paused it");
            }
            (Command::Resume, Phase::Held { reason, stage }) => self.resume(reason, stage),
            (Command::Promote, Phase::Running(stage) | Phase::Held { stage, .. }) => {
                if stage.works()
                    && self.seen.candidate == Candidate::Ready
                    && !matches!(stage, Stage::Promoting | Stage::Baking)
                {
                    self.next.times.working = Duration::ZERO;
                    self.enter(Stage::Promoting, "a person promoted it, on their word and not on evidence".to_owned());
                } else {
                    self.next.why =
                        format!("nothing to promote in {stage}: the candidate must be ready, and not promoted already");
                }
            }
            (command, phase) => self.next.why = format!("nothing to {} in {phase}", command.label()),
        }
    }

    fn resume(&mut self, reason: HoldReason, stage: Stage) {
        if let (HoldReason::Manual, Stage::Stepping(step)) = (reason, stage) {
            self.next.released = Some(step);
        }
        if reason != HoldReason::Manual {
            // A person, or data that came back, gives it its budgets again.
            self.next.times.dwell = Duration::ZERO;
            self.next.times.working = Duration::ZERO;
            self.next.copies = Default::default();
        }
        self.next.phase = Phase::Running(stage);
        (self.next.times.since, self.next.times.held) = (self.now, Duration::ZERO);
        self.next.why = format!("{stage} goes on after {}", reason.label());
    }

    fn wait(&mut self, reason: HoldReason, stage: Stage) {
        let over = match reason {
            HoldReason::Manual | HoldReason::Inconclusive => false,
            HoldReason::NoData => self.seen.missing.is_empty() && (!stage.works() || !self.silent()),
            HoldReason::Stale => !self.stale(),
            HoldReason::NoCapacity => self.room().is_some(),
        };
        let limit = self.plan.hold_timeout.filter(|_| reason != HoldReason::Manual);
        if over {
            self.resume(reason, stage);
        } else if limit.is_some_and(|limit| self.next.times.held >= limit) {
            self.abort(Reason::HeldTooLong);
        }
    }

    /// Enters a stage: clocks and evidence for the candidate begin anew.
    pub(super) fn enter(&mut self, stage: Stage, why: String) {
        let step = match stage {
            Stage::Stepping(step) => Some(step),
            _ => None,
        };
        self.next.evidence.begin_step(self.plan, step);
        self.next.phase = Phase::Running(stage);
        (self.next.times.since, self.next.times.dwell, self.next.times.held) =
            (self.now, Duration::ZERO, Duration::ZERO);
        self.next.why = why;
    }

    pub(super) fn hold(&mut self, reason: HoldReason, stage: Stage, why: &str) {
        self.next.phase = Phase::Held { reason, stage };
        (self.next.times.since, self.next.times.held) = (self.now, Duration::ZERO);
        self.next.why = format!("held: {why}");
    }

    pub(super) fn abort(&mut self, reason: Reason) {
        take_back(&mut self.next, reason.clone(), self.now);
        self.failed = Some(Failed { at: self.now, reason });
        if !self.seen.stable_ready {
            self.go_back();
        }
    }

    /// What was tried has gone well.
    fn close_intent(&mut self) {
        let here = matches!(self.seen.candidate, Candidate::Loaded | Candidate::Ready);
        let ready = self.seen.candidate == Candidate::Ready;
        let closed = match self.next.intent {
            None => false,
            Some(Intent::Load) => here,
            Some(Intent::Warm) => ready,
            Some(Intent::Shadow) => ready && self.next.copies.chosen > self.next.copies.dropped,
            // Its first answers under the new share.
            Some(Intent::Weight(_)) => {
                ready && self.seen.routed == Some(self.next.desired) && self.next.times.dwell > Duration::ZERO
            }
        };
        if closed {
            self.next.intent = None;
            self.push(crate::action::Do::ClearIntent);
        }
    }

    pub(super) fn reports(&self) -> Vec<GateReport> {
        let against = if self.next.placed == Placed::Swapped { Against::Ceilings } else { Against::Stable };
        self.next.evidence.reports(self.plan, against)
    }

    pub(super) fn plan_changed(&self) -> bool {
        self.next.plan != self.digest
    }

    /// Whether a decision was made since the rollout began, or was recovered.
    pub(super) fn asked_before(&self) -> bool {
        self.before.rollout.as_ref().is_some_and(|rollout| rollout.times.asked.is_some())
    }

    pub(super) fn stale(&self) -> bool {
        self.seen.age.is_some_and(|age| age > self.plan.max_age)
    }

    /// Whether the candidate was seen to do nothing in this stage.
    pub(super) fn silent(&self) -> bool {
        if self.next.phase.stage() == Some(Stage::Shadowing) {
            return self.compared() == 0;
        }
        // Labels come from all stages: they say nothing about this one.
        let of_this_stage = |report: &&GateReport| !report.gate.judges_copies() && report.gate != GateName::Labels;
        self.reports().iter().filter(of_this_stage).all(|report| report.in_step == 0)
    }

    /// Copies that were compared; those that ran, where nobody compares.
    pub(super) fn compared(&self) -> u64 {
        match self.plan.gates.disagreement {
            Some(_) => self.next.evidence.compared(),
            None => self.next.copies.chosen.saturating_sub(self.next.copies.dropped),
        }
    }

    /// How the candidate can be placed, if it can.
    pub(super) fn room(&self) -> Option<Placed> {
        use crate::observation::Admission;
        match self.seen.admission? {
            Admission::Beside => Some(Placed::Beside),
            Admission::Alone if self.plan.placement.swap => Some(Placed::Swapped),
            Admission::Alone | Admission::None { .. } => None,
        }
    }

    /// The share after promotion.
    pub(super) fn promoted_share(&self) -> TrafficShare {
        if self.next.placed == Placed::Swapped { TrafficShare::ALL } else { self.plan.bake.holdback.rest() }
    }
}
