use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;
use takt_rollout::state::HoldReason;
use takt_rollout::{Phase, Plan, Stage};

use super::*;

fn want(waves: Vec<Amount>) -> Want {
    Want {
        goal: "g".to_owned(),
        seed: 7,
        plan: Plan::default(),
        waves: Waves(waves),
        max_unavailable: Amount::Percent(25),
        max_failed: Amount::Percent(10),
        soak: Duration::ZERO,
        attempt: 0,
        wish: Wish::Go,
    }
}

fn report(id: &str, phase: Phase, ln_e: f64) -> Heard {
    Heard::Rollout(Report {
        id: id.to_owned(),
        phase,
        weight: TrafficShare::of_millionths(50_000),
        exposed: 10,
        evidence: LnE::from([("errors".to_owned(), ln_e)]),
        why: "as it is".to_owned(),
    })
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("device-{i:03}")).collect()
}

fn all(names: &[String], heard: &Heard) -> Vec<Seen> {
    names.iter().map(|name| Seen { device: name.clone(), heard: heard.clone() }).collect()
}

fn threshold() -> f64 {
    Plan::default().alpha_per_gate().ln_threshold()
}

/// A fleet whose devices are all under way.
fn rolling(want: &Want, count: usize) -> Fleet {
    let seen = all(&names(count), &report("r", Phase::Running(Stage::Stepping(0)), 0.0));
    decide(want, &Fleet::new(want), &seen, UnixMillis(0)).next
}

#[test]
fn a_device_is_told_to_begin_only_when_that_it_was_asked_is_on_record() {
    let want = want(vec![Amount::Count(1)]);
    let seen = all(&names(3), &Heard::Free);
    let first = decide(&want, &Fleet::new(&want), &seen, UnixMillis(0));
    assert!(first.orders.is_empty());
    let asked: Vec<&String> = first.next.standing(Standing::Asked).map(|(name, _)| name).collect();
    assert_eq!(asked.len(), 1, "the first wave is one device");
    let second = decide(&want, &first.next, &seen, UnixMillis(1));
    assert_eq!(second.orders, [Order { device: asked[0].clone(), what: Do::Start { retry: false } }]);
    assert_eq!(second, decide(&want, &first.next, &seen, UnixMillis(1)), "asking twice is the same");
}

#[test]
fn the_next_wave_begins_when_every_device_of_this_one_is_through_and_was_watched() {
    let want = Want { soak: Duration::from_secs(60), ..want(vec![Amount::Count(1)]) };
    let devices = names(4);
    let mut fleet = decide(&want, &Fleet::new(&want), &all(&devices, &Heard::Free), UnixMillis(0)).next;
    let first = fleet.standing(Standing::Asked).next().unwrap().0.clone();
    let seen = |phase: Phase| -> Vec<Seen> {
        let heard = |name: &String| if *name == first { report("r", phase.clone(), -1.0) } else { Heard::Free };
        devices.iter().map(|name| Seen { device: name.clone(), heard: heard(name) }).collect()
    };
    fleet = decide(&want, &fleet, &seen(Phase::Running(Stage::Stepping(1))), UnixMillis(1_000)).next;
    assert_eq!(fleet.wave, 0);
    fleet = decide(&want, &fleet, &seen(Phase::Running(Stage::Baking)), UnixMillis(2_000)).next;
    assert_eq!((fleet.wave, fleet.through), (0, Some(UnixMillis(2_000))), "it is watched");
    let next = decide(&want, &fleet, &seen(Phase::Running(Stage::Baking)), UnixMillis(62_000)).next;
    assert_eq!((next.wave, next.standing(Standing::Asked).count()), (1, 3));
}

#[test]
fn what_ten_devices_half_suspect_is_certain_together() {
    let want = want(vec![]);
    let fleet = rolling(&want, 10);
    let seen = all(&names(10), &report("r", Phase::Running(Stage::Stepping(0)), threshold() / 8.0));
    let decision = decide(&want, &fleet, &seen, UnixMillis(1));
    assert!(matches!(&decision.next.course, Course::Aborting(cause) if cause.kind == CauseKind::Evidence));
    assert_eq!(decision.orders.len(), 10);
    assert!(decision.orders.iter().all(|order| order.what == Do::Abort));
}

