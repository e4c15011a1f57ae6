use super::*;

#[track_caller]
fn close(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() <= 1e-12 * expected.abs(), "found {found}, expected {expected}");
}

/// R_i = i/100 and C_i = (i/100)^0.8 + 0.05.
fn powers() -> (Vec<f64>, Vec<f64>) {
    let reference: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
    let current = reference.iter().map(|r| r.powf(0.8) + 0.05).collect();
    (reference, current)
}

#[test]
fn reference_deciles_give_the_figure_computed_with_numpy() {
    let (reference, current) = powers();
    let binned = binned(&reference, &current, Binning::ReferenceQuantile(10)).unwrap();
    close(binned.psi(ZeroRule::default()), 0.163_814_305_291_321_1);
}

#[test]
fn sturges_union_gives_the_figure_of_evidently() {
    let (reference, current) = powers();
    let binned = binned(&reference, &current, Binning::SturgesUnion).unwrap();
    assert_eq!(binned.reference.len(), 9);
    close(binned.psi(ZeroRule::Evidently), 0.173_326_102_439_275_1);
}

#[test]
fn categories_give_the_figure_of_evidently() {
    let side = |counts: [usize; 4]| ["a", "b", "c", "d"].into_iter().zip(counts).flat_map(|(c, n)| vec![c; n]);
    let counts = categories(side([50, 30, 20, 0]), side([40, 30, 25, 5]));
    let (reference, current): (Vec<_>, Vec<_>) = counts.into_values().map(|[r, c]| (r, c)).unzip();
    close(of_bins(&reference, &current, ZeroRule::Evidently), 0.343_580_476_808_398_8);
}

#[test]
fn a_constant_is_seen_to_leave_its_value_either_way() {
    for moved in [0.9, 1.1] {
        let found = binned(&[1.0; 50], &[moved; 50], Binning::ReferenceQuantile(10)).unwrap();
        assert!(found.psi(ZeroRule::default()).unwrap() > 10.0);
    }
    let same = binned(&[1.0; 50], &[1.0; 70], Binning::ReferenceQuantile(10)).unwrap();
    assert_eq!(same.psi(ZeroRule::default()), Some(0.0));
}

#[test]
fn infinities_are_missing_to_evidently_and_end_values_to_us() {
    let reference: Vec<f64> = (0..30).map(f64::from).collect();
    let current = [f64::NEG_INFINITY, 3.0, 4.0, f64::NAN, f64::INFINITY];
    let theirs = binned(&reference, &current, Binning::SturgesUnion).unwrap();
    let ours = binned(&reference, &current, Binning::ReferenceQuantile(3)).unwrap();
    assert_eq!((theirs.missing, theirs.current.iter().sum::<f64>()), ([0, 3], 2.0));
    assert_eq!((ours.missing, ours.current), ([0, 1], vec![3.0, 0.0, 1.0]));
}

#[test]
fn nothing_finite_has_no_bins() {
    for binning in [Binning::ReferenceQuantile(10), Binning::SturgesUnion] {
        assert_eq!(binned(&[f64::NAN], &[1.0], binning), None);
        assert_eq!(binned(&[1.0], &[], binning).unwrap().psi(ZeroRule::default()), None);
    }
}

#[test]
fn debiasing_takes_off_what_chance_adds() {
    assert!((debiased(0.1, 10, 100.0, 100.0) + 0.08).abs() < 1e-15);
}

#[test]
fn pearson_is_chi_square_on_the_scale_of_psi() {
    let (a, b) = ([30.0, 50.0, 20.0], [60.0, 90.0, 50.0]);
    let found = pearson(&a, &b, 100.0, 200.0);
    let statistic = crate::chi_square::two_samples(&a, &b).unwrap().statistic;
    close(found, statistic * (1.0 / 100.0 + 1.0 / 200.0));
}
