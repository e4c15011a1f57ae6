//! Which was wrong where both disagreed, from inspections of some.

use takt_stats::sequential::McNemar;

use crate::at_most;
use crate::random::Random;

const RUNS: usize = 4_000;
/// Probability of an inspection where the candidate called the part defective: everything flagged is looked at.
const FLAGGED: f64 = 1.0;
/// And where it called it good, by a random audit.
const AUDIT: f64 = 0.2;

/// Whether so many disagreements, inspected by `audit`, are evidence. Half of them are flagged by the candidate alone; it is
/// wrong in a share `escapes` of those it let through and in a share `overkill` of those it flagged.
fn decided(test: &mut McNemar, audit: f64, escapes: f64, overkill: f64, random: &mut Random) -> bool {
    (0..1_500).any(|_| {
        let flagged = random.uniform() < 0.5;
        let wrong = random.uniform() < if flagged { overkill } else { escapes };
        let inspected = if flagged { FLAGGED } else { audit };
        random.uniform() < inspected && test.observe(wrong, inspected) && test.ln_e() >= 20_f64.ln()
    })
}

fn share(seed: u64, make: impl Fn() -> McNemar, escapes: f64, overkill: f64) -> usize {
    let mut random = Random(seed);
    (0..RUNS).filter(|_| decided(&mut make(), AUDIT, escapes, overkill, &mut random)).count()
}

#[test]
fn a_candidate_that_is_wrong_half_of_the_time_is_judged_rarely_with_a_partial_audit() {
    let rejected = share(81, || McNemar::worse(AUDIT), 0.5, 0.5);
    at_most(0.05, rejected, RUNS, "rejections");
    // It lets through more and flags less: wrong as often in all, in another mix. Weights keep that fair.
    let rejected = share(82, || McNemar::worse(AUDIT), 0.7, 0.3);
    at_most(0.05, rejected, RUNS, "rejections of another mix");
    let accepted = share(83, || McNemar::acceptable(0.6, AUDIT), 0.8, 0.4);
    at_most(0.05, accepted, RUNS, "acceptances at the margin");
}

#[test]
fn a_candidate_that_lets_defects_through_is_found_though_few_of_them_are_inspected() {
    let rejected = share(84, || McNemar::worse(AUDIT), 0.9, 0.3);
    assert!(rejected > RUNS * 9 / 10, "{rejected}");
    let accepted = share(85, || McNemar::acceptable(0.6, AUDIT), 0.3, 0.3);
    assert!(accepted > RUNS * 9 / 10, "{accepted}");
}

#[test]
fn judging_flagged_parts_alone_crowns_the_worse_model() {
    // Right in most of what it flags, and wrong in most of what it lets through: worse, and never found by its flags.
    let mut random = Random(86);
    let crowned = (0..RUNS)
        .filter(|_| {
            let mut test = McNemar::acceptable(0.6, 1.0);
            (0..1_500).any(|_| {
                let flagged = random.uniform() < 0.5;
                let wrong = random.uniform() < if flagged { 0.3 } else { 0.95 };
                flagged && test.observe(wrong, 1.0) && test.ln_e() >= 20_f64.ln()
            })
        })
        .count();
    assert!(crowned > RUNS * 9 / 10, "{crowned}");
    let accepted = share(87, || McNemar::acceptable(0.6, AUDIT), 0.95, 0.3);
    at_most(0.05, accepted, RUNS, "acceptances with an audit");
}