#[test]
fn what_one_of_a_hundred_believes_stops_that_one_alone() {
    let want = want(vec![]);
    let devices = names(100);
    let fleet = rolling(&want, 100);
    let mut seen = all(&devices, &report("r", Phase::Running(Stage::Stepping(0)), -0.1));
    seen[3].heard = report("r", Phase::RolledBack, threshold() + 2.0);
    let decision = decide(&want, &fleet, &seen, UnixMillis(1));
    assert_eq!(decision.next.course, Course::Rolling, "{}", decision.why);
    for failed in seen.iter_mut().take(12) {
        failed.heard = report("r", Phase::RolledBack, -0.1);
    }
    let decision = decide(&want, &decision.next, &seen, UnixMillis(2));
    assert!(matches!(&decision.next.course, Course::Aborting(cause) if cause.kind == CauseKind::TooManyFailed));
}

/// 100 devices with a candidate that is as good as stable: evidence is a likelihood ratio of coin tosses.
#[test]
fn a_good_candidate_is_stopped_by_the_fleet_as_rarely_as_alpha_says_and_by_the_first_device_nearly_always() {
    const DEVICES: usize = 100;
    const REPETITIONS: usize = 400;
    let alpha: f64 = 0.05;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut toss = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 63 == 1
    };
    // Alternative: the canary has 60 % of the bad events at an even split.
    let (up, down) = ((0.6_f64 / 0.5).ln(), (0.4_f64 / 0.5).ln());
    let limit = (1.0 / alpha).ln();
    let (mut fleet_stops, mut first_stops) = (0, 0);
    for _ in 0..REPETITIONS {
        let mut ln_e = [0.0_f64; DEVICES];
        let (mut fleet, mut first) = (false, false);
        for _ in 0..200 {
            for device in &mut ln_e {
                *device += if toss() { up } else { down };
                first |= *device >= limit;
            }
            fleet |= ln_e.iter().sum::<f64>() >= limit;
        }
        fleet_stops += usize::from(fleet);
        first_stops += usize::from(first);
    }
    let n = REPETITIONS as f64;
    let most = alpha + 3.0 * (alpha * (1.0 - alpha) / n).sqrt();
    assert!(fleet_stops as f64 / n <= most, "{fleet_stops} of {REPETITIONS}");
    assert!(first_stops as f64 / n > 0.8, "{first_stops} of {REPETITIONS}");
}

#[test]
fn evidence_of_a_device_that_begins_anew_or_goes_away_still_counts() {
    let want = want(vec![]);
    let devices = names(2);
    let part = threshold() * 0.4;
    let running = |id: &str, ln_e| report(id, Phase::Running(Stage::Stepping(0)), ln_e);
    let seen = [("device-000", running("a", part)), ("device-001", running("b", part))];
    let seen = seen.map(|(name, heard)| Seen { device: name.to_owned(), heard });
    let fleet = decide(&want, &rolling(&want, 2), &seen, UnixMillis(1)).next;
    // One has another rollout now, the other is gone.
    let seen = [Seen { device: devices[0].clone(), heard: running("c", part) }];
    let decision = decide(&want, &fleet, &seen, UnixMillis(2));
    assert!((decision.pooled[0].ln_e - 3.0 * part).abs() < 1e-9);
    assert!(matches!(decision.next.course, Course::Aborting(_)));
}

#[test]
fn a_gate_that_may_not_reject_stops_no_fleet() {
    let mut want = want(vec![]);
    want.plan.gates.errors = want
        .plan
        .gates
        .errors
        .map(|gate| takt_rollout::plan::Errors { mode: takt_rollout::plan::Mode::DryRun, ..gate });
    let seen = all(&names(3), &report("r", Phase::Running(Stage::Stepping(0)), 100.0));
    assert_eq!(decide(&want, &rolling(&want, 3), &seen, UnixMillis(1)).next.course, Course::Rolling);
}

