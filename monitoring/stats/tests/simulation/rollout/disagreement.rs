//! Other answers than stable's, on copies.

use takt_stats::sequential::BoundedMean;

use crate::random::Random;
use crate::{about, at_most};

const RUNS: usize = 4_000;
const LIMIT: f64 = 0.02;

/// After how many units, at most `most`, a test decides.
fn decides(mut test: BoundedMean, most: u64, mut unit: impl FnMut() -> f64) -> Option<u64> {
    (1..=most).find(|_| {
        test.observe(unit());
        test.ln_e() >= 20_f64.ln()
    })
}

fn shares(seed: u64, make: fn(f64) -> BoundedMean, most: u64, unit: impl Fn(&mut Random) -> f64) -> (usize, f64) {
    let mut random = Random(seed);
    let found: Vec<u64> = (0..RUNS).filter_map(|_| decides(make(LIMIT), most, || unit(&mut random))).collect();
    (found.len(), found.iter().sum::<u64>() as f64 / found.len().max(1) as f64)
}

fn at(rate: f64) -> impl Fn(&mut Random) -> f64 {
    move |random| f64::from(u8::from(random.uniform() < rate))
}

#[test]
fn at_the_limit_it_errs_as_rarely_as_stated_in_both_directions() {
    let (rejected, _) = shares(71, BoundedMean::above, 10_000, at(LIMIT));
    let (accepted, _) = shares(72, BoundedMean::below, 10_000, at(LIMIT));
    at_most(0.05, rejected, RUNS, "rejections at the limit");
    at_most(0.05, accepted, RUNS, "acceptances at the limit");
    about(0.035, rejected, RUNS, "rejections at the limit");
    about(0.047, accepted, RUNS, "acceptances at the limit");
}

#[test]
fn half_the_limit_is_accepted_and_more_than_twice_rejected() {
    let (accepted, units) = shares(73, BoundedMean::below, 20_000, at(0.01));
    assert!(accepted == RUNS && (units / 1_055.0 - 1.0).abs() < 0.1, "{accepted} accepted after {units}");
    let (rejected, units) = shares(74, BoundedMean::above, 20_000, at(0.05));
    assert!(rejected == RUNS && (units / 239.0 - 1.0).abs() < 0.1, "{rejected} rejected after {units}");
}

/// The rate of a lot, whose mean over lots is the limit: most lots are good, some are not.
fn lot(random: &mut Random) -> f64 {
    if random.uniform() < 0.1 { 0.11 } else { 0.01 }
}

#[test]
fn lots_are_units() {
    // The mean over a lot of 1,000 frames: its rate, and a little noise.
    let unit = |random: &mut Random| {
        let rate = lot(random);
        (rate + (rate * (1.0 - rate) / 1_000.0).sqrt() * random.normal()).clamp(0.0, 1.0)
    };
    let (rejected, _) = shares(75, BoundedMean::above, 100, unit);
    let (accepted, _) = shares(76, BoundedMean::below, 100, unit);
    at_most(0.014, rejected, RUNS, "rejections by lot");
    assert_eq!(accepted, 0);
}

#[test]
fn frames_of_a_part_are_not_units() {
    // Ten frames of a part agree; by frame that is ten times the evidence there is.
    let mut random = Random(77);
    let (mut by_frame, mut by_part) = (0, 0);
    for _ in 0..RUNS {
        let (mut frames, mut parts) = (BoundedMean::above(LIMIT), BoundedMean::above(LIMIT));
        let (mut wrong, mut right) = (false, false);
        for _ in 0..1_000 {
            let bad = f64::from(u8::from(random.uniform() < LIMIT));
            parts.observe(bad);
            right |= parts.ln_e() >= 20_f64.ln();
            for _ in 0..10 {
                frames.observe(bad);
                wrong |= frames.ln_e() >= 20_f64.ln();
            }
        }
        by_frame += usize::from(wrong);
        by_part += usize::from(right);
    }
    at_most(0.05, by_part, RUNS, "rejections by part");
    assert!(by_frame > RUNS / 2, "{by_frame}");
}
