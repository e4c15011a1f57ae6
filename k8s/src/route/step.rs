//! One look at a route: what was seen, what is decided, what is remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::VersionDigest;
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;
use takt_rollout::action::Do;
use takt_rollout::decide::{Start, retry, start};
use takt_rollout::evidence::{Against, GateReport};
use takt_rollout::observation::{Admission, Candidate, Observation};
use takt_rollout::route::Salt;
use takt_rollout::state::{HoldReason, RolloutId};
use takt_rollout::{Arm, Command, Event, Phase, State, decide};

use super::counts::{Readings, Row};
use crate::fleet::Wish;
use crate::spec::{RouteRollout, RouteSubject};

/// What has not been answered for so long is missing: three rounds of queries that time out.
const PATIENCE: Duration = Duration::from_secs(50);
/// What the counters of requests are called among queries.
const REQUESTS: &str = "requests";

/// What was seen.
#[derive(Debug, Clone)]
pub struct Look {
    /// The share in the route; what is wrong with the route otherwise.
    pub share: Result<TrafficShare, String>,
    /// Whether the gateways have taken it in.
    pub accepted: Result<(), String>,
    /// Whether a pod behind the stable Service serves the model.
    pub stable_ready: bool,
    /// Whether one behind the candidate's serves that version.
    pub candidate: Candidate,
    /// What Prometheus answered, where it was asked.
    pub answers: Option<Answers>,
}

/// What Prometheus answered.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Counters of requests, and the moment of the answer by the clock of Prometheus.
    pub requests: Result<(Vec<Row>, UnixMillis), String>,
    /// Queries of the plan by name.
    pub samples: Vec<(String, Result<f64, String>)>,
}

/// What is remembered between looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Memory {
    /// The machine's own.
    pub state: State,
    /// What was tried last: of subject and attempt.
    pub goal: String,
    /// Readings of the counters.
    pub readings: Readings,
    /// The share that was realised in the last window.
    pub observed: Option<TrafficShare>,
    /// How old the newest counter was when it was last read.
    pub age: Option<Duration>,
    /// Whether the route was given to the candidate.
    pub promoted: bool,
    /// Whether people wanted it to stay where it was.
    pub paused: bool,
    /// When each query last gave something, or the rollout began.
    pub answered: BTreeMap<String, UnixMillis>,
    /// What Prometheus said last where it gave nothing.
    pub complaint: Option<String>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// To be written before anything is done.
    pub memory: Memory,
    /// The share that the route is to have; `None` for leaving it alone.
    pub weight: Option<TrafficShare>,
    /// Why it does not begin, if it does not.
    pub refused: Option<String>,
    /// What every gate says.
    pub gates: Vec<GateReport>,
}