#[test]
fn silence_is_never_evidence_and_no_device_begins_beside_too_much_of_it() {
    let want = want(vec![]);
    let devices = names(4);
    let mut seen = all(&devices, &Heard::Silent("no route".to_owned()));
    seen[0].heard = Heard::Free;
    let decision = decide(&want, &Fleet::new(&want), &seen, UnixMillis(0));
    assert_eq!(decision.next.course, Course::Held(Hold::Silent));
    assert!(decision.orders.is_empty() && decision.next.standing(Standing::Asked).count() == 0);
    // Devices that were at work go on by themselves: their silence fails nobody.
    let fleet = rolling(&want, 4);
    let silent = all(&devices, &Heard::Silent("no route".to_owned()));
    let decision = decide(&want, &fleet, &silent, UnixMillis(0));
    assert_eq!((decision.next.course.clone(), decision.stale.len()), (Course::Rolling, 0), "not stale yet");
    let later = decide(&want, &decision.next, &silent, UnixMillis(301_000));
    assert_eq!((later.next.course, later.stale.len()), (Course::Rolling, 4));
}

#[test]
fn a_pause_reaches_every_device_and_is_taken_back_once() {
    let mut want = want(vec![]);
    let fleet = rolling(&want, 2);
    let seen = all(&names(2), &report("r", Phase::Running(Stage::Stepping(0)), 0.0));
    want.wish = Wish::Pause;
    let paused = decide(&want, &fleet, &seen, UnixMillis(1));
    assert_eq!((paused.next.course.clone(), paused.orders.len()), (Course::Held(Hold::Manual), 2));
    let held = Phase::Held { reason: HoldReason::Manual, stage: Stage::Stepping(0) };
    let held = all(&names(2), &report("r", held, 0.0));
    let still = decide(&want, &paused.next, &held, UnixMillis(2));
    assert!(still.orders.is_empty(), "said once");
    want.wish = Wish::Go;
    let resumed = decide(&want, &still.next, &held, UnixMillis(3));
    assert!(resumed.orders.iter().all(|order| order.what == Do::Resume) && resumed.orders.len() == 2);
    assert!(decide(&want, &resumed.next, &seen, UnixMillis(4)).orders.is_empty());
}

#[test]
fn a_rollout_that_is_deleted_half_way_leaves_no_device_with_the_candidate() {
    let mut want = want(vec![]);
    let fleet = rolling(&want, 2);
    want.wish = Wish::Leave;
    let running = report("r", Phase::Running(Stage::Stepping(0)), 0.0);
    let mut seen = all(&names(2), &running);
    seen[1].heard = Heard::Silent("off".to_owned());
    let first = decide(&want, &fleet, &seen, UnixMillis(1));
    assert_eq!(first.orders, [Order { device: "device-000".to_owned(), what: Do::Abort }]);
    seen[0].heard = report("r", Phase::RolledBack, 0.0);
    let second = decide(&want, &first.next, &seen, UnixMillis(2));
    assert!(!second.next.has_ended(), "one is silent and may be at work");
    let gone = decide(&want, &second.next, &seen[..1], UnixMillis(3));
    assert!(matches!(&gone.next.course, Course::RolledBack(cause) if cause.kind == CauseKind::Deleted));
}

#[test]
fn what_changed_under_way_goes_back_first_and_then_begins_anew_with_nothing_remembered() {
    let before = want(vec![]);
    let fleet = rolling(&before, 1);
    let after = Want { goal: "h".to_owned(), ..before };
    let running = all(&names(1), &report("r", Phase::Running(Stage::Stepping(0)), 1.0));
    let back = decide(&after, &fleet, &running, UnixMillis(1));
    assert_eq!(back.orders[0].what, Do::Abort);
    let over = all(&names(1), &report("r", Phase::RolledBack, 1.0));
    let anew = decide(&after, &back.next, &over, UnixMillis(2));
    assert_eq!((anew.next.course.clone(), anew.next.goal.as_str(), anew.next.restarts), (Course::Rolling, "h", 1));
    assert!(anew.pooled.is_empty(), "evidence was about another plan");
    // What the device tells of the rollout that is over does not count for the new one.
    let asked = decide(&after, &anew.next, &over, UnixMillis(3));
    let told = decide(&after, &asked.next, &over, UnixMillis(4));
    assert_eq!(told.orders, [Order { device: "device-000".to_owned(), what: Do::Start { retry: true } }]);
}

