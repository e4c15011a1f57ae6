//! One rollout each.

use super::*;
use crate::observation::DeadMan;
use crate::plan::{Mode, OnInconclusive};
use crate::state::HoldReason;

const SHADOWING: Phase = Phase::Running(Stage::Shadowing);
const FIRST: Phase = Phase::Running(Stage::Stepping(0));
const SECOND: Phase = Phase::Running(Stage::Stepping(1));
const BAKING: Phase = Phase::Running(Stage::Baking);

fn command(drive: &mut Drive, command: Command) -> Decision {
    let seen = Observation { command: Some(command), ..drive.world.seen() };
    drive.tick(&seen)
}

fn held(reason: HoldReason, stage: Stage) -> Phase {
    Phase::Held { reason, stage }
}

#[test]
fn a_good_candidate_goes_all_the_way_and_stable_leaves_last() {
    let mut drive = Drive::new(plan());
    let mut weights = vec![drive.world.routed];
    for _ in 0..300 {
        drive.good(1);
        if weights.last() != Some(&drive.world.routed) {
            weights.push(drive.world.routed);
        }
    }
    assert_eq!(*drive.phase(), Phase::Succeeded);
    assert_eq!(weights, [percent(0), percent(5), percent(20), percent(98), percent(100)]);
    assert!(drive.world.promoted && !drive.world.stable_ready && drive.world.intent.is_none());
    assert_eq!(drive.world.harm, TrafficShare::NONE);
    let revision = drive.state.revision;
    drive.good(3);
    assert_eq!(drive.state.revision, revision, "what has ended changes no more");
}

#[test]
fn a_rejected_candidate_goes_back_in_one_decision_and_both_figures_are_kept() {
    let mut drive = Drive::new(plan());
    drive.until(&SECOND);
    drive.good(1);
    let exposed = drive.rollout().exposed;
    let seen = Observation { events: vec![served(percent(20), 500, 1, 40)], ..drive.world.seen() };
    let decision = drive.tick(&seen);
    assert!(decision.actions.iter().any(|action| action.what == Do::SetWeight(TrafficShare::NONE)), "{decision:?}");
    assert!(decision.why.contains("errors rejected it: "), "{}", decision.why);
    assert!(drive.world.is_back() && drive.world.quarantined);
    drive.good(2);
    assert_eq!(*drive.phase(), Phase::RolledBack);
    assert_eq!(drive.world.candidate, Candidate::Absent);
    let rollback = drive.rollout().rollback.clone().unwrap();
    assert_eq!((rollback.exposed, rollback.took()), (exposed + 100, Some(Duration::from_secs(60))));
    assert_eq!(rollback.reason.kind(), "gate");
}

#[test]
fn silence_never_promotes() {
    for phase in [SHADOWING, FIRST, SECOND, BAKING] {
        let mut drive = Drive::new(plan());
        drive.until(&phase);
        let stage = phase.stage().unwrap();
        for _ in 0..4_500 {
            let seen = drive.world.seen();
            drive.tick(&seen);
        }
        // In the second step and in baking nothing was seen since they began.
        let reason = HoldReason::NoData;
        assert!(*drive.phase() == held(reason, stage) || *drive.phase() == Phase::RolledBack, "{}", drive.phase());
        assert_ne!(*drive.phase(), Phase::Succeeded);
    }
}

#[test]
fn what_was_held_too_long_goes_back() {
    let mut plan = plan();
    plan.hold_timeout = Some(Duration::from_secs(3_600));
    let mut drive = Drive::new(plan);
    drive.until(&FIRST);
    let seen = Observation { missing: vec!["p99".to_owned()], ..drive.world.seen() };
    (0..10).for_each(|_| drop(drive.tick(&seen)));
    assert_eq!(*drive.phase(), held(HoldReason::NoData, Stage::Stepping(0)));
    assert_eq!(drive.world.routed, percent(5), "held rollouts keep their weight");
    (0..70).for_each(|_| drop(drive.tick(&Observation { missing: vec!["p99".to_owned()], ..drive.world.seen() })));
    assert_eq!(*drive.phase(), Phase::RolledBack);
    assert!(drive.rollout().why.contains("held longer"));
}