impl Memory {
    /// Whether the candidate has, or may be given, traffic.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state.is_active()
    }

    /// Where the rollout stands; `None` where none has begun.
    #[must_use]
    pub fn phase(&self) -> Option<&Phase> {
        self.state.rollout.as_ref().map(|rollout| &rollout.phase)
    }

    /// Why it stands there.
    #[must_use]
    pub fn why(&self) -> &str {
        self.state.rollout.as_ref().map_or("", |rollout| rollout.why.as_str())
    }

    /// Begins, where something else is wanted than what has ended. Says why not.
    fn begin(&mut self, want: &RouteRollout, seed: u128, now: UnixMillis) -> Option<String> {
        let over = !self.state.is_active() && self.goal != want.goal;
        if !over || !matches!(want.wish, Wish::Go | Wish::Pause) {
            return None;
        }
        let candidate = digest(&want.subject, &format!("version {}", want.subject.candidate));
        if want.attempt > 0 {
            self.state = retry(&self.state, &candidate).next;
        }
        let id = RolloutId(format!("{}-{}", want.goal, want.attempt));
        let stable = digest(&want.subject, &format!("service {}", want.subject.names.stable));
        let begin = Start { id, stable, candidate, salt: Salt::new(seed), slow_micros: BTreeMap::new(), rates: None };
        match start(&want.plan, &self.state, begin, now) {
            Err(error) => Some(error.to_string()),
            Ok(decision) => {
                let queries = want.plan.gates.metrics.iter().map(|metric| metric.name.clone());
                let answered = queries.chain([REQUESTS.to_owned()]).map(|name| (name, now)).collect();
                *self = Self { state: decision.next, goal: want.goal.clone(), answered, ..Self::default() };
                None
            }
        }
    }

    /// Takes answers in; what they say of the candidate.
    fn hear(&mut self, answers: Answers, now: UnixMillis) -> Vec<Event> {
        let mut events = Vec::new();
        self.complaint = None;
        match answers.requests {
            Err(error) => self.complaint = Some(error),
            Ok((rows, at)) => {
                if !rows.is_empty() {
                    self.answered.insert(REQUESTS.to_owned(), now);
                }
                if let Some(exposure) = self.readings.take(&rows) {
                    self.observed = Some(exposure.rho);
                    events.push(Event::Served(exposure));
                }
                self.age = self.readings.newest().map(|newest| at.since(newest));
            }
        }
        for (metric, answer) in answers.samples {
            match answer {
                Err(error) => self.complaint = Some(format!("{metric}: {error}")),
                Ok(value) => {
                    self.answered.insert(metric.clone(), now);
                    events.push(Event::Sample { metric, value });
                }
            }
        }
        events
    }

    /// Queries that have given nothing for too long.
    fn missing(&self, want: &RouteRollout, now: UnixMillis) -> Vec<String> {
        let names = want.plan.gates.metrics.iter().map(|metric| metric.name.as_str()).chain([REQUESTS]);
        let late = |name: &&str| self.answered.get(*name).is_none_or(|last| now.since(*last) > PATIENCE);
        names.filter(late).map(str::to_owned).collect()
    }

    /// What people want of a rollout that is under way, said once.
    fn command(&mut self, wish: Wish) -> Option<Command> {
        let was_paused = std::mem::replace(&mut self.paused, wish == Wish::Pause);
        let phase = self.phase()?;
        let held = matches!(phase, Phase::Held { reason: HoldReason::Manual, .. });
        match wish {
            Wish::Abort | Wish::Leave => {
                matches!(phase, Phase::Running(_) | Phase::Held { .. }).then_some(Command::Abort)
            }
            Wish::Pause => matches!(phase, Phase::Running(_)).then_some(Command::Pause),
            // A pause of the plan itself is over when somebody has paused and lets go.
            Wish::Go => (was_paused && held).then_some(Command::Resume),
        }
    }
}

/// Decides. `seed` is random; it is used where a rollout begins.
#[must_use]
pub fn step(want: &RouteRollout, mut memory: Memory, look: Look, seed: u128, now: UnixMillis) -> Step {
    let refused = memory.begin(want, seed, now);
    let events = look.answers.map(|answers| memory.hear(answers, now)).unwrap_or_default();
    let command = memory.command(want.wish);
    let observation = Observation {
        stable_ready: look.stable_ready,
        candidate: look.candidate,
        verified: Some(Ok(())),
        admission: Some(Admission::Beside),
        routed: look.accepted.and(look.share.clone()).ok(),
        observed: memory.observed,
        shadowed: Some(TrafficShare::NONE),
        promoted: Some(memory.promoted),
        age: memory.age,
        missing: memory.missing(want, now),
        events,
        command,
        ..Observation::default()
    };
    let decision = decide(&want.plan, &memory.state, &observation, now);
    let mut weight = None;
    for action in &decision.actions {
        match &action.what {
            Do::SetWeight(share) => weight = Some(*share),
            Do::PointAlias(arm) => memory.promoted = *arm == Arm::Canary,
            // Servers of their own load and warm up by themselves, and nothing of theirs is ever taken away here.
            Do::RecordIntent(_)
            | Do::ClearIntent
            | Do::LoadCandidate
            | Do::WarmCandidate
            | Do::UnloadCandidate
            | Do::LoadStable
            | Do::UnloadStable
            | Do::SetShadow(_)
            | Do::Quarantine(_) => {}
        }
    }
    memory.state = decision.next;
    let rollout = memory.state.rollout.as_ref();
    let gates = rollout.map(|rollout| rollout.evidence.reports(&want.plan, Against::Stable)).unwrap_or_default();
    Step { memory, weight: weight.filter(|share| look.share.as_ref() != Ok(share)), refused, gates }
}

/// Stands for a version in the machine: what it really is, its servers know.
fn digest(subject: &RouteSubject, what: &str) -> VersionDigest {
    VersionDigest::of_manifest(format!("{}\n{}\n{what}", subject.names.namespace, subject.model).as_bytes())
}