#[test]
fn a_candidate_that_a_device_took_back_before_is_not_tried_again_unless_somebody_asks() {
    let first = want(vec![]);
    let over = all(&names(1), &report("old", Phase::RolledBack, 0.0));
    let refused = decide(&first, &Fleet::new(&first), &over, UnixMillis(0)).next;
    assert_eq!(refused.devices["device-000"].standing, Standing::Failed);
    let again = Want { attempt: 1, goal: "again".to_owned(), ..first };
    let asked = decide(&again, &Fleet::new(&again), &over, UnixMillis(0)).next;
    let told = decide(&again, &asked, &over, UnixMillis(1));
    assert_eq!(told.orders[0].what, Do::Start { retry: true });
}

#[test]
fn a_candidate_that_fails_between_two_looks_is_not_begun_again() {
    let want = Want { attempt: 1, ..want(vec![]) };
    let before = all(&names(1), &report("old", Phase::RolledBack, 0.0));
    let asked = decide(&want, &Fleet::new(&want), &before, UnixMillis(0)).next;
    let told = decide(&want, &asked, &before, UnixMillis(1));
    assert_eq!(told.orders.len(), 1);
    let failed = decide(&want, &told.next, &all(&names(1), &report("new", Phase::RolledBack, 0.0)), UnixMillis(2));
    assert!(failed.orders.is_empty() && matches!(failed.next.course, Course::RolledBack(_)), "{}", failed.why);
}

#[test]
fn another_plan_alone_is_no_request_to_try_again_what_was_taken_back() {
    let first = want(vec![]);
    let failed = all(&names(1), &report("r", Phase::RolledBack, 0.0));
    let fleet = decide(&first, &rolling(&first, 1), &failed, UnixMillis(1)).next;
    assert!(matches!(fleet.course, Course::RolledBack(_)));
    let after = Want { goal: "h".to_owned(), ..first };
    let mut next = fleet;
    for time in 2..5 {
        let decision = decide(&after, &next, &failed, UnixMillis(time));
        assert!(decision.orders.is_empty(), "{:?}", decision.orders);
        next = decision.next;
    }
    assert!(matches!(next.course, Course::RolledBack(_)) && next.goal == "h");
}

#[test]
fn a_wave_whose_device_is_gone_is_given_to_the_next() {
    let want = want(vec![Amount::Count(1)]);
    let fleet = decide(&want, &Fleet::new(&want), &all(&names(3), &Heard::Free), UnixMillis(0)).next;
    let first = fleet.standing(Standing::Asked).next().unwrap().0.clone();
    let left: Vec<String> = names(3).into_iter().filter(|name| *name != first).collect();
    let next = decide(&want, &fleet, &all(&left, &Heard::Free), UnixMillis(1)).next;
    assert_eq!(next.standing(Standing::Asked).filter(|(_, device)| device.listed).count(), 1);
    assert_eq!(next.wave, 0);
}

#[test]
fn devices_that_finished_before_the_end_are_told_apart() {
    let mut want = want(vec![]);
    let mut seen = all(&names(2), &report("r", Phase::Running(Stage::Stepping(0)), 0.0));
    seen[0].heard = report("r", Phase::Succeeded, 0.0);
    let fleet = decide(&want, &rolling(&want, 2), &seen, UnixMillis(1)).next;
    want.wish = Wish::Abort;
    let back = decide(&want, &fleet, &seen, UnixMillis(2)).next;
    seen[1].heard = report("r", Phase::RolledBack, 0.0);
    let end = decide(&want, &back, &seen, UnixMillis(3));
    assert!(matches!(end.next.course, Course::Degraded(_)) && end.why.contains("1 devices have finished"));
}

/// A device of the simulation below: what it does when it is told, and by itself.
#[derive(Debug, Clone)]
struct Simulated {
    phase: Option<Phase>,
    started: u32,
    bad: bool,
}

impl Simulated {
    fn tell(&mut self, what: Do) {
        let over = self.phase.as_ref().is_none_or(Phase::is_terminal);
        match what {
            Do::Start { .. } if over => {
                self.phase = Some(Phase::Running(Stage::Shadowing));
                self.started += 1;
            }
            Do::Abort if !over => self.phase = Some(Phase::RolledBack),
            _ => {}
        }
    }

