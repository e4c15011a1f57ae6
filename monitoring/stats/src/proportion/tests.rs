//! Golden values: scipy 1.17, `scipy.stats.binomtest(k, n).proportion_ci(c)` and `scipy.stats.beta`.

use super::*;

fn rate(hits: u64, trials: u64) -> Rate {
    Rate::new(hits, trials).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-11 * expected.abs(), "found {found}, expected {expected}");
}

#[test]
fn no_hit_is_bounded_by_the_closed_form() {
    close(upper_bound(rate(0, 300), 0.95), 1.0 - 0.05_f64.powf(1.0 / 300.0));
    assert_eq!(lower_bound(rate(0, 300), 0.95), 0.0);
    assert_eq!(upper_bound(rate(300, 300), 0.95), 1.0);
    close(lower_bound(rate(300, 300), 0.95), 0.05_f64.powf(1.0 / 300.0));
}

#[test]
fn impossible_rates_are_refused() {
    assert_eq!(Rate::new(0, 0), None);
    assert_eq!(Rate::new(2, 1), None);
}

#[test]
fn a_single_old_period_tells_no_dispersion() {
    assert_eq!(Dispersion::estimate(&[rate(10, 100)]), None);
    assert_eq!(Dispersion::estimate(&[rate(0, 100), rate(0, 50)]), None);
}

#[test]
fn dispersion_makes_a_fall_less_sure() {
    let (before, after) = (rate(600, 6_000), rate(500, 6_000));
    let history = [rate(600, 6_000), rate(700, 6_000), rate(520, 6_000), rate(640, 6_000), rate(450, 6_000)];
    let dispersion = Dispersion::estimate(&history).unwrap();
    assert!(dispersion.factor() > 10.0);
    let (sure, unsure) = (compare(before, after, Dispersion::BINOMIAL), compare(before, after, dispersion));
    assert!(sure.p_fall < 0.001 && unsure.p_fall > 0.05, "{sure:?} {unsure:?}");
    close(sure.p_fall + sure.p_rise, 1.0);
    assert!((unsure.relative + 1.0 / 6.0).abs() < 1e-12);
}

#[test]
fn equal_rates_do_not_differ_even_at_the_edges() {
    let same = compare(rate(0, 10), rate(0, 20), Dispersion::BINOMIAL);
    assert_eq!((same.statistic, same.p_two_sided()), (0.0, 1.0));
}

#[test]
fn equal_weights_are_worth_their_number() {
    assert_eq!(effective_size(&[2.0; 7]), 7.0);
    assert_eq!(effective_size(&[1.0, 0.0]), 1.0);
    assert_eq!(effective_size(&[]), 0.0);
}
