//! Who served what failed.

use takt_stats::sequential::{Alpha, Attribution, BoundedMean, Failures};

use crate::random::Random;
use crate::{about, at_most};

const RUNS: usize = 4_000;
/// A plan's shares, each with requests while it is in force.
type Ramp = &'static [(f64, u64)];
const TWO_STEPS: Ramp = &[(0.05, 10_000), (0.2, 10_000)];
const FOUR_STEPS: Ramp = &[(0.01, 5_000), (0.05, 5_000), (0.25, 5_000), (0.5, 5_000)];

/// What came of a rollout.
struct Run {
    rejected: bool,
    accepted: bool,
    /// Canary failures until it was rejected, or until the end.
    canary_failures: u64,
}

/// Failures per request of both versions.
#[derive(Clone, Copy)]
struct Rates {
    stable: f64,
    canary: f64,
}

/// Walks from failure to failure; what lies between them is no evidence and takes no time.
fn failures(
    ramp: &[(f64, u64)],
    rates: Rates,
    random: &mut Random,
    mut failed: impl FnMut(f64, bool, &mut Random) -> bool,
) {
    for &(rho, requests) in ramp {
        let canary = rho * rates.canary;
        let any = canary + (1.0 - rho) * rates.stable;
        let mut at = 0.0;
        loop {
            at += 1.0 + (random.uniform().ln() / (-any).ln_1p()).floor();
            if at > requests as f64 {
                break;
            }
            let by_canary = random.uniform() * any < canary;
            if !failed(rho, by_canary, random) {
                return;
            }
        }
    }
}

fn one(canary: bool) -> Failures {
    Failures { stable: u64::from(!canary), canary: u64::from(canary) }
}

fn run(ramp: &[(f64, u64)], rates: Rates, random: &mut Random) -> Run {
    let (mut worse, mut acceptable) = (Attribution::worse(1.0), Attribution::acceptable(2.0));
    let enough = Alpha::ONE_IN_TWENTY.ln_threshold();
    let mut run = Run { rejected: false, accepted: false, canary_failures: 0 };
    failures(ramp, rates, random, |rho, canary, _| {
        run.canary_failures += u64::from(canary);
        worse.observe(rho, one(canary));
        acceptable.observe(rho, one(canary));
        run.rejected |= worse.ln_e() >= enough;
        run.accepted |= acceptable.ln_e() >= enough;
        !run.rejected
    });
    run
}

/// Share of rejected runs, and mean canary failures of those.
fn rejections(seed: u64, ramp: &[(f64, u64)], rates: Rates) -> (usize, f64) {
    let mut random = Random(seed);
    let rejected: Vec<Run> = (0..RUNS).map(|_| run(ramp, rates, &mut random)).filter(|run| run.rejected).collect();
    let failures: u64 = rejected.iter().map(|run| run.canary_failures).sum();
    (rejected.len(), failures as f64 / rejected.len().max(1) as f64)
}

fn mean(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len().max(1) as f64
}

#[test]
fn an_equal_canary_is_rejected_as_rarely_as_stated_however_often_one_looks() {
    let equal = Rates { stable: 0.01, canary: 0.01 };
    for (seed, ramp, claimed) in [(51, TWO_STEPS, 0.027), (52, FOUR_STEPS, 0.02)] {
        let (rejected, _) = rejections(seed, ramp, equal);
        at_most(0.05, rejected, RUNS, "rejections of an equal canary");
        about(claimed, rejected, RUNS, "rejections of an equal canary");
    }
}

#[test]
fn a_worse_canary_is_rejected_after_few_failures() {
    let two: [(f64, f64, f64); 4] = [(0.02, 0.88, 20.0), (0.03, 1.0, 10.5), (0.05, 1.0, 5.7), (0.2, 1.0, 3.2)];
    let four = [(0.02, 0.93, 26.0), (0.03, 1.0, 11.0), (0.05, 1.0, 6.0), (0.2, 1.0, 3.0)];
    for (seed, ramp, cases) in [(53, TWO_STEPS, two), (54, FOUR_STEPS, four)] {
        for (canary, power, delay) in cases {
            let (rejected, failures) = rejections(seed, ramp, Rates { stable: 0.01, canary });
            about(power, rejected, RUNS, "rejections of a worse canary");
            assert!((failures / delay - 1.0).abs() < 0.1, "{canary}: {failures} canary failures, {delay} expected");
        }
    }
}

