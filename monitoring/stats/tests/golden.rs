//! Against scipy, numpy and Evidently: golden.json holds what they said, golden.py asked them.

#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "in a test, a panic is the report")]

use serde::Deserialize;
use takt_stats::proportion::{self, Dispersion, Rate};
use takt_stats::psi::{self, Binning, ZeroRule};
use takt_stats::{chi_square, distance, ks, noncentral, quantile};

/// Where scipy computes exactly.
const EXACT: f64 = 1e-9;
/// Where scipy approximates.
const ASYMPTOTIC: f64 = 1e-6;
/// Sums of the same terms in another order.
const ROUNDING: f64 = 1e-12;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    made_with: String,
    distances: Vec<Distances>,
    ks_exact: Vec<KsExact>,
    kolmogorov: Vec<Kolmogorov>,
    categories: Vec<Categories>,
    noncentral: Vec<Noncentral>,
    rates: Vec<Rates>,
    falls: Vec<Fall>,
    quantiles: Quantiles,
}

#[derive(Deserialize)]
struct Distances {
    name: String,
    a: Vec<f64>,
    b: Vec<f64>,
    ks: f64,
    ks_p_exact: f64,
    ks_p_asymptotic: f64,
    wasserstein: f64,
    psi_sturges_union: f64,
    psi_reference_deciles: Option<f64>,
}

#[derive(Deserialize)]
struct KsExact {
    n: u64,
    m: u64,
    d: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Kolmogorov {
    n: f64,
    d: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Categories {
    reference: Vec<f64>,
    current: Vec<f64>,
    psi_evidently: f64,
    chi_square: f64,
    degrees: usize,
    p: f64,
    jensen_shannon: f64,
}

#[derive(Deserialize)]
struct Noncentral {
    degrees: f64,
    noncentrality: f64,
    p: f64,
    x: f64,
    cdf: f64,
}

#[derive(Deserialize)]
struct Rates {
    hits: u64,
    trials: u64,
    error: f64,
    interval: [f64; 2],
    lower: f64,
    upper: f64,
}

#[derive(Deserialize)]
struct Fall {
    periods: Vec<(u64, u64)>,
    before: (u64, u64),
    after: (u64, u64),
    factor: f64,
    statistic: f64,
    p_fall: f64,
}

#[derive(Deserialize)]
struct Quantiles {
    sorted: Vec<f64>,
    q: Vec<f64>,
    values: Vec<f64>,
}

fn golden() -> Golden {
    let golden: Golden = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert!(golden.made_with.contains("scipy 1.17"), "{}", golden.made_with);
    golden
}

#[track_caller]
fn close(found: f64, expected: f64, relative: f64, what: impl std::fmt::Display) {
    let apart = (found - expected).abs();
    assert!(
        apart <= relative * expected.abs() || apart <= 1e-300,
        "{what}: found {found:e}, expected {expected:e}, off by {:e}",
        apart / expected.abs()
    );
}

#[test]
fn distances_of_samples_agree() {
    for case in golden().distances {
        let Distances { name, a, b, .. } = &case;
        let found = ks::two_samples(a, b).unwrap();
        assert!((found.d - case.ks).abs() < 1e-15, "{name}: {} {}", found.d, case.ks);
        close(found.p_exact(), case.ks_p_exact, EXACT, format!("{name}, exact p"));
        close(found.p_asymptotic(), case.ks_p_asymptotic, ASYMPTOTIC, format!("{name}, asymptotic p"));
        close(distance::wasserstein(a, b).unwrap(), case.wasserstein, ROUNDING, format!("{name}, Wasserstein"));
        let sturges = psi::binned(a, b, Binning::SturgesUnion).unwrap().psi(ZeroRule::Evidently).unwrap();
        close(sturges, case.psi_sturges_union, ROUNDING, format!("{name}, Evidently's PSI"));
        if let Some(expected) = case.psi_reference_deciles {
            let deciles = psi::binned(a, b, Binning::ReferenceQuantile(10)).unwrap();
            close(
                deciles.psi(ZeroRule::Constant(1e-4)).unwrap(),
                expected,
                ROUNDING,
                format!("{name}, PSI of deciles"),
            );
        }
    }
}

#[test]
fn exact_p_values_agree() {
    for KsExact { n, m, d, p } in golden().ks_exact {
        close(ks::Ks { d, n, m }.p_exact(), p, EXACT, format!("{n} against {m}, D {d}"));
    }
}

#[test]
fn the_finite_kolmogorov_law_agrees() {
    for Kolmogorov { n, d, p } in golden().kolmogorov {
        close(ks::kolmogorov_upper(n, d), p, ASYMPTOTIC, format!("n {n}, D {d}"));
    }
}

#[test]
fn figures_of_categories_agree() {
    for case in golden().categories {
        let Categories { reference: r, current: c, .. } = &case;
        let test = chi_square::two_samples(r, c).unwrap();
        assert_eq!(test.degrees, case.degrees);
        close(test.statistic, case.chi_square, ROUNDING, "X^2");
        close(test.p, case.p, EXACT, "p of X^2");
        close(psi::of_bins(r, c, ZeroRule::Evidently).unwrap(), case.psi_evidently, ROUNDING, "Evidently's PSI");
        close(distance::jensen_shannon(r, c).unwrap(), case.jensen_shannon, ROUNDING, "Jensen-Shannon");
    }
}

#[test]
fn the_noncentral_chi_square_distribution_agrees() {
    for Noncentral { degrees, noncentrality, p, x, cdf } in golden().noncentral {
        let what = format!("degrees {degrees}, noncentrality {noncentrality}, p {p}");
        close(noncentral::cdf(x, degrees, noncentrality), cdf, EXACT, &what);
        close(noncentral::ppf(p, degrees, noncentrality), x, EXACT, &what);
    }
}

#[test]
fn bounds_of_rates_agree() {
    for case in golden().rates {
        let rate = Rate::new(case.hits, case.trials).unwrap();
        let what = format!("{} of {} at {}", case.hits, case.trials, 1.0 - case.error);
        let interval = proportion::interval(rate, 1.0 - case.error);
        close(interval.lower, case.interval[0], EXACT, &what);
        close(interval.upper, case.interval[1], EXACT, &what);
        close(proportion::lower_bound(rate, 1.0 - case.error), case.lower, EXACT, &what);
        close(proportion::upper_bound(rate, 1.0 - case.error), case.upper, EXACT, &what);
    }
}

#[test]
fn falls_against_old_dispersion_agree() {
    for case in golden().falls {
        let rate = |(hits, trials)| Rate::new(hits, trials).unwrap();
        let periods: Vec<Rate> = case.periods.iter().copied().map(rate).collect();
        let dispersion = Dispersion::estimate(&periods).unwrap_or(Dispersion::BINOMIAL);
        close(dispersion.factor(), case.factor, ROUNDING, "dispersion");
        let test = proportion::compare(rate(case.before), rate(case.after), dispersion);
        close(test.statistic, case.statistic, ROUNDING, "statistic");
        close(test.p_fall, case.p_fall, EXACT, "p of a fall");
    }
}

#[test]
fn quantiles_are_those_of_numpy_to_the_bit() {
    let Quantiles { sorted, q, values } = golden().quantiles;
    let found: Vec<f64> = q.into_iter().map(|q| quantile::of_sorted(&sorted, q).unwrap()).collect();
    assert_eq!(found, values);
}
