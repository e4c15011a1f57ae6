//! Four cameras that see differently, one of which stands idle; and products that look different.

use takt_stats::mix::{Station, reweight};
use takt_stats::verdict::Verdict;

use crate::at_most;
use crate::line::{KS_LIMIT, PSI_LIMIT, Reference, count};
use crate::random::Random;

const LEVELS: [f64; 4] = [-2.0, 0.0, 1.0, 6.0];
const PER_STATION: usize = 5_000;
const UNITS: usize = 150;

fn values(level: f64, n: usize, random: &mut Random) -> Vec<f32> {
    (0..n).map(|_| (random.normal() + level) as f32).collect()
}

#[test]
fn an_idle_camera_is_drift_only_to_a_reference_that_is_not_reweighted() {
    let mut random = Random(21);
    let by_station = LEVELS.map(|level| values(level, PER_STATION, &mut random));
    let pooled = Reference::of(&by_station.concat());
    let counts = by_station
        .each_ref()
        .map(|station| -> Vec<u64> { count(&pooled.edges, station).into_iter().map(|n| n as u64).collect() });
    let (mut blamed, mut drifted, mut judged_ok) = (0, 0, 0);
    for _ in 0..500 {
        // The last camera stands idle.
        let current = [UNITS, UNITS, UNITS, 0];
        let pane = LEVELS.iter().zip(current).flat_map(|(level, n)| values(*level, n, &mut random)).collect::<Vec<_>>();
        let naive = pooled.figures(&pane);
        blamed += usize::from(naive.psi > PSI_LIMIT && naive.ks.lo > KS_LIMIT);
        let stations: Vec<Station<'_>> = counts
            .iter()
            .zip(current)
            .map(|(reference, n)| Station { reference, units: PER_STATION as f64, current: n as f64 })
            .collect();
        let mix = reweight(&stations).unwrap();
        assert_eq!(mix.effective_units.round() as usize, 3 * PER_STATION);
        let mixed = Reference { edges: pooled.edges.clone(), counts: mix.shares, units: mix.effective_units };
        let figures = mixed.figures(&pane);
        let verdicts = [mixed.judge_psi(&figures).verdict, mixed.judge_ks(&figures).verdict];
        drifted += usize::from(verdicts.contains(&Verdict::Drift));
        judged_ok += usize::from(verdicts == [Verdict::Ok; 2]);
    }
    assert_eq!(blamed, 500);
    at_most(0.01, drifted, 500, "drift after reweighting");
    assert!(judged_ok > 450, "{judged_ok}");
}

#[test]
fn a_dimmed_camera_is_drift_whatever_the_mix() {
    let mut random = Random(22);
    let by_station = LEVELS.map(|level| values(level, PER_STATION, &mut random));
    let pooled = Reference::of(&by_station.concat());
    let dimmed: Vec<f32> = LEVELS.iter().flat_map(|level| values(level - 1.5, UNITS * 5, &mut random)).collect();
    let figures = pooled.figures(&dimmed);
    assert_eq!(pooled.judge_psi(&figures).verdict, Verdict::Drift);
    assert_eq!(pooled.judge_ks(&figures).verdict, Verdict::Drift);
}

#[test]
fn a_changeover_is_drift_only_without_segments() {
    let mut random = Random(23);
    let products = [0.0, 1.5, -1.0].map(|level| values(level, PER_STATION, &mut random));
    let pooled = Reference::of(&products.concat());
    let segments = products.each_ref().map(|product| Reference::of(product));
    let (mut blamed, mut drifted) = (0, 0);
    for changeover in 0..300 {
        let product = changeover % 3;
        let pane = values([0.0, 1.5, -1.0][product], 300, &mut random);
        blamed += usize::from(pooled.judge_psi(&pooled.figures(&pane)).verdict == Verdict::Drift);
        let segment = &segments[product];
        drifted += usize::from(segment.judge_psi(&segment.figures(&pane)).verdict == Verdict::Drift);
    }
    // The product in the middle looks much like all together.
    assert!(blamed > 200, "{blamed}");
    at_most(0.01, drifted, 300, "drift within segments");
}
