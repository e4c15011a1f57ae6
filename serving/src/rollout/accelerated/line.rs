//! A production line whose hours pass in milliseconds. Requests, runs and the clock are made up; who answers, what is counted,
//! how it becomes evidence and what is decided is the server's own code.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use takt_artifact::VersionDigest;
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;
use takt_monitoring::events::{Arm, PredictionId};
use takt_rollout::action::Do;
use takt_rollout::decide::{Start, decide, start};
use takt_rollout::observation::{Admission, Candidate, DeadMan, Observation};
use takt_rollout::route::{Arm as Client, Router, Salt};
use takt_rollout::state::{Phase, RolloutId};
use takt_rollout::{Plan, State};

use crate::error::{ErrorKind, InferError};
use crate::infer::routed::{Assigned, answered, answered_by_stable};
use crate::request::Origin;
use crate::rollout::watch::{WatchedRoute, WatchedRuns, freeze, observed, read_all};
use crate::route::{Route, Said, Shadow, Wake, Waker};
use crate::telemetry::run_times::RunTimes;

/// Between two looks, on the line's clock, and parts that come meanwhile.
const LOOK: Duration = Duration::from_secs(10);
const PARTS: u64 = 20;
/// Requests of a run.
const BATCH: u32 = 4;
const STATIONS: u64 = 8;
/// Of parts.
const DEFECTIVE: f64 = 0.08;
/// Spread of the logarithm of run times: the slowest of a hundred takes 1.8 times the median.
const SPREAD: f64 = 0.25;
/// A plan that says nothing by then is stuck.
const MOST_LOOKS: u64 = 200_000;

/// How a version does, besides what both do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version {
    /// Share of runs with which a burst of failing runs begins, and how many it has.
    pub(super) bursts: (f64, u32),
    /// Share of answers that are no numbers.
    pub(super) no_number: f64,
    /// Of the parts of one station that stable calls defective, how many it lets through.
    pub(super) escapes_at_one: f64,
    /// So many times the run time.
    pub(super) slower: f64,
}

/// What is wrong with inputs, whoever looks at them: the share that nobody can answer.
pub(super) type BrokenCamera = f64;

impl Version {
    /// Fails in half a per cent of its runs, as anybody does.
    pub(super) const GOOD: Self = Self { bursts: (0.005, 1), no_number: 0.0, escapes_at_one: 0.0, slower: 1.0 };
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1).
    fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    fn happens(&mut self, share: f64) -> bool {
        self.uniform() < share
    }

    /// Of mean 0 and variance 1 (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// A version while it runs: its batch in the making, and its burst.
#[derive(Debug, Default)]
struct Runner {
    run: u64,
    requests_left: u32,
    burst_left: u32,
    fails: bool,
    times: RunTimes,
}

impl Runner {
    /// The run that the next request is in, and whether it fails.
    fn next(&mut self, version: Version, random: &mut Random) -> (u64, bool) {
        if self.requests_left == 0 {
            self.requests_left = BATCH;
            self.run += 1;
            if self.burst_left == 0 && random.happens(version.bursts.0) {
                self.burst_left = version.bursts.1;
            }
            self.fails = self.burst_left > 0;
            self.burst_left = self.burst_left.saturating_sub(1);
            if !self.fails {
                let micros = 5_000.0 * version.slower * (SPREAD * random.normal()).exp();
                self.times.add(BATCH as usize, Duration::from_micros(micros as u64));
            }
        }
        self.requests_left -= 1;
        (self.run, self.fails)
    }
}

/// How it ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) phase: Phase,
    /// In one sentence.
    pub(super) why: String,
    /// Parts that the candidate was given.
    pub(super) exposed: u64,
    pub(super) took: Duration,
}

