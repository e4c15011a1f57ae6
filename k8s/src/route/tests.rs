use serde_json::json;
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;
use takt_rollout::observation::Candidate;
use takt_rollout::state::{HoldReason, Stage};
use takt_rollout::{Phase, Plan};

use super::counts::Row;
use super::*;
use crate::crd::ModelRollout;
use crate::fleet::Wish;
use crate::spec::RouteRollout;

/// A route, two Services, and a Prometheus that scrapes every 15 s.
struct World {
    want: RouteRollout,
    memory: Memory,
    now: u64,
    share: TrafficShare,
    accepted: Result<(), String>,
    candidate: Candidate,
    prometheus: bool,
    /// Failures per request, of stable and of the candidate.
    failing: [f64; 2],
    /// Answered and failed, of stable and of the candidate.
    counters: [(u64, u64); 2],
    owed: [f64; 2],
}

fn want() -> RouteRollout {
    let object = json!({
        "apiVersion": "takt.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "r", "namespace": "n"},
        "spec": {
            "model": "surface", "candidate": {"version": 2}, "layer": "GRPCRoute",
            "route": {"name": "line", "stableService": "old", "canaryService": "new"},
            "plan": {"steps": [{"weight": 5, "minDwell": "1m"}, {"weight": 20, "minDwell": "1m"}],
                "bake": {"duration": "10m", "holdback": 5}}
        }
    });
    let object: ModelRollout = serde_json::from_value(object).unwrap();
    RouteRollout::try_from(&object).unwrap()
}

impl World {
    fn new() -> Self {
        Self {
            want: want(),
            memory: Memory::default(),
            now: 1_700_000_000_000,
            share: TrafficShare::NONE,
            accepted: Ok(()),
            candidate: Candidate::Ready,
            prometheus: true,
            failing: [0.0, 0.0],
            counters: [(1_000_000, 10), (0, 0)],
            owed: [0.0; 2],
        }
    }

    /// 15 s of 100 requests a second, a scrape, and a look. The memory goes through its JSON, as it does in the status.
    fn tick(&mut self) -> Step {
        self.now += 15_000;
        let canary = (1500.0 * self.share.get()) as u64;
        for (arm, units) in [1500 - canary, canary].into_iter().enumerate() {
            self.owed[arm] += units as f64 * self.failing[arm];
            let failed = (self.owed[arm] as u64).min(units);
            self.owed[arm] -= failed as f64;
            self.counters[arm].0 += units - failed;
            self.counters[arm].1 += failed;
        }
        let row = |arm: usize, key: &str| Row {
            key: key.to_owned(),
            canary: arm == 1,
            scraped: UnixMillis(self.now - 3_000),
            answered: self.counters[arm].0,
            failed: self.counters[arm].1,
        };
        let rows = vec![row(0, "a"), row(1, "b")];
        let requests = if self.prometheus { Ok((rows, UnixMillis(self.now))) } else { Err("it is gone".to_owned()) };
        let look = Look {
            share: Ok(self.share),
            accepted: self.accepted.clone(),
            stable_ready: true,
            candidate: self.candidate.clone(),
            answers: Some(Answers { requests, samples: Vec::new() }),
        };
        let step = step(&self.want, self.memory.clone(), look, 7, UnixMillis(self.now));
        self.memory = serde_json::from_str(&serde_json::to_string(&step.memory).unwrap()).unwrap();
        assert_eq!(self.memory, step.memory);
        if let Some(share) = step.weight {
            self.share = share;
        }
        step
    }

    fn until(&mut self, most: u32, is: impl Fn(&Phase) -> bool) -> Phase {
        for _ in 0..most {
            self.tick();
            if self.memory.phase().is_some_and(&is) {
                break;
            }
        }
        self.memory.phase().cloned().unwrap()
    }
}

fn ended(phase: &Phase) -> bool {
    phase.is_terminal()
}

#[test]
fn a_good_candidate_gets_all_of_the_route_step_by_step() {
    let mut world = World::new();
    let mut shares = vec![world.share];
    while !world.memory.phase().is_some_and(ended) && shares.len() < 20 {
        world.tick();
        if shares.last() != Some(&world.share) {
            shares.push(world.share);
        }
        assert!(world.now < 1_700_000_000_000 + 8 * 3_600_000, "{:?} {}", world.memory.phase(), world.memory.why());
    }
    let percents: Vec<f64> = shares.iter().map(|share| share.get() * 100.0).collect();
    assert_eq!(percents, [0.0, 5.0, 20.0, 95.0, 100.0]);
    assert_eq!(world.memory.phase(), Some(&Phase::Succeeded));
}

