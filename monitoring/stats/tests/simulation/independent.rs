//! Verdicts on independent units: at no drift, exactly at the limit, and beyond it.

use takt_stats::psi::{self, ZeroRule};
use takt_stats::verdict::{self, ERROR, PsiEvidence, Verdict};

use crate::line::{KS_LIMIT, Reference};
use crate::random::Random;
use crate::{about, at_most};

const BINS: usize = 10;
const REFERENCE: usize = 100_000;

/// How a distribution over deciles may change; zero is no change.
const SHAPES: [(&str, [f64; BINS]); 5] = [
    ("one bin gains", [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ("one bin loses", [-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ("one bin takes from another", [1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    ("half gains", [1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, -1.0]),
    ("all tilts", [-1.0, -0.78, -0.56, -0.33, -0.11, 0.11, 0.33, 0.56, 0.78, 1.0]),
];

/// Deciles tilted by a shape until their PSI is `psi`.
fn tilted(shape: &[f64; BINS], psi: f64) -> Vec<f64> {
    let even = [0.1; BINS];
    let by = |t: f64| {
        let weights: Vec<f64> = shape.iter().map(|s| (t * s).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect::<Vec<f64>>()
    };
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        let passed = psi::of_bins(&even, &by(middle), ZeroRule::Constant(1e-300)).unwrap() > psi;
        *(if passed { &mut high } else { &mut low }) = middle;
    }
    by(low)
}

/// Verdicts and PSI of `panes` panes of `m` units, against a fresh reference every hundred panes.
fn panes(truth: &[f64], m: usize, panes: usize, limit: f64, seed: u64) -> Vec<(Verdict, f64)> {
    let mut random = Random(seed);
    let even = [0.1; BINS];
    let mut reference = Vec::new();
    (0..panes)
        .map(|pane| {
            if pane % 100 == 0 {
                reference = random.counts(&even, REFERENCE);
            }
            let current = random.counts(truth, m);
            let psi = psi::of_bins(&reference, &current, ZeroRule::default()).unwrap();
            let (n, m) = (REFERENCE as f64, m as f64);
            let pearson = psi::pearson(&reference, &current, n, m).unwrap();
            let judged = verdict::psi(&PsiEvidence { psi, pearson, bins: BINS, n, m }, limit, ERROR);
            (judged.verdict, psi)
        })
        .collect()
}

fn of(verdict: Verdict, panes: &[(Verdict, f64)]) -> usize {
    panes.iter().filter(|(found, _)| *found == verdict).count()
}

#[test]
fn a_fixed_limit_fires_four_times_in_ten_where_ours_does_not() {
    let found = panes(&[0.1; BINS], 100, 5_000, 0.1, 1);
    let fixed = found.iter().filter(|(_, psi)| *psi > 0.1).count();
    about(0.39, fixed, found.len(), "a fixed limit");
    at_most(0.001, of(Verdict::Drift, &found), found.len(), "drift");
}

#[test]
fn at_the_limit_verdicts_are_wrong_at_most_at_the_stated_rate() {
    // Observations, and the stated rate of false drift for spread-out changes and for a bin that empties.
    for (m, spread, emptied) in [(50, 0.03, 0.03), (100, 0.02, 0.02), (200, 0.02, 0.045), (1_000, 0.016, 0.03)] {
        for (i, (name, shape)) in SHAPES.iter().enumerate() {
            let found = panes(&tilted(shape, 0.15), m, 2_000, 0.15, 100 + i as u64);
            let stated = if *name == "one bin loses" { emptied } else { spread };
            at_most(stated, of(Verdict::Drift, &found), found.len(), &format!("{name}, {m}: drift"));
            at_most(0.011, of(Verdict::Ok, &found), found.len(), &format!("{name}, {m}: ok"));
        }
    }
}

#[test]
fn power_grows_with_observations_and_distance() {
    // True PSI, observations, and the share of panes judged drift and ok, by 100,000 panes each in numpy.
    let table = [
        (0.0, 100, 0.0, 0.402),
        (0.0, 200, 0.0, 0.921),
        (0.0, 1_000, 0.0, 1.0),
        (0.05, 1_000, 0.0, 0.997),
        (0.1, 1_000, 0.0, 0.442),
        (0.2, 1_000, 0.338, 0.0),
        (0.3, 200, 0.492, 0.0),
        (0.3, 1_000, 0.997, 0.0),
        (0.5, 100, 0.7, 0.0),
        (0.5, 200, 0.983, 0.0),
        (1.0, 100, 1.0, 0.0),
    ];
    let (_, shape) = SHAPES[4];
    for (i, (psi, m, drift, ok)) in table.into_iter().enumerate() {
        let found = panes(&tilted(&shape, psi), m, 2_000, 0.15, 200 + i as u64);
        about(drift, of(Verdict::Drift, &found), found.len(), &format!("PSI {psi}, {m} units: drift"));
        about(ok, of(Verdict::Ok, &found), found.len(), &format!("PSI {psi}, {m} units: ok"));
    }
}

#[test]
fn ks_at_the_limit_is_hardly_ever_judged_and_beyond_it_mostly() {
    let mut random = Random(3);
    let values: Vec<f32> = (0..20_000).map(|_| random.uniform() as f32).collect();
    let reference = Reference::of(&values);
    // Moving a uniform distribution by s puts it s apart.
    let mut verdicts = |shift: f64, m: usize| {
        let mut found = [0_usize; 3];
        for _ in 0..1_000 {
            let pane: Vec<f32> = (0..m).map(|_| (random.uniform() + shift) as f32).collect();
            found[reference.judge_ks(&reference.figures(&pane)).verdict as usize] += 1;
        }
        found
    };
    let [drift, ok, _] = verdicts(KS_LIMIT, 500);
    at_most(0.01, drift, 1_000, "drift at the limit");
    at_most(0.01, ok, 1_000, "ok at the limit");
    let [drift, ok, _] = verdicts(0.0, 500);
    assert!(drift == 0 && ok > 990, "{drift} {ok}");
    let [drift, ..] = verdicts(0.35, 500);
    assert!(drift > 950, "{drift}");
}