pub(super) struct Line {
    plan: Plan,
    state: State,
    random: Random,
    candidate: Version,
    camera: BrokenCamera,
    runners: [Runner; 2],
    runs: WatchedRuns,
    route: Arc<Route>,
    watched: Vec<WatchedRoute>,
    tripped: Arc<Mutex<bool>>,
    shadowed: TrafficShare,
    promoted: bool,
    loaded: bool,
    parts: u64,
    looks: u64,
    begun: Instant,
}

impl Line {
    /// A line on which a candidate begins to be rolled out.
    pub(super) fn new(plan: Plan, candidate: Version, camera: BrokenCamera, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut stable = Runner::default();
        (0..4_000).for_each(|_| _ = stable.next(Version::GOOD, &mut random));
        let begin = Start {
            id: RolloutId(format!("r{seed}")),
            stable: VersionDigest::of_manifest(b"stable"),
            candidate: VersionDigest::of_manifest(b"candidate"),
            salt: Salt::new(u128::from(random.bits())),
            slow_micros: plan.gates.latency.map(|gate| freeze(&stable.times, &gate)).unwrap_or_default(),
            rates: None,
        };
        let salt = begin.salt;
        let state = start(&plan, &State::new(), begin, UnixMillis(0)).unwrap().next;
        let tripped = Arc::default();
        let none = TrafficShare::NONE;
        let route = route(&plan, Router::new(salt, none, none), none, false, &tripped);
        Self {
            plan,
            state,
            random,
            candidate,
            camera,
            runners: [stable, Runner::default()],
            runs: WatchedRuns::default(),
            watched: vec![WatchedRoute::new(Arc::clone(&route))],
            route,
            tripped,
            shadowed: TrafficShare::NONE,
            promoted: false,
            loaded: false,
            parts: 0,
            looks: 0,
            begun: Instant::now(),
        }
    }

    /// Lets parts pass until the rollout rests.
    pub(super) fn run(mut self) -> End {
        loop {
            (0..PARTS).for_each(|_| self.part());
            self.looks += 1;
            self.look();
            let rollout = self.state.rollout.as_ref().unwrap();
            if rollout.phase.is_terminal() || matches!(rollout.phase, Phase::Held { .. }) || self.looks == MOST_LOOKS {
                return End {
                    phase: rollout.phase.clone(),
                    why: rollout.why.clone(),
                    exposed: rollout.exposed,
                    took: LOOK * u32::try_from(self.looks).unwrap(),
                };
            }
        }
    }

    fn now(&self) -> (Instant, UnixMillis) {
        let passed = LOOK * u32::try_from(self.looks).unwrap();
        (self.begun + passed, UnixMillis(u64::try_from(passed.as_millis()).unwrap()))
    }

    /// One part goes by a camera, and both its answer and the copy of it come.
    fn part(&mut self) {
        self.parts += 1;
        let station = self.parts % STATIONS;
        let origin =
            Origin { part_id: Some(format!("p{}", self.parts)), station: Some(format!("s{station}")), product: None };
        let arm = self.route.assign(&origin, "");
        let (runner, version) = match arm {
            Arm::Stable => (&mut self.runners[0], Version::GOOD),
            _ => (&mut self.runners[1], self.candidate),
        };
        let (run, fails) = runner.next(version, &mut self.random);
        if self.random.happens(self.camera) {
            // Both fail on it: the client is told, and nobody is blamed.
            return;
        }
        let assigned = Assigned { route: Arc::clone(&self.route), arm, stable: None, candidate: None };
        let took = Duration::from_millis(10);
        if fails {
            let error = InferError::new(ErrorKind::RunFailed, "a run failed").of_run(run);
            answered_by_stable(&assigned, &origin, &error, took);
        } else if self.random.happens(version.no_number) {
            answered_by_stable(&assigned, &origin, &InferError::new(ErrorKind::BadOutput, "not finite"), took);
        } else {
            answered(&assigned, &origin, None, took);
            if arm == Arm::Stable && self.route.is_shadowed(&origin, "") {
                self.copy(&origin, station);
            }
        }
    }

