use super::*;
use crate::grid::KsBounds;

fn evidence(psi: f64, m: f64) -> PsiEvidence {
    PsiEvidence { psi, pearson: psi, bins: 10, n: 100_000.0, m }
}

#[test]
fn psi_is_judged_by_the_noncentral_quantiles() {
    let judged = psi(&evidence(0.15, 1_000.0), 0.15, ERROR);
    // scipy: s = 1/1e5 + 1/1e3; s * ncx2.ppf([.01, .99], 9, .15 / s)
    assert!((judged.ok_to - 0.105_469_071_406_094_85).abs() < 1e-12, "{judged:?}");
    assert!((judged.drift_from - 0.221_544_296_938_723_13).abs() < 1e-12, "{judged:?}");
    assert_eq!((judged.verdict, judged.reason), (Verdict::Undetermined, Reason::BetweenBounds));
    assert_eq!(psi(&evidence(0.23, 1_000.0), 0.15, ERROR).verdict, Verdict::Drift);
    assert_eq!(psi(&evidence(0.10, 1_000.0), 0.15, ERROR).verdict, Verdict::Ok);
}

#[test]
fn few_observations_need_pearson_and_very_few_are_not_judged() {
    let alone = PsiEvidence { pearson: 0.2, ..evidence(0.9, 100.0) };
    assert_eq!(psi(&alone, 0.15, ERROR).reason, Reason::PearsonDisagrees);
    assert_eq!(psi(&PsiEvidence { m: 200.0, ..alone }, 0.15, ERROR).reason, Reason::AboveBound);
    assert_eq!(psi(&evidence(0.9, 100.0), 0.15, ERROR).reason, Reason::AboveBound);
    assert_eq!(psi(&evidence(9.0, 49.0), 0.15, ERROR).reason, Reason::TooFewObservations);
    assert_eq!(psi(&evidence(f64::NAN, 500.0), 0.15, ERROR).reason, Reason::TooFewObservations);
}

#[test]
fn ks_needs_the_limit_plus_sampling_error() {
    let at = |d: f64| ks(KsBounds { lo: d, hi: d + 0.001 }, 1e6, 10_000.0, 0.22, ERROR);
    let eps = at(0.0).drift_from - 0.22;
    assert!((eps - 0.017_903_9).abs() < 1e-6, "{eps}");
    assert_eq!(at(0.22 + eps + 1e-6).verdict, Verdict::Drift);
    assert_eq!(at(0.22).verdict, Verdict::Undetermined);
    assert_eq!(at(0.22 - eps - 0.0011).verdict, Verdict::Ok);
    assert_eq!(ks(KsBounds { lo: 1.0, hi: 1.0 }, 1e6, 2.0, 0.22, ERROR).reason, Reason::TooFewObservations);
    assert_eq!(ks(KsBounds { lo: 1.0, hi: 1.0 }, 1e6, 0.0, 0.22, ERROR).reason, Reason::TooFewObservations);
}

#[test]
fn null_panes_excuse_what_the_reference_does_too() {
    assert_eq!(by_null_panes(0.3, 0.004, 0.15, ERROR).verdict, Verdict::Drift);
    assert_eq!(by_null_panes(0.3, 0.2, 0.15, ERROR).reason, Reason::SeenInReference);
    assert_eq!(by_null_panes(0.1, 0.004, 0.15, ERROR).verdict, Verdict::Ok);
    assert_eq!(by_null_panes(f64::NAN, 0.004, 0.15, ERROR).reason, Reason::TooFewObservations);
}
