//! A small world around the machine: it does what it is told, perhaps late, and can break.

mod paths;
mod properties;
mod simulation;

use std::collections::BTreeMap;

use takt_artifact::VersionDigest;
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;

use super::*;
use crate::action::{Do, Intent};
use crate::evidence::{Called, Event, Exposure, ShadowUnit, Tally};
use crate::observation::{Admission, Candidate, Copies};
use crate::plan::{Errors, Shadow};
use crate::route::Arm;

/// What the machine's actions have done so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct World {
    pub(super) stable_ready: bool,
    pub(super) candidate: Candidate,
    pub(super) routed: TrafficShare,
    pub(super) shadowed: TrafficShare,
    pub(super) promoted: bool,
    pub(super) quarantined: bool,
    pub(super) intent: Option<Intent>,
    /// The largest weight a version had that was not ready.
    pub(super) harm: TrafficShare,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            stable_ready: true,
            candidate: Candidate::Absent,
            routed: TrafficShare::NONE,
            shadowed: TrafficShare::NONE,
            promoted: false,
            quarantined: false,
            intent: None,
            harm: TrafficShare::NONE,
        }
    }

    pub(super) fn act(&mut self, actions: &[Action]) {
        for action in actions {
            match action.what {
                Do::RecordIntent(intent) => self.intent = Some(intent),
                Do::ClearIntent => self.intent = None,
                Do::LoadCandidate => {
                    assert!(self.promoted || self.intent == Some(Intent::Load), "a load without an intent");
                    self.candidate = Candidate::Loaded;
                }
                Do::WarmCandidate => {
                    assert!(self.promoted || self.intent == Some(Intent::Warm), "a warm-up without an intent");
                    self.candidate = Candidate::Ready;
                }
                Do::UnloadCandidate => self.candidate = Candidate::Absent,
                Do::LoadStable => self.stable_ready = true,
                Do::UnloadStable => self.stable_ready = false,
                Do::SetWeight(share) => {
                    self.routed = share;
                    if self.candidate != Candidate::Ready {
                        self.harm = self.harm.max(share);
                    }
                }
                Do::SetShadow(share) => self.shadowed = share,
                Do::PointAlias(arm) => self.promoted = arm == Arm::Canary,
                Do::Quarantine(_) => self.quarantined = true,
            }
        }
    }

    /// A process that begins: stable alone.
    pub(super) fn restart(&mut self) {
        self.candidate = Candidate::Absent;
        (self.routed, self.shadowed, self.stable_ready) = (TrafficShare::NONE, TrafficShare::NONE, true);
        self.intent = None;
    }

    pub(super) fn seen(&self) -> Observation {
        Observation {
            stable_ready: self.stable_ready,
            candidate: self.candidate.clone(),
            verified: Some(Ok(())),
            admission: Some(Admission::Beside),
            routed: Some(self.routed),
            observed: Some(self.routed),
            shadowed: Some(self.shadowed),
            promoted: Some(self.promoted),
            ..Observation::default()
        }
    }

    /// All traffic is stable's.
    pub(super) fn is_back(&self) -> bool {
        self.routed == TrafficShare::NONE && self.shadowed == TrafficShare::NONE && self.stable_ready && !self.promoted
    }
}

pub(super) fn percent(percent: u32) -> TrafficShare {
    TrafficShare::of_millionths(10_000 * percent)
}

/// Errors alone judge the steps; minutes instead of hours.
pub(super) fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.gates.latency = None;
    plan.gates.drift = None;
    plan.gates.labels = None;
    plan.gates.errors = Some(Errors { ceiling: None, negligible: None, ..Errors::default() });
    plan.shadow = plan.shadow.map(|shadow| Shadow { units: 20, ..shadow });
    plan.bake.duration = Duration::from_secs(600);
    plan
}

pub(super) fn digest(name: &str) -> VersionDigest {
    VersionDigest::of_manifest(name.as_bytes())
}

pub(super) fn beginning() -> Start {
    Start {
        id: RolloutId("r1".to_owned()),
        stable: digest("stable"),
        candidate: digest("candidate"),
        salt: Salt::new(7),
        slow_micros: BTreeMap::new(),
        rates: None,
    }
}

pub(super) fn started(plan: &Plan) -> State {
    start(plan, &State::new(), beginning(), UnixMillis(0)).unwrap().next
}

pub(super) fn served(rho: TrafficShare, units: u64, stable_bad: u64, canary_bad: u64) -> Event {
    let canary = (units as f64 * rho.get()).round() as u64;
    Event::Served(Exposure {
        rho,
        stable: Tally { units: units - canary, bad: stable_bad },
        canary: Tally { units: canary, bad: canary_bad },
    })
}

/// A hundred parts on which both agree, a third of them defective.
pub(super) fn agreeing() -> Vec<Event> {
    let unit = |i: u32| {
        let stable = if i.is_multiple_of(3) { Called::Defect } else { Called::Good };
        Event::Shadow(ShadowUnit { stable, opposite: 0.0, other_class: 0.0 })
    };
    (0..100).map(unit).collect()
}

pub(super) fn copies(chosen: u64) -> Copies {
    Copies { chosen, dropped: 0 }
}

/// Goes on until `done`, a minute each time, with what `seen` adds.
pub(super) struct Drive {
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) world: World,
    pub(super) now: u64,
}

impl Drive {
    pub(super) fn new(plan: Plan) -> Self {
        Self { state: started(&plan), plan, world: World::new(), now: 0 }
    }

    pub(super) fn rollout(&self) -> &Rollout {
        self.state.rollout.as_ref().unwrap()
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.rollout().phase
    }

    pub(super) fn tick(&mut self, seen: &Observation) -> Decision {
        self.now += 60_000;
        let decision = decide(&self.plan, &self.state, seen, UnixMillis(self.now));
        self.state = decision.next.clone();
        self.world.act(&decision.actions);
        decision
    }

    /// So many times what the world shows, with good evidence for the stage it is in.
    pub(super) fn good(&mut self, times: usize) {
        for _ in 0..times {
            let mut seen = self.world.seen();
            match self.phase() {
                Phase::Running(Stage::Shadowing) => (seen.events, seen.copies) = (agreeing(), copies(100)),
                Phase::Running(Stage::Stepping(_) | Stage::Baking) => {
                    seen.events = vec![served(self.world.routed, 1_000, 10, 0)];
                }
                _ => {}
            }
            self.tick(&seen);
        }
    }

    /// Good evidence until it is in this phase.
    pub(super) fn until(&mut self, phase: &Phase) {
        for _ in 0..2_000 {
            if self.phase() == phase {
                return;
            }
            self.good(1);
        }
        panic!("{phase} is not reached: {} because {}", self.phase(), self.rollout().why);
    }
}
