//! Formulas against their definitions; what they promise is in tests/simulation/.

use super::stations::Block;
use super::*;

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-10 * (1.0 + expected.abs()), "found {found}, expected {expected}");
}

/// The attribution e-process as it is defined, event by event.
fn by_definition(ratio: f64, events: &[(f64, bool)]) -> f64 {
    let q = |rho: f64, r: f64| rho * r / (1.0 - rho + rho * r);
    let product = |times: f64| -> f64 {
        let factor = |&(rho, canary): &(f64, bool)| {
            let (at_border, beyond) = (q(rho, ratio), q(rho, ratio * times));
            if canary { beyond / at_border } else { (1.0 - beyond) / (1.0 - at_border) }
        };
        events.iter().map(factor).product()
    };
    WORSE.iter().map(|times| product(*times)).sum::<f64>() / WORSE.len() as f64
}

fn one(canary: bool) -> Failures {
    Failures { stable: u64::from(!canary), canary: u64::from(canary) }
}

#[test]
fn restarts_from_every_step_are_summed_exactly() {
    let events: Vec<(f64, bool)> = (0..60).map(|i| (if i < 30 { 0.05 } else { 0.2 }, i % 7 == 0 || i > 50)).collect();
    let mut test = Attribution::worse(1.0);
    for (rho, canary) in &events {
        test.observe(*rho, one(*canary));
    }
    let weight = |j: usize| 6.0 / (std::f64::consts::PI.powi(2) * (j * j) as f64);
    let started: f64 = (1..=60).map(|j| weight(j) * by_definition(1.0, &events[j - 1..])).sum();
    let unspent = 1.0 - (1..=60).map(weight).sum::<f64>();
    close(test.ln_e(), (started + unspent).ln());
}

#[test]
fn nothing_is_compared_where_only_one_version_served() {
    let mut test = Attribution::worse(1.0);
    for rho in [0.0, 1.0, -1.0, 2.0, f64::NAN, f64::INFINITY] {
        test.observe(rho, Failures { stable: 3, canary: 9 });
    }
    assert_eq!(test, Attribution::worse(1.0));
}

#[test]
fn acceptance_mirrors_rejection() {
    // The canary at rho against a margin of 1 is stable at 1 - rho.
    let mut accept = Attribution::acceptable(1.0);
    accept.observe(0.3, Failures { stable: 7, canary: 1 });
    let product = |times: f64| (0.3 / times / (0.7 + 0.3 / times)) / 0.3 * (1.0 / (0.7 + 0.3 / times)).powi(7);
    close(accept.ln_e(), (WORSE.iter().map(|times| product(*times)).sum::<f64>() / 6.0).ln());
}

#[test]
fn values_of_zero_and_one_are_counts() {
    for make in [BoundedMean::above, BoundedMean::below] {
        let (mut one_by_one, mut at_once) = (make(0.02), make(0.02));
        (0..40).for_each(|i| one_by_one.observe(f64::from(u8::from(i % 10 == 0))));
        at_once.observe_counts(40, 4);
        close(one_by_one.ln_e(), at_once.ln_e());
    }
}

#[test]
fn a_clean_record_is_accepted_after_the_units_it_needs() {
    let mut test = BoundedMean::below(0.02);
    let units = (1..).find(|_| {
        test.observe(0.0);
        test.ln_e() >= 20_f64.ln()
    });
    // ln 20 / ln(1 + d) = 151 is what the boldest bet would need; a mean over four alternatives pays for not knowing.
    assert!((151..300).contains(&units.unwrap()), "{units:?}");
}

#[test]
fn mcnemar_is_the_formula() {
    let mut test = McNemar::worse(0.1);
    for wrong in [true, true, false, true] {
        assert!(test.observe(wrong, 0.1));
    }
    let product = |p: f64| (2.0 * p).powi(3) * 2.0 * (1.0 - p);
    let mean = [0.55, 0.6, 0.7, 0.8, 0.9].into_iter().map(product).sum::<f64>() / 5.0;
    close(test.ln_e(), mean.ln());
    assert!(!test.observe(true, 0.05) && !test.observe(true, f64::NAN) && !test.observe(true, 1.1));
    close(test.ln_e(), mean.ln());
}