#[test]
fn data_that_comes_back_goes_on_by_itself() {
    let mut drive = Drive::new(plan());
    drive.until(&SECOND);
    drive.good(1);
    let stale = Observation { age: Some(Duration::from_secs(1_000)), ..drive.world.seen() };
    drive.tick(&stale);
    assert_eq!(*drive.phase(), held(HoldReason::Stale, Stage::Stepping(1)));
    let fresh = Observation { age: Some(Duration::from_secs(10)), ..drive.world.seen() };
    drive.tick(&fresh);
    assert_eq!(*drive.phase(), SECOND);
}

#[test]
fn a_person_can_pause_resume_promote_and_abort() {
    let mut drive = Drive::new(plan());
    drive.until(&FIRST);
    drive.good(1);
    command(&mut drive, Command::Pause);
    assert_eq!(*drive.phase(), held(HoldReason::Manual, Stage::Stepping(0)));
    drive.good(6_000);
    assert_eq!(*drive.phase(), held(HoldReason::Manual, Stage::Stepping(0)), "only a person ends a person's pause");
    command(&mut drive, Command::Resume);
    assert_eq!(*drive.phase(), FIRST);
    command(&mut drive, Command::Promote);
    assert_eq!(drive.world.routed, percent(98));
    drive.good(3);
    assert_eq!(*drive.phase(), BAKING);
    let decision = command(&mut drive, Command::Abort);
    assert!(decision.why.contains("a person aborted it"), "{}", decision.why);
    assert!(drive.world.is_back());
}

#[test]
fn a_pause_in_the_plan_waits_for_a_person_and_asks_the_gates_again() {
    let mut plan = plan();
    plan.steps[0].pause = true;
    let mut drive = Drive::new(plan);
    drive.until(&held(HoldReason::Manual, Stage::Stepping(0)));
    assert!(drive.rollout().why.contains("waits for a person"), "{}", drive.rollout().why);
    assert_eq!(drive.world.routed, percent(5));
    command(&mut drive, Command::Resume);
    drive.good(1);
    assert_eq!(*drive.phase(), SECOND);
}

#[test]
fn a_candidate_that_is_dead_goes_at_once_without_statistics() {
    for dead_man in [DeadMan::Crashed, DeadMan::BadOutput, DeadMan::FailedRuns(3), DeadMan::OutOfMemory, DeadMan::Hung]
    {
        for phase in [SHADOWING, FIRST, BAKING] {
            let mut drive = Drive::new(plan());
            drive.until(&phase);
            drive.good(1);
            let seen = Observation { dead_man: Some(dead_man.clone()), ..drive.world.seen() };
            drive.tick(&seen);
            assert!(drive.world.is_back(), "{dead_man} in {phase}");
        }
    }
}

#[test]
fn nobody_goes_back_onto_a_stable_that_does_not_answer() {
    let mut drive = Drive::new(plan());
    drive.until(&FIRST);
    drive.good(1);
    let seen = Observation { stable_ready: false, command: Some(Command::Abort), ..drive.world.seen() };
    let decision = drive.tick(&seen);
    assert_eq!(*drive.phase(), Phase::Degraded);
    assert_eq!(drive.world.routed, percent(5), "the candidate goes on meanwhile");
    assert!(decision.actions.iter().any(|action| action.what == Do::LoadStable));
    drive.good(3);
    assert_eq!(*drive.phase(), Phase::RolledBack);
    assert!(drive.world.is_back());
}

#[test]
fn a_version_that_was_taken_back_is_refused_until_somebody_asks() {
    let mut drive = Drive::new(plan());
    drive.until(&FIRST);
    command(&mut drive, Command::Abort);
    drive.good(2);
    let error = start(&drive.plan, &drive.state, beginning(), UnixMillis(drive.now)).unwrap_err();
    assert_eq!(error.kind(), "refused");
    assert!(error.to_string().contains("a person aborted it"), "{error}");
    let retried = retry(&drive.state, &digest("candidate"));
    assert!(start(&drive.plan, &retried.next, beginning(), UnixMillis(drive.now)).is_ok());
    command(&mut drive, Command::Retry);
    assert!(start(&drive.plan, &drive.state, beginning(), UnixMillis(drive.now)).is_ok());
}

