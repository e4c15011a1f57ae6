//! Identities; values of scipy are compared in tests/golden.rs, through what is built on these.

use super::*;

#[track_caller]
fn close(found: f64, expected: f64, relative: f64) {
    assert!((found - expected).abs() <= relative * expected.abs(), "found {found:e}, expected {expected:e}");
}

#[test]
fn incomplete_gamma_is_known_at_its_edges() {
    close(gamma_upper(0.5, 50.0), libm::erfc(50_f64.sqrt()), 1e-12);
    close(gamma_lower(1.0, 1e-9), -(-1e-9_f64).exp_m1(), 1e-14);
    close(gamma_lower(1e6, 1e6) + gamma_upper(1e6, 1e6), 1.0, 1e-15);
    assert_eq!(gamma_lower(3.0, 0.0), 0.0);
}

#[test]
fn poisson_probabilities_sum_to_one() {
    let sum: f64 = (0..2_000).map(|k| poisson(f64::from(k), 1_000.0)).sum();
    close(sum, 1.0, 1e-13);
}

#[test]
fn beta_quantiles_invert_the_distribution() {
    for (a, b) in [(1.0, 1.0), (0.5, 30.0), (3.0, 1e7), (2e6, 5e6), (40.0, 2.0)] {
        for p in [1e-9, 0.005, 0.3, 0.5, 0.9] {
            let x = beta_quantile(Tail::Lower(p), a, b);
            close(beta_lower(x, a, b), p, 1e-6);
            let x = beta_quantile(Tail::Upper(p), a, b);
            close(beta_lower(1.0 - x, b, a), p, 1e-6);
        }
    }
}

#[test]
fn student_becomes_normal() {
    close(student_upper(2.5, 1e9), normal_upper(2.5), 1e-7);
    close(student_upper(1.0, 1.0), 0.25, 1e-14);
    close(student_upper(-1.0, 1.0), 0.75, 1e-14);
}