/// Without restarts, as a plain mean over the same alternatives.
struct Plain([f64; 6]);

impl Plain {
    fn observe(&mut self, rho: f64, canary: bool) -> f64 {
        for (product, times) in self.0.iter_mut().zip([1.25, 1.5, 2.0, 3.0, 5.0, 10.0]) {
            *product *= if canary { times } else { 1.0 } / (1.0 - rho + rho * times);
        }
        self.0.iter().sum::<f64>() / 6.0
    }
}

#[test]
fn a_late_fault_is_not_hidden_by_a_good_past() {
    const SHARE: f64 = 0.2;
    let rates = |canary| Rates { stable: 0.01, canary };
    for (good, most) in [(20_000, 18.0), (60_000, 21.0)] {
        let mut random = Random(55);
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let (mut test, mut plain) = (Attribution::worse(1.0), Plain([1.0; 6]));
            let mut alarmed = false;
            failures(&[(SHARE, good)], rates(0.01), &mut random, |rho, canary, _| {
                plain.observe(rho, canary);
                test.observe(rho, one(canary));
                alarmed |= test.ln_e() >= 20_f64.ln();
                !alarmed
            });
            if alarmed {
                continue;
            }
            let (mut count, mut found, mut found_plain) = (0, None, None);
            failures(&[(SHARE, 100_000)], rates(0.1), &mut random, |rho, canary, _| {
                count += u64::from(canary);
                test.observe(rho, one(canary));
                if test.ln_e() >= 20_f64.ln() {
                    found.get_or_insert(count);
                }
                if plain.observe(rho, canary) >= 20.0 {
                    found_plain.get_or_insert(count);
                }
                found.is_none() || found_plain.is_none()
            });
            with.push(found.unwrap());
            without.extend(found_plain);
        }
        let (with, without) = (mean(&with), mean(&without));
        assert!(with <= most, "{with} canary failures after {good} good requests, at most {most} expected");
        assert!(without > 1.5 * with, "{without} without restarts, {with} with");
    }
}

#[test]
fn a_failed_batch_is_one_event_not_as_many_as_it_held() {
    for (seed, batch) in [(56, 4_u64), (57, 8), (58, 16)] {
        let mut random = Random(seed);
        let (mut by_run, mut by_request) = (0, 0);
        // So many failed runs as requests fail at 1 %.
        let ramp = [(0.05, 10_000 / batch), (0.2, 10_000 / batch)];
        for _ in 0..RUNS {
            let (mut runs, mut requests) = (Attribution::worse(1.0), Attribution::worse(1.0));
            let (mut wrong, mut very_wrong) = (false, false);
            failures(&ramp, Rates { stable: 0.01, canary: 0.01 }, &mut random, |rho, canary, _| {
                runs.observe(rho, one(canary));
                for _ in 0..batch {
                    requests.observe(rho, one(canary));
                    very_wrong |= requests.ln_e() >= 20_f64.ln();
                }
                wrong |= runs.ln_e() >= 20_f64.ln();
                true
            });
            by_run += usize::from(wrong);
            by_request += usize::from(very_wrong);
        }
        at_most(0.05, by_run, RUNS, "rejections by failed run");
        assert!(by_request > RUNS / 4, "counting requests of batches of {batch} rejects only {by_request}");
    }
}

#[test]
fn counters_that_are_read_now_and_then_are_as_valid() {
    let mut random = Random(59);
    let (mut equal, mut worse) = (0, 0);
    for run in 0..2 * RUNS {
        let canary = if run < RUNS { 0.01 } else { 0.03 };
        let mut test = Attribution::worse(1.0);
        let mut pending = Failures::default();
        let mut rejected = false;
        failures(TWO_STEPS, Rates { stable: 0.01, canary }, &mut random, |rho, canary, random| {
            pending.stable += u64::from(!canary);
            pending.canary += u64::from(canary);
            // A reading every ten failures on average.
            if random.uniform() < 0.1 {
                test.observe(rho, std::mem::take(&mut pending));
                rejected |= test.ln_e() >= 20_f64.ln();
            }
            true
        });
        *(if run < RUNS { &mut equal } else { &mut worse }) += usize::from(rejected);
    }
    at_most(0.05, equal, RUNS, "rejections of an equal canary");
    assert!(worse > RUNS * 97 / 100, "{worse}");
}

