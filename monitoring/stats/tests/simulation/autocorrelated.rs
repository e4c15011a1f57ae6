//! Frames that resemble the one before: what the formulas for independent units make of them, and what null panes and
//! thinning make of them.

use takt_stats::correlation::{autocorrelation, decorrelation_time, independent_share, thin};
use takt_stats::ks;
use takt_stats::null::p_value;
use takt_stats::verdict::{ERROR, Verdict, by_null_panes};

use crate::at_most;
use crate::line::{Figures, KS_LIMIT, PSI_LIMIT, Reference};
use crate::random::{Autoregression, Random};

const FRAMES: usize = 200;

/// Panes of one long AR(.9) stream, moved by `shift`.
fn stream(panes: usize, shift: f64, random: &mut Random) -> Vec<Vec<f32>> {
    let mut lighting = Autoregression::new(0.9, random);
    (0..panes).map(|_| (0..FRAMES).map(|_| (lighting.next(random) + shift) as f32).collect()).collect()
}

/// Figures of panes while nothing is wrong, as a profile stores them.
struct Null {
    psi: Vec<f32>,
    ks: Vec<f32>,
}

impl Null {
    fn of(panes: &[Vec<f32>], reference: &Reference) -> Self {
        let figures: Vec<Figures> = panes.iter().map(|pane| reference.figures(pane)).collect();
        Self {
            psi: figures.iter().map(|figures| figures.psi as f32).collect(),
            ks: figures.iter().map(|figures| figures.ks.lo as f32).collect(),
        }
    }

    /// Verdicts on PSI and KS.
    fn judge(&self, figures: &Figures) -> [Verdict; 2] {
        let (psi, lo) = (figures.psi, figures.ks.lo);
        let psi = by_null_panes(psi, p_value(&self.psi, psi as f32), PSI_LIMIT, ERROR);
        let ks = by_null_panes(lo, p_value(&self.ks, lo as f32), KS_LIMIT, ERROR);
        [psi.verdict, ks.verdict]
    }
}

fn drifts(verdicts: &[[Verdict; 2]], which: usize) -> usize {
    verdicts.iter().filter(|pair| pair[which] == Verdict::Drift).count()
}

#[test]
fn formulas_for_independent_units_fire_at_good_autocorrelated_panes() {
    let mut random = Random(11);
    let reference: Vec<f64> = stream(500, 0.0, &mut random).concat().into_iter().map(f64::from).collect();
    let panes = stream(300, 0.0, &mut random);
    let fired = panes.iter().filter(|pane| {
        let pane: Vec<f64> = pane.iter().copied().map(f64::from).collect();
        ks::two_samples(&reference, &pane).unwrap().p() < 0.01
    });
    let share = fired.count() as f64 / panes.len() as f64;
    assert!((0.5..0.8).contains(&share), "{share}");
}

#[test]
fn null_panes_hold_the_stated_rate_and_keep_power() {
    let mut random = Random(12);
    let reference = Reference::of(&stream(500, 0.0, &mut random).concat());
    let null = Null::of(&stream(1_000, 0.0, &mut random), &reference);
    let mut verdicts = |shift: f64, panes: usize| -> Vec<[Verdict; 2]> {
        stream(panes, shift, &mut random).iter().map(|pane| null.judge(&reference.figures(pane))).collect()
    };
    let good = verdicts(0.0, 2_000);
    at_most(ERROR, drifts(&good, 0), good.len(), "PSI of good panes");
    at_most(ERROR, drifts(&good, 1), good.len(), "KS of good panes");
    let dimmed = verdicts(2.0, 200);
    assert!(drifts(&dimmed, 0) > 190 && drifts(&dimmed, 1) > 190, "{} {}", drifts(&dimmed, 0), drifts(&dimmed, 1));
}

#[test]
fn lots_that_differ_are_no_drift_where_the_null_panes_had_lots() {
    // Each lot of ten panes has a level of its own.
    let lots = |lots: usize, random: &mut Random| -> Vec<Vec<f32>> {
        (0..lots)
            .flat_map(|_| {
                let level = 0.5 * random.normal();
                stream(10, level, random)
            })
            .collect()
    };
    let mut random = Random(13);
    let reference = Reference::of(&lots(100, &mut random).concat());
    let null = Null::of(&lots(200, &mut random), &reference);
    let good: Vec<_> = lots(400, &mut random).iter().map(|pane| null.judge(&reference.figures(pane))).collect();
    // Panes of a lot go together: as many independent trials as there are lots.
    let lots_drifted = |which| good.chunks(10).map(|lot| drifts(lot, which)).sum::<usize>() / 10;
    at_most(ERROR, lots_drifted(0), 400, "PSI over lots");
    at_most(ERROR, lots_drifted(1), 400, "KS over lots");
}

#[test]
fn thinned_frames_are_as_good_as_independent_ones() {
    let mut random = Random(14);
    let frames = stream(1_000, 0.0, &mut random).concat();
    let series: Vec<f64> = frames.iter().copied().map(f64::from).collect();
    let every = decorrelation_time(&series).unwrap();
    assert!((18..=26).contains(&every), "{every}");
    let lag_1 = autocorrelation(&thin(&series, every).copied().collect::<Vec<_>>(), 1).unwrap();
    assert!(lag_1 < 0.12, "{lag_1}");
    let reference = Reference::of(&thin(&frames, every).copied().collect::<Vec<_>>());
    let judged = |shift: f64, random: &mut Random| -> Vec<[Verdict; 2]> {
        let panes = stream(20 * 500, shift, random);
        panes
            .chunks(20)
            .map(|pane| {
                let units: Vec<f32> = thin(&pane.concat(), every).copied().collect();
                let figures = reference.figures(&units);
                [reference.judge_psi(&figures).verdict, reference.judge_ks(&figures).verdict]
            })
            .collect()
    };
    let good = judged(0.0, &mut random);
    at_most(ERROR, drifts(&good, 0), good.len(), "PSI of good panes");
    at_most(ERROR, drifts(&good, 1), good.len(), "KS of good panes");
    let dimmed = judged(1.5, &mut random);
    assert!(drifts(&dimmed, 0) > 490 && drifts(&dimmed, 1) > 490, "{} {}", drifts(&dimmed, 0), drifts(&dimmed, 1));
}

#[test]
fn all_frames_counted_as_fewer_are_judged_with_care() {
    let mut random = Random(15);
    // A reference without error, so that only the panes' dependence is seen.
    let reference = Reference::of(&(0..200_000).map(|_| random.normal() as f32).collect::<Vec<_>>());
    let mut drifted = |shift: f64| -> [usize; 2] {
        let judged: Vec<[Verdict; 2]> = stream(600 * 20, shift, &mut random)
            .chunks(20)
            .map(|pane| {
                let frames = pane.concat();
                let units = frames.len() as f64 * independent_share(0.9);
                let figures = Figures { units, ..reference.figures(&frames) };
                [reference.judge_psi(&figures).verdict, reference.judge_ks(&figures).verdict]
            })
            .collect();
        [drifts(&judged, 0), drifts(&judged, 1)]
    };
    // Moved so far, PSI over deciles is at its limit; KS is at its own a little further on.
    let [psi, _] = drifted(0.397);
    at_most(ERROR, psi, 600, "PSI at the limit");
    let [_, ks] = drifted(0.559);
    at_most(ERROR, ks, 600, "KS at the limit");
    let [psi, ks] = drifted(1.0);
    assert!(psi > 590 && ks > 500, "{psi} {ks}");
}
