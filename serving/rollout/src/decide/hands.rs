//! From where things stand and how they are to what must be done. Whatever is as it should be is left alone.

use takt_artifact::share::TrafficShare;

use super::turn::Turn;
use crate::action::{Action, Do, Intent};
use crate::observation::Candidate;
use crate::route::Arm;
use crate::state::{HoldReason, Phase, Placed, Stage};

impl Turn<'_> {
    pub(super) fn reconcile(&mut self) {
        match self.next.phase.clone() {
            Phase::Running(stage) => self.work(stage),
            Phase::Held { reason: HoldReason::NoCapacity, .. } => self.nothing_for_the_candidate(),
            Phase::Held { stage, .. } if stage.works() => self.keep(stage),
            Phase::Held { .. } => self.nothing_for_the_candidate(),
            Phase::Aborting => {
                self.push(Do::Quarantine(self.next.candidate));
                self.drop_intent();
                if self.seen.promoted != Some(false) {
                    self.push(Do::PointAlias(Arm::Stable));
                }
                self.nothing_for_the_candidate();
            }
            Phase::Degraded => self.rescue(),
            Phase::RolledBack => {
                self.drop_intent();
                self.nothing_for_the_candidate();
                if self.seen.candidate != Candidate::Absent {
                    self.push(Do::UnloadCandidate);
                }
            }
            Phase::Succeeded => {
                self.drop_intent();
                if self.seen.promoted != Some(true) {
                    self.push(Do::PointAlias(Arm::Canary));
                }
                if self.seen.candidate == Candidate::Ready {
                    self.weight(TrafficShare::ALL);
                    if self.seen.stable_ready && self.seen.routed == Some(TrafficShare::ALL) {
                        self.push(Do::UnloadStable);
                    }
                } else {
                    self.bring_up();
                }
            }
        }
    }

    fn work(&mut self, stage: Stage) {
        if self.seen.candidate != Candidate::Ready || !stage.works() {
            self.nothing_for_the_candidate();
            if stage == Stage::Warming || stage.works() {
                self.bring_up();
            }
            return;
        }
        match stage {
            Stage::Shadowing => {
                self.weight(TrafficShare::NONE);
                self.shadow_share(self.plan.shadow.map_or(TrafficShare::NONE, |shadow| shadow.share));
            }
            Stage::Stepping(step) => {
                self.shadow_share(TrafficShare::NONE);
                self.weight(self.plan.steps.get(step).map_or(TrafficShare::NONE, |step| step.weight));
            }
            _ => {
                self.shadow_share(TrafficShare::NONE);
                if self.seen.promoted != Some(true) {
                    self.push(Do::PointAlias(Arm::Canary));
                }
                self.weight(self.promoted_share());
            }
        }
    }

    /// A held rollout stays as it was; if the candidate went away meanwhile, it comes back without weight.
    fn keep(&mut self, stage: Stage) {
        if self.seen.candidate == Candidate::Ready {
            self.weight(self.next.desired);
            let copies = self.plan.shadow.filter(|_| stage == Stage::Shadowing);
            self.shadow_share(copies.map_or(TrafficShare::NONE, |shadow| shadow.share));
        } else {
            self.nothing_for_the_candidate();
            self.bring_up();
        }
    }

    fn bring_up(&mut self) {
        match self.seen.candidate {
            Candidate::Absent => {
                self.intend(Intent::Load);
                if self.next.placed == Placed::Swapped && self.seen.stable_ready {
                    self.push(Do::UnloadStable);
                }
                self.push(Do::LoadCandidate);
            }
            Candidate::Loaded => {
                self.intend(Intent::Warm);
                self.push(Do::WarmCandidate);
            }
            Candidate::Coming | Candidate::Ready | Candidate::Failed(_) => {}
        }
    }

    /// Stable does not answer. Where both fit, the candidate goes on serving meanwhile; otherwise it must make room.
    fn rescue(&mut self) {
        self.push(Do::Quarantine(self.next.candidate));
        self.drop_intent();
        if self.next.placed == Placed::Swapped {
            self.nothing_for_the_candidate();
            if self.seen.candidate != Candidate::Absent {
                self.push(Do::UnloadCandidate);
            }
        } else if self.seen.candidate != Candidate::Ready {
            self.nothing_for_the_candidate();
        }
        self.push(Do::LoadStable);
    }

    fn nothing_for_the_candidate(&mut self) {
        self.shadow_share(TrafficShare::NONE);
        self.weight(TrafficShare::NONE);
    }

    fn weight(&mut self, want: TrafficShare) {
        let rises = want > self.seen.routed.unwrap_or(TrafficShare::NONE);
        if self.seen.routed != Some(want) {
            if rises {
                self.intend(Intent::Weight(want));
            }
            self.push(Do::SetWeight(want));
        }
        self.next.desired = want;
    }

    fn shadow_share(&mut self, want: TrafficShare) {
        if self.seen.shadowed == Some(want)
            || (self.seen.shadowed.is_none() && want == TrafficShare::NONE && !self.may_be_copied())
        {
            return;
        }
        if want != TrafficShare::NONE {
            self.intend(Intent::Shadow);
        }
        self.push(Do::SetShadow(want));
    }

    /// Whether copies may be going to the candidate although nobody said.
    fn may_be_copied(&self) -> bool {
        self.plan.shadow.is_some() && self.seen.candidate != Candidate::Absent
    }

    fn intend(&mut self, intent: Intent) {
        // Who has succeeded is on trial no more.
        if !self.next.phase.is_terminal() {
            self.next.intent = Some(intent);
            self.push(Do::RecordIntent(intent));
        }
    }

    fn drop_intent(&mut self) {
        if self.next.intent.take().is_some() {
            self.push(Do::ClearIntent);
        }
    }

    pub(super) fn push(&mut self, what: Do) {
        let rollout = &self.next;
        let step = match rollout.phase.stage() {
            Some(Stage::Stepping(step)) => format!("-{step}"),
            _ => String::new(),
        };
        let key = format!("{}/{}/{}{step}/{}", rollout.id.0, rollout.attempt, rollout.phase.label(), what.label());
        self.actions.push(Action { key, what });
    }
}
