//! Golden values by scipy 1.17, `scipy.stats.ks_2samp`; more of them in tests/golden.rs.

use super::*;

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs(), "found {found:e}, expected {expected:e}");
}

#[test]
fn small_samples_have_the_values_of_scipy() {
    let found = two_samples(&[0.1, 0.4, 0.7, 1.0, 1.3], &[0.2, 0.9, 1.1, 1.6, 1.8, 2.0]).unwrap();
    close(found.d, 0.5);
    close(found.p_exact(), 0.357_142_857_142_857_15);
    close(found.p_asymptotic(), 0.333_333_333_333_333_3);
}

#[test]
fn ties_count_once() {
    let found = two_samples(&[1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0], &[1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 5.0, 5.0]).unwrap();
    close(found.d, 0.357_142_857_142_857_15);
    close(found.p_exact(), 0.584_615_384_615_384_6);
}

#[test]
fn a_hundred_values_have_the_values_of_scipy() {
    let reference: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
    let current: Vec<f64> = reference.iter().map(|r| r.powf(0.8) + 0.05).collect();
    let found = two_samples(&reference, &current).unwrap();
    close(found.d, 0.14);
    close(found.p(), 0.281_941_629_808_247_9);
}

#[test]
fn ties_at_the_end_of_the_shorter_side_are_seen_whole() {
    // F(1) = 1, G(1) = 3/4.
    close(two_samples(&[0.0, 1.0], &[1.0, 1.0, 1.0, 2.0]).unwrap().d, 0.5);
    close(two_samples(&[1.0], &[1.0, 1.0, 1.0, 2.0]).unwrap().d, 0.25);
    close(two_samples(&[1.0, 1.0, 1.0, 2.0], &[1.0]).unwrap().d, 0.25);
}

#[test]
fn equal_samples_are_not_apart() {
    let found = two_samples(&[3.0, 1.0, f64::NAN, 2.0], &[1.0, 2.0, 3.0]).unwrap();
    assert_eq!((found.d, found.p_exact(), found.p_asymptotic()), (0.0, 1.0, 1.0));
}

#[test]
fn both_zeros_are_one_value_and_infinities_are_values() {
    assert_eq!(two_samples(&[-0.0], &[0.0]).unwrap().d, 0.0);
    assert_eq!(two_samples(&[f64::INFINITY], &[f64::NEG_INFINITY]).unwrap().d, 1.0);
}

#[test]
fn an_empty_side_has_no_distance() {
    assert_eq!(two_samples(&[], &[1.0]), None);
    assert_eq!(two_samples(&[f64::NAN], &[1.0]), None);
}

#[test]
fn the_exact_law_of_equal_sizes_has_a_closed_form() {
    // Gnedenko and Korolyuk: P(D >= n/n) = 2 / C(2n, n).
    close(Ks { d: 1.0, n: 10, m: 10 }.p_exact(), 2.0 / 184_756.0);
    // P(D >= h/n) = 2 (C(2n, n-h) - C(2n, n-2h) + ...) / C(2n, n), here n = 6 and h = 2.
    close(Ks { d: 2.0 / 6.0, n: 6, m: 6 }.p_exact(), 2.0 * (495.0 - 66.0 + 1.0) / 924.0);
}

#[test]
fn neighbouring_methods_agree_where_they_meet() {
    // n d^2 just below and above the switch from expansion to one-sided terms.
    for (n, tolerance) in [(141.0_f64, 5e-5), (1e4, 5e-6), (5e5, 5e-6)] {
        let at = |square: f64| kolmogorov_upper(n, (square / n).sqrt());
        let (below, above) = (at(2.2 - 1e-9), at(2.2 + 1e-9));
        assert!((below / above - 1.0).abs() < tolerance, "n {n}: {below:e} {above:e}");
    }
    // n just below and above the switch from the matrix to the expansion, by extrapolation in 1/n.
    let at = |n: f64| kolmogorov_upper(n, 1.0 / n.sqrt());
    assert!((2.0 * at(140.0) - at(139.0) - at(141.0)).abs() < 2e-6);
}

#[test]
fn large_samples_have_the_distance_of_a_full_merge() {
    let sample = |n: u32, step: u32, f: fn(f64) -> f64| -> Vec<f64> {
        (0..n).map(|i| f(f64::from(i.wrapping_mul(step) % n) / f64::from(n))).collect()
    };
    let cases = [
        (sample(100_000, 7_919, |x| x), sample(70_001, 104_729, |x| x.powf(1.001))),
        (sample(100_000, 7_919, |x| (x * 20.0).floor()), sample(50_000, 3, |x| (x * 21.0).floor())),
        (sample(100_000, 7_919, |x| (x - 0.5).recip()), sample(40, 7, |x| x)),
        (sample(40_000, 7, |x| x), sample(40_000, 11, |x| x)),
        (vec![1.0; 50_000], sample(50_000, 3, |x| 2.0 * x)),
    ];
    for (a, b) in cases {
        let found = two_samples(&a, &b).unwrap();
        let sorted = [&a, &b].map(|side| crate::order::ascending(side).into_owned());
        let share = |side: &[f64], to: f64| side.partition_point(|x| *x <= to) as f64 / side.len() as f64;
        let gaps = sorted.iter().flatten().map(|x| (share(&sorted[0], *x) - share(&sorted[1], *x)).abs());
        let full = gaps.fold(0.0, f64::max);
        assert!((found.d - full).abs() < 1e-14, "{} {full}", found.d);
    }
}

#[test]
fn sizes_of_zero_have_no_p_value() {
    let none = Ks { d: 0.5, n: 0, m: 3 };
    assert!(none.p_exact().is_nan() && none.p_asymptotic().is_nan());
}
