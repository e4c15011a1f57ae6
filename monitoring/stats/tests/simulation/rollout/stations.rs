//! Whole stations are given to versions.

use takt_stats::sequential::{Attribution, Block, Failures, Law, Stations, thin};

use crate::at_most;
use crate::random::Random;

const RUNS: usize = 4_000;
const STATIONS: usize = 12;
/// At the beginning all stations are watched with stable, so that each has a past.
const PAST: usize = 24;

/// Unlike stations: some fail often, and each more in some epochs than in others.
struct Line {
    means: Vec<f64>,
    /// Of the factor that an epoch has: 0 for none.
    scatter: f64,
}

impl Line {
    fn new(scatter: f64, random: &mut Random) -> Self {
        Self { means: (0..STATIONS).map(|_| 1.5 * random.normal().exp()).collect(), scatter }
    }

    /// Failures of a station in an epoch, with a version that fails `times` as often.
    fn failures(&self, station: usize, times: f64, random: &mut Random) -> u64 {
        let mean =
            times * self.means[station] * (self.scatter * random.normal() - 0.5 * self.scatter * self.scatter).exp();
        let (mut count, mut product, floor) = (0, random.uniform(), (-mean).exp());
        while product > floor && count < 10_000 {
            product *= random.uniform();
            count += 1;
        }
        count
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Looking {
    ForWorse,
    ForBoth,
}

#[derive(Default)]
struct Found {
    attribution: bool,
    stations: bool,
    accepted: bool,
}

/// Epochs at one station of twelve, then at two.
fn run(line: &Line, times: f64, tolerated: f64, law: Law, looking: Looking, random: &mut Random) -> Found {
    let mut found = Found::default();
    let (mut by_unit, mut test, mut acceptable) =
        (Attribution::worse(1.0), Stations::worse(law), Stations::acceptable(law));
    let (mut sums, mut epochs) = (vec![0.0; STATIONS], vec![0.0; STATIONS]);
    for epoch in 0..PAST + 80 {
        let drawn = if epoch < PAST {
            0
        } else if epoch < PAST + 40 {
            1
        } else {
            2
        };
        let mut order: Vec<usize> = (0..STATIONS).collect();
        (0..drawn).for_each(|i| order.swap(i, i + (random.uniform() * (STATIONS - i) as f64) as usize));
        let expected = |station: usize| (sums[station] + 0.5) / (epochs[station] + 0.5);
        let counts: Vec<u64> = order
            .iter()
            .enumerate()
            .map(|(i, &station)| line.failures(station, if i < drawn { times } else { 1.0 }, random))
            .collect();
        if drawn > 0 {
            let blocks = |keep: f64, random: &mut Random| -> Vec<Block> {
                let block = |(i, &station): (usize, &usize)| {
                    let keep = if i < drawn { keep } else { 1.0 };
                    Block { bad: thin(counts[i], keep, || random.uniform()), expected: expected(station) }
                };
                order.iter().enumerate().map(block).collect()
            };
            let thinned = blocks(1.0 / tolerated, random);
            test.observe_drawn(&thinned[..drawn], &thinned[drawn..]);
            if looking == Looking::ForBoth {
                let halved = blocks(0.5, random);
                acceptable.observe_drawn(&halved[..drawn], &halved[drawn..]);
            }
            let rho = drawn as f64 / STATIONS as f64;
            let sum = |counts: &[u64]| counts.iter().sum();
            by_unit.observe(rho, Failures { stable: sum(&counts[drawn..]), canary: sum(&counts[..drawn]) });
        }
        // The past is what stable did.
        for (i, &station) in order.iter().enumerate().skip(drawn) {
            sums[station] += counts[i] as f64;
            epochs[station] += 1.0;
        }
        found.attribution |= by_unit.ln_e() >= 20_f64.ln();
        found.stations |= test.ln_e() >= 20_f64.ln();
        found.accepted |= acceptable.ln_e() >= 20_f64.ln();
    }
    found
}

struct Counts {
    attribution: usize,
    stations: usize,
    accepted: usize,
}

fn runs(seed: u64, scatter: f64, times: f64, tolerated: f64, law: Law, looking: Looking, runs: usize) -> Counts {
    let mut random = Random(seed);
    let mut counts = Counts { attribution: 0, stations: 0, accepted: 0 };
    for _ in 0..runs {
        let line = Line::new(scatter, &mut random);
        let found = run(&line, times, tolerated, law, looking, &mut random);
        counts.attribution += usize::from(found.attribution);
        counts.stations += usize::from(found.stations);
        counts.accepted += usize::from(found.accepted);
    }
    counts
}

#[test]
fn drawing_stations_is_judged_rightly_by_stations_and_wrongly_by_units() {
    let equal = runs(101, 0.3, 1.0, 1.0, Law::Poisson, Looking::ForWorse, RUNS);
    at_most(0.05, equal.stations, RUNS, "rejections of an equal canary by stations");
    assert!(equal.attribution > RUNS / 2, "{} by units", equal.attribution);
}

#[test]
fn a_canary_twice_as_bad_is_found_by_stations() {
    let worse = runs(102, 0.3, 2.0, 1.0, Law::Poisson, Looking::ForWorse, 1_000);
    assert!(worse.stations > 950, "{}", worse.stations);
}

#[test]
fn failures_in_lots_are_judged_rightly() {
    let equal = runs(103, 1.0, 1.0, 1.0, Law::NegativeBinomial { size: 1.0 }, Looking::ForWorse, RUNS);
    at_most(0.05, equal.stations, RUNS, "rejections of an equal canary in lots");
    let worse = runs(104, 1.0, 2.0, 1.0, Law::NegativeBinomial { size: 1.0 }, Looking::ForWorse, 500);
    assert!(worse.stations > 400, "{}", worse.stations);
}

#[test]
fn tolerated_and_acceptable_are_different_things() {
    let tolerated = runs(105, 0.3, 1.5, 1.5, Law::Poisson, Looking::ForWorse, RUNS);
    at_most(0.05, tolerated.stations, RUNS, "rejections at what is tolerated");
    let margin = runs(106, 0.3, 2.0, 1.0, Law::Poisson, Looking::ForBoth, RUNS);
    at_most(0.05, margin.accepted, RUNS, "acceptances at the margin");
    let equal = runs(107, 0.3, 1.0, 1.0, Law::Poisson, Looking::ForBoth, 500);
    assert!(equal.accepted > 400, "{}", equal.accepted);
}