    fn copy(&mut self, origin: &Origin, station: u64) {
        let said = |good: bool| Said { good: Some(good), label: String::new(), score: 0.9 };
        let stable = !self.random.happens(DEFECTIVE);
        // Two good versions differ in three of a thousand.
        let differs = if !stable && station == 3 { self.candidate.escapes_at_one.max(0.003) } else { 0.003 };
        let candidate = stable != self.random.happens(differs);
        let now = self.now().0;
        if let Some(shadow) = &self.route.shadow
            && shadow.admit().is_some()
        {
            let prediction = PredictionId::from_bits(u128::from(self.parts));
            shadow.compare(origin, prediction, &[(said(stable), said(candidate))], now);
        }
    }

    /// What the owner of the rollout does a few times a second.
    fn look(&mut self) {
        let (now, at) = self.now();
        let mut seen = self.observe(now);
        for _ in 0..8 {
            let decision = decide(&self.plan, &self.state, &seen, at);
            let actions = decision.actions.clone();
            let phase = |state: &State| state.rollout.as_ref().unwrap().phase.clone();
            let before = phase(&self.state);
            self.state = decision.apply(&self.state).unwrap();
            if actions.is_empty() && before == phase(&self.state) {
                break;
            }
            actions.into_iter().for_each(|action| self.act(&action.what));
            seen = self.observe(now);
        }
    }

    fn observe(&mut self, now: Instant) -> Observation {
        let mut seen = Observation {
            stable_ready: true,
            candidate: if self.loaded { Candidate::Ready } else { Candidate::Absent },
            verified: Some(Ok(())),
            admission: Some(Admission::Beside),
            routed: Some(self.route.in_force()),
            shadowed: Some(self.shadowed),
            promoted: Some(self.promoted),
            dead_man: std::mem::take(&mut *self.tripped.lock().unwrap()).then_some(DeadMan::BadOutput),
            ..Observation::default()
        };
        read_all(&mut self.watched, Some(&self.route), now, &mut seen);
        seen.observed = observed(&self.watched, &self.route);
        let rollout = self.state.rollout.as_ref().unwrap();
        let [stable, candidate] = &self.runners;
        seen.events.extend(self.runs.read(&stable.times, &candidate.times, &rollout.slow_micros, self.route.share()));
        seen
    }

    fn act(&mut self, what: &Do) {
        let share = self.route.share();
        match what {
            Do::LoadCandidate | Do::WarmCandidate => self.loaded = true,
            Do::UnloadCandidate => self.loaded = false,
            Do::SetWeight(share) => self.set_route(*share),
            Do::SetShadow(shadowed) => {
                self.shadowed = *shadowed;
                self.set_route(share);
            }
            Do::PointAlias(arm) => {
                self.promoted = *arm == Client::Canary;
                self.set_route(share);
            }
            Do::RecordIntent(_) | Do::ClearIntent | Do::LoadStable | Do::UnloadStable | Do::Quarantine(_) => {}
        }
    }

    fn set_route(&mut self, share: TrafficShare) {
        let salt = self.state.rollout.as_ref().unwrap().salt;
        let router = Router::new(salt, share, self.shadowed);
        self.route = route(&self.plan, router, self.shadowed, self.promoted, &self.tripped);
        self.watched.push(WatchedRoute::new(Arc::clone(&self.route)));
    }
}

fn route(
    plan: &Plan,
    router: Router,
    shadowed: TrafficShare,
    promoted: bool,
    tripped: &Arc<Mutex<bool>>,
) -> Arc<Route> {
    let told = Arc::clone(tripped);
    let waker = Waker::new(move |wake| *told.lock().unwrap() |= matches!(wake, Wake::Tripped(..)));
    Arc::new(Route {
        promoted,
        shadow: (shadowed != TrafficShare::NONE).then(|| Shadow::new(BATCH as usize)),
        ..Route::new((1, 2), router, plan.dead_man, waker)
    })
}