#[test]
fn an_abort_with_nothing_in_flight_changes_nothing() {
    let seen = Observation { command: Some(Command::Abort), ..World::new().seen() };
    let decision = decide(&plan(), &State::new(), &seen, UnixMillis(5));
    assert!(!decision.changes() && decision.actions.is_empty());
    let mut drive = Drive::new(plan());
    drive.until(&Phase::Succeeded);
    drive.good(3);
    let decision = command(&mut drive, Command::Abort);
    assert!(!decision.changes() && decision.actions.is_empty(), "{decision:?}");
}

#[test]
fn a_changed_plan_drains_the_candidate_and_begins_anew() {
    let mut drive = Drive::new(plan());
    drive.until(&SECOND);
    drive.good(1);
    let salt = drive.rollout().salt;
    drive.plan.steps[1].weight = percent(30);
    drive.good(1);
    assert_eq!(drive.world.routed, TrafficShare::NONE);
    assert_eq!(*drive.phase(), Phase::Running(Stage::Validating));
    assert_ne!(drive.rollout().salt, salt);
    drive.until(&Phase::Succeeded);
}

#[test]
fn a_process_that_died_while_the_candidate_was_tried_blames_it() {
    let mut drive = Drive::new(plan());
    drive.until(&Phase::Running(Stage::Warming));
    let intent = drive.rollout().intent.unwrap();
    drive.world.restart();
    let stopped = recover(&drive.state, Ended::Stopped, UnixMillis(drive.now));
    assert_eq!(stopped.rollout.as_ref().unwrap().phase, Phase::Running(Stage::Warming), "a power cut proves nothing");
    drive.state = recover(&drive.state, Ended::Died, UnixMillis(drive.now));
    assert!(drive.rollout().why.contains(&intent.to_string()), "{}", drive.rollout().why);
    assert!(drive.state.refuses(&digest("candidate")).is_some());
    drive.good(2);
    assert_eq!(*drive.phase(), Phase::RolledBack);
    assert!(drive.world.is_back());
}

#[test]
fn a_restart_warms_the_candidate_again_before_it_gets_its_weight_back() {
    let mut drive = Drive::new(plan());
    drive.until(&SECOND);
    drive.good(1);
    let before = drive.rollout().evidence.clone();
    drive.world.restart();
    drive.state = recover(&drive.state, Ended::Stopped, UnixMillis(drive.now));
    assert_eq!(drive.rollout().evidence, before);
    let mut weights = Vec::new();
    for _ in 0..4 {
        let seen = drive.world.seen();
        drive.tick(&seen);
        weights.push(drive.world.routed);
    }
    assert_eq!(weights, [percent(0), percent(0), percent(20), percent(20)]);
    assert_eq!(drive.world.harm, TrafficShare::NONE);
    for _ in 0..3 {
        drive.world.restart();
        drive.state = recover(&drive.state, Ended::Stopped, UnixMillis(drive.now));
        drive.good(4);
    }
    assert_eq!(*drive.phase(), Phase::RolledBack, "{}", drive.rollout().why);
    assert!(drive.rollout().why.contains("ended 4 times"), "{}", drive.rollout().why);
}

#[test]
fn a_candidate_without_room_waits_or_takes_stables_place() {
    let mut drive = Drive::new(plan());
    let alone = |drive: &Drive| Observation { admission: Some(Admission::Alone), ..drive.world.seen() };
    for _ in 0..5 {
        let seen = alone(&drive);
        drive.tick(&seen);
    }
    assert_eq!(*drive.phase(), held(HoldReason::NoCapacity, Stage::Placing));
    assert!(drive.rollout().why.contains("placement.swap"), "{}", drive.rollout().why);

    let mut swapping = plan();
    swapping.placement.swap = true;
    swapping.gates.errors = Some(Errors::default());
    let mut drive = Drive::new(swapping);
    for _ in 0..60 {
        let mut seen = alone(&drive);
        if drive.phase() == &BAKING {
            seen.events = vec![served(TrafficShare::ALL, 100, 0, 0)];
        }
        drive.tick(&seen);
    }
    assert_eq!(*drive.phase(), Phase::Succeeded, "{}", drive.rollout().why);
    assert_eq!(drive.world.routed, TrafficShare::ALL);
}

