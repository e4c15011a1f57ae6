//! Whole rollouts with chance in them: good, twice as bad, thrice as bad; and as many without any difference as a rate of
//! false alarms needs.

use super::*;
use crate::plan::Step;
use crate::state::HoldReason;

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of `units`, how many fail at `rate`; a Poisson number, cut off at all of them.
    fn failures(&mut self, units: u64, rate: f64) -> u64 {
        let floor = (-(units as f64) * rate).exp();
        let (mut count, mut product) = (0, self.uniform());
        while product > floor {
            product *= self.uniform();
            count += 1;
        }
        count.min(units)
    }
}

/// Stable fails at 1 %. Each tick is a minute with 500 units.
const STABLE: f64 = 0.01;
const UNITS: u64 = 500;

/// Errors alone; each step has time for so many units.
fn errors_alone(units: u64) -> Plan {
    let budget = Duration::from_secs(60 * units / UNITS);
    let step = |weight| Step { weight, margin: None, min_dwell: Duration::from_secs(300), budget, pause: false };
    let mut plan = plan();
    plan.shadow = None;
    plan.gates.disagreement = None;
    plan.steps = vec![step(percent(5)), step(percent(20))];
    plan
}

/// A rollout of a candidate that fails at `rate`, until it rests.
fn rollout(plan: &Plan, rate: f64, random: &mut Random) -> (Phase, Vec<TrafficShare>, u64) {
    let mut drive = Drive::new(plan.clone());
    let mut weights = Vec::new();
    for _ in 0..1_000 {
        let rho = drive.world.routed;
        if weights.last() != Some(&rho) {
            weights.push(rho);
        }
        let mut seen = drive.world.seen();
        let canary = (UNITS as f64 * rho.get()).round() as u64;
        let bad = random.failures(canary, rate);
        let tally = |units, bad| Tally { units, bad };
        let stable = tally(UNITS - canary, random.failures(UNITS - canary, STABLE));
        seen.events = vec![Event::Served(Exposure { rho, stable, canary: tally(canary, bad) })];
        drive.tick(&seen);
        if drive.phase().is_terminal() || matches!(drive.phase(), Phase::Held { .. }) {
            break;
        }
    }
    (drive.phase().clone(), weights, drive.rollout().exposed)
}

fn outcomes(plan: &Plan, rate: f64, runs: usize, seed: u64) -> (usize, usize, usize) {
    let mut random = Random(seed);
    let (mut succeeded, mut held, mut back) = (0, 0, 0);
    for _ in 0..runs {
        match rollout(plan, rate, &mut random).0 {
            Phase::Succeeded => succeeded += 1,
            Phase::RolledBack => back += 1,
            Phase::Held { reason: HoldReason::Inconclusive, .. } => held += 1,
            other => panic!("ended in {other}"),
        }
    }
    (succeeded, held, back)
}

#[test]
fn a_good_candidate_is_promoted_step_by_step() {
    let mut random = Random(1);
    let (phase, weights, _) = rollout(&errors_alone(120_000), STABLE, &mut random);
    assert_eq!(phase, Phase::Succeeded);
    assert_eq!(weights, [percent(0), percent(5), percent(20), percent(98)]);
    let (succeeded, held, back) = outcomes(&errors_alone(120_000), STABLE, 300, 2);
    assert!(succeeded > 270 && back <= 15, "{succeeded} promoted, {held} held, {back} taken back");
}

#[test]
fn twice_as_bad_and_too_few_units_to_be_sure_is_held_not_promoted() {
    let (succeeded, held, back) = outcomes(&errors_alone(4_000), 2.0 * STABLE, 500, 3);
    assert!(held > 350, "{succeeded} promoted, {held} held, {back} taken back");
    assert!(succeeded <= 2, "{succeeded} promoted");
}

#[test]
fn thrice_as_bad_goes_back_after_few_exposed_units() {
    let plan = errors_alone(120_000);
    let mut random = Random(4);
    let runs = 300;
    let (mut back, mut exposed) = (0, 0);
    for _ in 0..runs {
        let (phase, _, units) = rollout(&plan, 3.0 * STABLE, &mut random);
        back += usize::from(phase == Phase::RolledBack);
        exposed += units;
    }
    assert_eq!(back, runs);
    // The oracle: 10.5 failures of the canary, at 3 % each; and what a minute's reading adds.
    let mean = exposed as f64 / runs as f64;
    assert!(mean < 1.5 * 10.5 / 0.03, "{mean} units exposed");
}

#[test]
fn no_difference_is_taken_back_as_rarely_as_the_plan_says() {
    // Two gates share alpha; only one of them has anything to say here.
    let runs = 4_000;
    let (_, _, back) = outcomes(&errors_alone(8_000), STABLE, runs, 5);
    let claimed = 0.05;
    let most = claimed + 3.0 * f64::sqrt(claimed * (1.0 - claimed) / runs as f64);
    assert!((back as f64 / runs as f64) <= most, "{back} of {runs} taken back");
}

#[test]
fn a_late_fault_is_found_while_baking() {
    let mut drive = Drive::new(errors_alone(120_000));
    drive.plan.bake.duration = Duration::from_secs(86_400);
    drive.state = started(&drive.plan);
    drive.until(&Phase::Running(Stage::Baking));
    let mut random = Random(6);
    for _ in 0..200 {
        let rho = drive.world.routed;
        let canary = (UNITS as f64 * rho.get()).round() as u64;
        let (good, bad) = (random.failures(UNITS - canary, STABLE), random.failures(canary, 8.0 * STABLE));
        let seen = Observation { events: vec![served(rho, UNITS, good, bad)], ..drive.world.seen() };
        drive.tick(&seen);
        if drive.phase().is_terminal() {
            break;
        }
    }
    assert_eq!(*drive.phase(), Phase::RolledBack, "{}", drive.rollout().why);
}