#[test]
fn a_candidate_that_fails_more_often_gets_nothing_any_more_and_is_not_tried_again_by_itself() {
    let mut world = World::new();
    world.failing = [0.002, 0.1];
    assert_eq!(world.until(2000, ended), Phase::RolledBack);
    assert_eq!(world.share, TrafficShare::NONE);
    assert!(world.memory.why().contains("errors"), "{}", world.memory.why());
    let revision = world.memory.state.revision;
    let step = world.tick();
    assert_eq!((step.weight, step.memory.state.revision), (None, revision));
    // Another object's idea of the same version: it was taken back.
    world.want.goal = "another".to_owned();
    assert!(world.tick().refused.unwrap().contains("retry it explicitly"));
    world.want.attempt = 1;
    world.failing = [0.0, 0.0];
    assert_eq!(world.until(3000, ended), Phase::Succeeded);
}

#[test]
fn weights_count_when_gateways_have_them_and_a_silent_prometheus_holds() {
    let mut world = World::new();
    world.accepted = Err("no gateway has taken the route in yet".to_owned());
    let validating = |phase: &Phase| *phase == Phase::Running(Stage::Validating);
    assert!(validating(&world.until(8, |_| false)), "who is routed is not known");
    world.accepted = Ok(());
    world.until(40, |phase| *phase == Phase::Running(Stage::Stepping(0)));
    world.prometheus = false;
    let held = world.until(10, |phase| matches!(phase, Phase::Held { .. }));
    assert_eq!(held, Phase::Held { reason: HoldReason::NoData, stage: Stage::Stepping(0) });
    assert!(world.memory.why().contains("requests"), "{}", world.memory.why());
    assert_eq!((world.share.get(), world.memory.complaint.as_deref()), (0.05, Some("it is gone")));
    world.prometheus = true;
    assert_eq!(world.until(10, |phase| matches!(phase, Phase::Running(_))), Phase::Running(Stage::Stepping(0)));
}

#[test]
fn a_candidate_whose_pods_are_not_ready_gets_nothing_until_they_are() {
    let mut world = World::new();
    world.candidate = Candidate::Coming;
    world.until(20, |_| false);
    assert_eq!((world.share, world.memory.phase()), (TrafficShare::NONE, Some(&Phase::Running(Stage::Warming))));
    world.candidate = Candidate::Ready;
    world.until(40, |phase| *phase == Phase::Running(Stage::Stepping(0)));
    world.tick();
    assert_eq!(world.share.get(), 0.05);
    world.candidate = Candidate::Coming;
    world.tick();
    assert_eq!(world.share, TrafficShare::NONE);
}

#[test]
fn people_pause_it_let_it_go_on_and_take_it_back() {
    let mut world = World::new();
    world.until(40, |phase| *phase == Phase::Running(Stage::Stepping(0)));
    world.want.wish = Wish::Pause;
    let held = world.until(3, |phase| matches!(phase, Phase::Held { .. }));
    assert_eq!(held, Phase::Held { reason: HoldReason::Manual, stage: Stage::Stepping(0) });
    world.want.wish = Wish::Go;
    assert_eq!(world.until(3, |phase| matches!(phase, Phase::Running(_))), Phase::Running(Stage::Stepping(0)));
    world.want.wish = Wish::Leave;
    assert_eq!(world.until(5, ended), Phase::RolledBack);
    assert_eq!(world.share, TrafficShare::NONE);
}

#[test]
fn a_share_that_somebody_else_wrote_is_written_back() {
    let mut world = World::new();
    world.until(40, |phase| *phase == Phase::Running(Stage::Stepping(0)));
    world.tick();
    world.share = TrafficShare::new(0.6).unwrap();
    let step = world.tick();
    assert_eq!(step.weight, Some(TrafficShare::new(0.05).unwrap()));
}

#[test]
fn another_plan_begins_anew_from_nothing() {
    let mut world = World::new();
    world.until(40, |phase| *phase == Phase::Running(Stage::Stepping(0)));
    world.tick();
    world.want.plan = Plan { alpha: world.want.plan.alpha, ..want().plan };
    world.want.plan.steps.truncate(1);
    let step = world.tick();
    assert_eq!(
        (step.weight, world.memory.phase()),
        (Some(TrafficShare::NONE), Some(&Phase::Running(Stage::Validating)))
    );
}