#[test]
fn a_bad_candidate_in_stables_place_makes_room_before_stable_returns() {
    let mut swapping = plan();
    swapping.placement.swap = true;
    swapping.gates.errors = Some(Errors::default());
    let mut drive = Drive::new(swapping);
    for _ in 0..40 {
        let mut seen = Observation { admission: Some(Admission::Alone), ..drive.world.seen() };
        if drive.phase() == &BAKING {
            seen.events = vec![served(TrafficShare::ALL, 100, 0, 20)];
        }
        drive.tick(&seen);
    }
    assert_eq!(*drive.phase(), Phase::RolledBack, "{}", drive.rollout().why);
    assert!(drive.world.is_back() && drive.world.candidate == Candidate::Absent);
}

#[test]
fn copies_that_are_dropped_are_no_sample() {
    let mut drive = Drive::new(plan());
    drive.until(&SHADOWING);
    let seen = Observation { events: agreeing(), copies: Copies { chosen: 1_000, dropped: 60 }, ..drive.world.seen() };
    drive.tick(&seen);
    assert_eq!(*drive.phase(), held(HoldReason::Inconclusive, Stage::Shadowing));
    assert!(drive.rollout().why.contains("60 of 1000 copies were dropped"), "{}", drive.rollout().why);
}

#[test]
fn an_inconclusive_step_holds_or_goes_back_as_the_plan_says() {
    for (policy, expected) in [
        (OnInconclusive::Hold, held(HoldReason::Inconclusive, Stage::Stepping(0))),
        (OnInconclusive::Abort, Phase::RolledBack),
    ] {
        let mut plan = plan();
        plan.on_inconclusive = policy;
        plan.steps[0].budget = Duration::from_secs(3_600);
        let mut drive = Drive::new(plan);
        drive.until(&FIRST);
        for _ in 0..70 {
            let seen = Observation { events: vec![served(drive.world.routed, 20, 0, 0)], ..drive.world.seen() };
            drive.tick(&seen);
        }
        assert_eq!(*drive.phase(), expected);
        assert!(drive.rollout().why.contains("no verdict of errors"), "{}", drive.rollout().why);
    }
}

#[test]
fn a_gate_in_a_dry_run_is_reported_and_decides_nothing() {
    let mut plan = plan();
    plan.gates.disagreement =
        plan.gates.disagreement.map(|gate| crate::plan::Disagreement { mode: Mode::DryRun, ..gate });
    let mut drive = Drive::new(plan);
    drive.until(&SHADOWING);
    let differing =
        (0..100).map(|_| Event::Shadow(ShadowUnit { stable: Called::Good, opposite: 1.0, other_class: 0.0 }));
    let seen = Observation { events: differing.collect(), copies: copies(100), ..drive.world.seen() };
    drive.tick(&seen);
    assert_eq!(*drive.phase(), FIRST, "{}", drive.rollout().why);
}

#[test]
fn a_decision_for_another_revision_is_refused() {
    let plan = plan();
    let state = started(&plan);
    let seen = World::new().seen();
    let decision = decide(&plan, &state, &seen, UnixMillis(1));
    let next = decision.clone().apply(&state).unwrap();
    let conflict = decision.apply(&next).unwrap_err();
    assert_eq!((conflict.found, conflict.expected), (next.revision, state.revision));
}

#[test]
fn a_rollout_does_not_begin_twice_nor_with_the_version_in_service() {
    let plan = plan();
    let state = started(&plan);
    assert_eq!(start(&plan, &state, beginning(), UnixMillis(1)).unwrap_err().kind(), "busy");
    let same = Start { candidate: digest("stable"), ..beginning() };
    assert_eq!(start(&plan, &State::new(), same, UnixMillis(1)).unwrap_err().kind(), "same");
}

#[test]
fn a_state_of_a_newer_schema_is_refused_as_newer() {
    let text = String::from_utf8(started(&plan()).write().unwrap()).unwrap();
    let newer = text.replace("\"schema\":1", "\"schema\":2");
    assert_eq!(State::read(newer.as_bytes()).unwrap_err().kind(), "newer_schema");
}

#[test]
fn a_clock_that_jumps_counts_little() {
    let mut drive = Drive::new(plan());
    drive.until(&FIRST);
    drive.good(1);
    let dwell = drive.rollout().times.dwell;
    drive.now += 365 * 24 * 3_600_000;
    drive.good(1);
    assert!(drive.rollout().times.dwell <= dwell + Duration::from_secs(600));
    drive.now = 60_000;
    drive.good(1);
    assert!(drive.rollout().times.dwell <= dwell + Duration::from_secs(600));
}