#[test]
fn no_rejection_is_no_acceptance() {
    // Twice as bad, and too few requests to see it.
    let ramp = [(0.05, 2_000), (0.2, 2_000)];
    let mut random = Random(60);
    let (mut not_rejected, mut accepted) = (0, 0);
    for _ in 0..RUNS {
        let run = run(&ramp, Rates { stable: 0.01, canary: 0.02 }, &mut random);
        not_rejected += usize::from(!run.rejected);
        accepted += usize::from(run.accepted);
    }
    assert!(not_rejected > RUNS / 2, "{not_rejected}");
    at_most(0.05, accepted, RUNS, "acceptances at the margin");
}

#[test]
fn an_equal_canary_is_accepted_in_the_time_that_is_predicted() {
    let mut random = Random(61);
    for rho in [0.05, 0.2] {
        let growth = Attribution::growth(takt_stats::sequential::Side::Acceptable, 2.0, rho, 1.0);
        let predicted = (20_f64.ln() + 6_f64.ln()) / growth;
        let mut needed = Vec::new();
        for _ in 0..400 {
            let mut test = Attribution::acceptable(2.0);
            let mut count = 0;
            failures(&[(rho, 10_000_000)], Rates { stable: 0.01, canary: 0.01 }, &mut random, |rho, canary, _| {
                test.observe(rho, one(canary));
                count += 1;
                test.ln_e() < 20_f64.ln()
            });
            needed.push(count);
        }
        let needed = mean(&needed);
        assert!((0.6..1.4).contains(&(needed / predicted)), "share {rho}: {needed} failures, {predicted} predicted");
    }
}

#[test]
fn two_equally_bad_versions_meet_a_ceiling() {
    // Both fail at 5 %: the comparison is silent, the ceiling of 2 % is not. And at 2 % exactly it is, as often as stated.
    for (seed, rate, late) in [(62, 0.05, false), (63, 0.05, true), (64, 0.02, false)] {
        let mut random = Random(seed);
        let mut rejected = 0;
        for _ in 0..RUNS {
            let mut test = BoundedMean::above(0.02).restarting();
            let mut found = false;
            for tick in 0..300 {
                let rate = if late && tick < 150 { 0.005 } else { rate };
                let bad = (0..10).filter(|_| random.uniform() < rate).count() as u64;
                test.observe_counts(10, bad);
                found |= test.ln_e() >= 20_f64.ln();
                if found {
                    break;
                }
            }
            rejected += usize::from(found);
        }
        if rate > 0.02 {
            assert!(rejected > RUNS * 97 / 100, "{rejected} found, late {late}");
        } else {
            at_most(0.05, rejected, RUNS, "rejections at the ceiling");
        }
    }
}

#[test]
fn a_test_made_for_one_look_rejects_a_third_when_looked_at_often() {
    let mut random = Random(65);
    const SHARE: f64 = 0.1;
    let mut rejected = 0;
    for _ in 0..RUNS {
        let (mut stable, mut canary) = (0.0, 0.0);
        let mut found = false;
        for look in 1..=100 {
            let requests = 200.0 * f64::from(look);
            for _ in 0..200 {
                if random.uniform() < 0.01 {
                    *(if random.uniform() < SHARE { &mut canary } else { &mut stable }) += 1.0;
                }
            }
            let (n, m) = (requests * SHARE, requests * (1.0 - SHARE));
            let pooled = (stable + canary) / requests;
            let z = (canary / n - stable / m) / (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
            found |= z > 1.645;
        }
        rejected += usize::from(found);
    }
    assert!(rejected > RUNS / 4, "{rejected}: then none of this were needed");
}