#[test]
fn a_draw_of_one_station_is_the_draw_of_each_alone_when_others_are_empty() {
    let (bad, quiet) = (Block { bad: 9, expected: 2.0 }, Block { bad: 2, expected: 2.0 });
    let mut drawn = Stations::worse(Law::Poisson);
    drawn.observe_drawn(&[bad], &[quiet]);
    let factor = |r: f64| {
        let b = |block: Block| r.powi(block.bad as i32) * (-block.expected * (r - 1.0)).exp();
        0.1 + 0.9 * b(bad) / ((b(bad) + b(quiet)) / 2.0)
    };
    let first = 6.0 / std::f64::consts::PI.powi(2);
    let mean = WORSE.iter().map(|r| factor(*r)).sum::<f64>() / 6.0;
    close(drawn.ln_e(), (first * mean + 1.0 - first).ln());
}

#[test]
fn averaged_over_all_draws_evidence_is_one() {
    let blocks = [(9, 2.0), (0, 1.0), (4, 4.0), (1, 0.0)].map(|(bad, expected)| Block { bad, expected });
    for law in [Law::Poisson, Law::NegativeBinomial { size: 1.5 }] {
        let mut sum = 0.0;
        for i in 0..4 {
            for j in 0..i {
                let drawn = |k: &usize| *k == i || *k == j;
                let (canary, stable): (Vec<usize>, Vec<usize>) = (0..4).partition(drawn);
                let of = |which: Vec<usize>| which.into_iter().map(|k| blocks[k]).collect::<Vec<_>>();
                let mut test = Stations::worse(law);
                test.observe_drawn(&of(canary), &of(stable));
                sum += test.ln_e().exp();
            }
        }
        close(sum / 6.0, 1.0);
    }
    let mut alone = [Stations::acceptable(Law::Poisson), Stations::acceptable(Law::Poisson)];
    alone[0].observe_alone(0.3, true, blocks[0]);
    alone[1].observe_alone(0.3, false, blocks[0]);
    close(0.3 * alone[0].ln_e().exp() + 0.7 * alone[1].ln_e().exp(), 1.0);
}

#[test]
fn a_large_size_scatters_like_poisson() {
    let block = Block { bad: 7, expected: 3.0 };
    let evidence = |law| {
        let mut test = Stations::worse(law);
        test.observe_alone(0.2, true, block);
        test.ln_e()
    };
    assert!((evidence(Law::NegativeBinomial { size: 1e9 }) - evidence(Law::Poisson)).abs() < 1e-6);
    assert!(evidence(Law::NegativeBinomial { size: 0.5 }) < evidence(Law::Poisson));
}

#[test]
fn thinning_keeps_the_share_it_is_told() {
    let mut state = 0_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let kept = thin(100_000, 0.5, &mut uniform);
    assert!((49_000..51_000).contains(&kept), "{kept}");
    assert_eq!((thin(9, 1.0, &mut uniform), thin(9, 0.0, &mut uniform)), (9, 0));
}

#[test]
fn the_band_of_howard_and_ramdas_is_the_formula() {
    close(dkw::radius(1_000, 0.05), 0.85 * ((7.907_755_278_982_137_f64.ln() + 0.8 * 32_240_f64.ln()) / 1_000.0).sqrt());
    assert_eq!((dkw::radius(0, 0.05), dkw::radius(1, 0.05)), (1.0, 1.0));
    assert_eq!(dkw::band(&[1, 2], &[1, 2, 3], 0.05), None);
    assert_eq!(dkw::band(&[0, 0], &[1, 2], 0.05), None);
    let band = dkw::band(&[5_000, 5_000], &[9_000, 1_000], 0.05).unwrap();
    close(band.distance, 0.4);
    assert!(band.lower > 0.3 && band.upper < 0.5);
}

#[test]
fn alpha_is_a_probability_and_splits() {
    for bad in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
        assert!(Alpha::new(bad).is_err(), "{bad}");
    }
    close(Alpha::ONE_IN_TWENTY.ln_threshold(), 20_f64.ln());
    close(Alpha::ONE_IN_TWENTY.split(3).ln_threshold(), 60_f64.ln());
}