    fn live(&mut self) {
        self.phase = self.phase.take().map(|phase| match phase {
            Phase::Running(Stage::Shadowing) if self.bad => Phase::RolledBack,
            Phase::Running(Stage::Shadowing) => Phase::Running(Stage::Baking),
            Phase::Running(Stage::Baking) => Phase::Succeeded,
            other => other,
        });
    }

    fn heard(&self) -> Heard {
        self.phase.clone().map_or(Heard::Free, |phase| report("r", phase, 0.0))
    }

    fn has_work(&self) -> bool {
        self.phase.as_ref().is_some_and(|phase| !phase.is_terminal())
    }
}

proptest! {
    #[test]
    fn waves_have_the_sizes_that_were_asked_for_and_name_every_device_once(
        count in 0_usize..200, seed in any::<u64>(), first in 1_usize..5, percent in 1_u32..100,
    ) {
        let waves = Waves(vec![Amount::Count(first), Amount::Percent(percent)]);
        let names = names(count);
        let assigned = waves.assign(seed, names.iter().map(String::as_str));
        prop_assert_eq!(assigned.len(), count);
        let upto = |wave| assigned.iter().filter(|(_, mine)| *mine <= wave).count();
        prop_assert_eq!(upto(0), first.min(count));
        prop_assert_eq!(upto(1), Amount::Percent(percent).at_least(count).max(first.min(count)));
        prop_assert_eq!(upto(2), count);
    }

    /// The operator dies at any point: before it wrote, after it wrote and before it told, in the middle of telling. Devices are
    /// silent at times. People delete the rollout at some point, or never.
    #[test]
    fn whatever_dies_no_device_begins_out_of_turn_and_none_is_left_behind(
        bads in proptest::collection::vec(any::<bool>(), 1..8),
        script in proptest::collection::vec((0_u8..4, any::<u8>(), any::<bool>()), 1..30),
        leave_at in 0_usize..40,
    ) {
        let mut want = want(vec![Amount::Count(1), Amount::Percent(50)]);
        let names = names(bads.len());
        let mut devices: BTreeMap<String, Simulated> = names
            .iter()
            .zip(&bads)
            .map(|(name, bad)| (name.clone(), Simulated { phase: None, started: 0, bad: *bad }))
            .collect();
        let mut stored = Fleet::new(&want);
        let calm = std::iter::repeat_n((3_u8, 0_u8, true), 60);
        for (step, (dies, silent, lives)) in script.iter().copied().chain(calm).enumerate() {
            if step >= leave_at {
                want.wish = Wish::Leave;
            }
            let seen: Vec<Seen> = devices
                .iter()
                .enumerate()
                .map(|(i, (name, device))| {
                    let mute = silent >> (i % 8) & 1 == 1;
                    let heard = if mute { Heard::Silent("off".to_owned()) } else { device.heard() };
                    Seen { device: name.clone(), heard }
                })
                .collect();
            let decision = decide(&want, &stored, &seen, UnixMillis(1_000 * step as u64));
            for order in &decision.orders {
                if matches!(order.what, Do::Start { .. }) {
                    prop_assert_eq!(stored.devices[&order.device].standing, Standing::Asked, "on record");
                    prop_assert!(stored.devices[&order.device].wave <= decision.next.wave);
                    prop_assert_eq!(want.wish, Wish::Go);
                }
            }
            // 0: dies before anything; 1: in the middle of telling; 2: before it wrote; 3: lives.
            let told = match dies { 0 => 0, 1 => decision.orders.len() / 2, _ => decision.orders.len() };
            for order in &decision.orders[..told] {
                devices.get_mut(&order.device).unwrap().tell(order.what);
            }
            if dies == 3 {
                stored = decision.next;
            }
            if lives {
                devices.values_mut().for_each(Simulated::live);
            }
        }
        prop_assert!(stored.has_ended(), "{:?}", stored);
        for (name, device) in &devices {
            prop_assert!(!device.has_work(), "{name}: {device:?}");
            prop_assert!(device.started <= 1, "{name} was begun {} times", device.started);
        }
    }
}
