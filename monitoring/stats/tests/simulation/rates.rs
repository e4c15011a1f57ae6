//! Falls of a funnel's rates.

use takt_stats::proportion::{self, Dispersion, Rate};

use crate::random::Random;
use crate::{about, at_most};

const WEEKS: usize = 3_000;
const TRIALS: f64 = 20_000.0;

/// A week in which the rate itself varies, so that the variance is `dispersion` times the binomial one.
fn week(rate: f64, dispersion: f64, random: &mut Random) -> Rate {
    let hits = TRIALS * rate + (dispersion * TRIALS * rate * (1.0 - rate)).sqrt() * random.normal();
    Rate::new(hits.round().max(0.0) as u64, TRIALS as u64).unwrap()
}

#[test]
fn a_fall_of_eight_percent_is_chance_in_a_fifth_of_the_weeks_with_200_counts() {
    let mut random = Random(41);
    let (mut fell, mut supported) = (0, 0);
    for _ in 0..WEEKS {
        let (before, after) = (week(0.01, 1.0, &mut random), week(0.01, 1.0, &mut random));
        let test = proportion::compare(before, after, Dispersion::BINOMIAL);
        fell += usize::from(test.relative < -0.08);
        supported += usize::from(test.relative < -0.08 && test.p_fall < 0.01);
    }
    about(0.21, fell, WEEKS, "falls above 8 %");
    at_most(0.01, supported, WEEKS, "supported falls");
}

#[test]
fn overdispersed_weeks_need_their_history() {
    let mut random = Random(42);
    let (mut naive, mut informed, mut real) = (0, 0, 0);
    for _ in 0..WEEKS {
        let history: Vec<Rate> = (0..8).map(|_| week(0.1, 6.0, &mut random)).collect();
        let dispersion = Dispersion::estimate(&history).unwrap();
        let (before, after) = (week(0.1, 6.0, &mut random), week(0.1, 6.0, &mut random));
        naive += usize::from(proportion::compare(before, after, Dispersion::BINOMIAL).p_fall < 0.01);
        informed += usize::from(proportion::compare(before, after, dispersion).p_fall < 0.01);
        let fallen = week(0.06, 6.0, &mut random);
        real += usize::from(proportion::compare(before, fallen, dispersion).p_fall < 0.01);
    }
    assert!(naive > WEEKS / 10, "{naive}");
    at_most(0.01, informed, WEEKS, "falls with nothing wrong");
    assert!(real > WEEKS * 9 / 10, "{real}");
}

#[test]
fn exact_bounds_hold_their_confidence() {
    let mut random = Random(43);
    let mut missed = 0;
    for _ in 0..WEEKS {
        let hits = (0..800).filter(|_| random.uniform() < 0.004).count() as u64;
        missed += usize::from(proportion::upper_bound(Rate::new(hits, 800).unwrap(), 0.95) < 0.004);
    }
    at_most(0.05, missed, WEEKS, "upper bounds below the rate");
}
