//! What holds for every sample: ties, constants, atoms, heavy tails, infinities.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use proptest::prelude::*;
use takt_stats::grid::{self, Edges};
use takt_stats::mix::{Station, reweight};
use takt_stats::psi::{self, Binning, ZeroRule};
use takt_stats::{distance, ks, noncentral, windows};

/// What sums of shares may be off by.
const ROUNDING: f64 = 1e-12;

/// One kind of value per sample, or a mix of kinds.
fn sample(sizes: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        4 => (-3_i8..4).prop_map(f32::from),
        4 => -1.0_f32..1.0,
        2 => Just(0.25_f32),
        2 => (-80.0_f32..80.0).prop_map(|x| x.signum() * x.abs().exp()),
        1 => prop_oneof![Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(f32::MAX), Just(-0.0_f32), Just(1e-45_f32)],
        1 => proptest::num::f32::ANY,
    ];
    let one_kind = prop_oneof![
        prop::collection::vec(-1.0_f32..1.0, sizes.clone()),
        prop::collection::vec((0_u8..6).prop_map(f32::from), sizes.clone()),
        (Just(7.5_f32), sizes.clone()).prop_map(|(value, n)| vec![value; n]),
    ];
    prop_oneof![prop::collection::vec(value, sizes), one_kind]
}

/// Counts per slot as the monitor counts; NaN in none.
fn count(values: &[f32], edges: &Edges) -> Vec<f64> {
    let mut counts = vec![0.0; edges.slots.len() + 1];
    for value in values.iter().filter(|value| !value.is_nan()) {
        counts[edges.slots.partition_point(|edge| edge <= value)] += 1.0;
    }
    counts
}

/// As `takt_artifact::profile::Grid` says it.
fn is_atom(edges: &Edges) -> impl Fn(usize) -> bool + '_ {
    |slot| slot > 0 && slot < edges.slots.len() && edges.slots[slot - 1].next_up() == edges.slots[slot]
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// `sup |F - G|` of weighted samples, by looking at every value.
fn weighted_distance(a: &[(f64, f64)], b: &[(f64, f64)]) -> f64 {
    let share = |side: &[(f64, f64)], to: f64| {
        let below: f64 = side.iter().filter(|(value, _)| *value <= to).map(|(_, weight)| weight).sum();
        below / side.iter().map(|(_, weight)| weight).sum::<f64>()
    };
    a.iter().chain(b).map(|(value, _)| (share(a, *value) - share(b, *value)).abs()).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn edges_increase_and_bins_are_runs_of_slots(values in sample(1..300), slots in 0_usize..60, bins in 0_usize..12) {
        let finite = values.iter().any(|value| value.is_finite());
        let found = grid::edges(&values, slots, bins);
        prop_assert_eq!(found.is_some(), finite);
        let Some(edges) = found else { return Ok(()) };
        prop_assert!(edges.slots.is_sorted_by(|a, b| a < b) && edges.slots.iter().all(|edge| edge.is_finite()));
        prop_assert!(!edges.slots.is_empty() && !edges.psi.is_empty());
        prop_assert!(edges.psi.is_sorted_by(|a, b| a < b) && edges.psi.iter().all(|edge| *edge < edges.slots.len()));
    }

    #[test]
    fn slots_other_than_atoms_hold_little_of_the_reference(values in sample(1..300), slots in 2_usize..60) {
        let values: Vec<f32> = values.into_iter().filter(|value| value.is_finite()).collect();
        let Some(edges) = grid::edges(&values, slots, 10) else { return Ok(()) };
        let atom = is_atom(&edges);
        for (slot, n) in count(&values, &edges).into_iter().enumerate() {
            // The largest finite number has no successor to bound its slot.
            let unbounded = slot == edges.slots.len() && edges.slots.last() == Some(&f32::MAX);
            prop_assert!(atom(slot) || unbounded || n * (slots as f64) < 2.0 * values.len() as f64, "slot {} of {:?}", slot, edges);
        }
    }

    #[test]
    fn the_ks_distance_lies_between_its_bounds(r in sample(1..250), c in sample(1..250), slots in 2_usize..60) {
        let (Some(edges), Some(exact)) = (grid::edges(&r, slots, 10), ks::two_samples(&wide(&r), &wide(&c))) else {
            return Ok(());
        };
        let (reference, current) = (count(&r, &edges), count(&c, &edges));
        let bounds = grid::ks_bounds(&reference, &current, is_atom(&edges)).unwrap();
        prop_assert!(bounds.lo <= exact.d + ROUNDING && exact.d <= bounds.hi + ROUNDING, "{:?} {}", bounds, exact.d);
        let total: f64 = reference.iter().sum();
        let atom = is_atom(&edges);
        let inside = reference.iter().enumerate().filter(|(slot, _)| !atom(*slot)).map(|(_, n)| n / total);
        prop_assert!(bounds.hi - bounds.lo <= inside.fold(0.0, f64::max) + ROUNDING);
    }

    #[test]
    fn the_bounds_hold_for_a_reweighted_reference(
        one in sample(1..60),
        other in sample(1..60),
        c in sample(1..60),
        weight in 0.0_f64..5.0,
    ) {
        let known = |side: &[f32]| side.iter().copied().filter(|value| !value.is_nan()).collect::<Vec<_>>();
        let (one, other, c) = (known(&one), known(&other), known(&c));
        let Some(edges) = grid::edges(&[one.clone(), other.clone()].concat(), 20, 10) else { return Ok(()) };
        if one.is_empty() || other.is_empty() || c.is_empty() {
            return Ok(());
        }
        let counts = [&one, &other].map(|side| count(side, &edges).into_iter().map(|n| n as u64).collect::<Vec<_>>());
        let station = |reference, current| Station { reference, units: 10.0, current };
        let mix = reweight(&[station(&counts[0], 1.0), station(&counts[1], weight)]).unwrap();
        let bounds = grid::ks_bounds(&mix.shares, &count(&c, &edges), is_atom(&edges)).unwrap();
        let weigh = |side: &[f32], weight: f64| -> Vec<(f64, f64)> {
            side.iter().map(|value| (f64::from(*value), weight / side.len() as f64)).collect()
        };
        let exact = weighted_distance(&[weigh(&one, 1.0), weigh(&other, weight)].concat(), &weigh(&c, 1.0));
        prop_assert!(bounds.lo <= exact + ROUNDING && exact <= bounds.hi + ROUNDING, "{:?} {}", bounds, exact);
    }

    #[test]
    fn psi_on_the_grid_is_psi_of_the_raw_values(r in sample(1..250), c in sample(1..250), slots in 2_usize..60, bins in 2_usize..12) {
        let Some(edges) = grid::edges(&r, slots, bins) else { return Ok(()) };
        let zero = ZeroRule::default();
        let on_grid = grid::psi(&count(&r, &edges), &count(&c, &edges), &edges.psi, zero);
        let raw = psi::binned(&wide(&r), &wide(&c), Binning::ReferenceQuantile(bins)).unwrap().psi(zero);
        prop_assert_eq!(on_grid.is_some(), raw.is_some());
        if let (Some(on_grid), Some(raw)) = (on_grid, raw) {
            prop_assert!((on_grid - raw).abs() <= ROUNDING * raw.abs(), "{} {}", on_grid, raw);
            prop_assert!(on_grid >= 0.0);
        }
    }

    #[test]
    fn psi_of_a_sample_with_itself_is_zero(r in sample(1..100), bins in 2_usize..12) {
        if let Some(binned) = psi::binned(&wide(&r), &wide(&r), Binning::ReferenceQuantile(bins)) {
            prop_assert_eq!(binned.psi(ZeroRule::default()), Some(0.0));
        }
    }

    #[test]
    fn merging_counters_is_commutative_and_associative(
        panes in prop::collection::vec(prop::collection::vec(prop_oneof![0_u64..1_000, Just(u64::MAX)], 5), 3),
    ) {
        let merged = |sides: &[&[u64]]| {
            let mut sum = vec![0; 5];
            sides.iter().for_each(|side| assert!(windows::merge(&mut sum, side)));
            sum
        };
        let [a, b, c] = &panes[..] else { unreachable!("three panes were drawn") };
        prop_assert_eq!(merged(&[a, b]), merged(&[b, a]));
        prop_assert_eq!(merged(&[&merged(&[a, b]), c]), merged(&[a, &merged(&[b, c])]));
    }

    #[test]
    fn merged_counts_give_the_figures_of_the_merged_samples(r in sample(2..200), c in sample(2..200), at in 0.0_f64..1.0) {
        let Some(edges) = grid::edges(&r, 40, 10) else { return Ok(()) };
        let whole = |values: &[f32]| count(values, &edges).into_iter().map(|n| n as u64).collect::<Vec<_>>();
        let (first, second) = c.split_at((at * c.len() as f64) as usize);
        let mut merged = whole(first);
        prop_assert!(windows::merge(&mut merged, &whole(second)));
        prop_assert_eq!(merged, whole(&c));
    }

    #[test]
    fn the_ks_distance_is_symmetric_and_at_most_one(a in sample(1..80), b in sample(1..80)) {
        if let (Some(there), Some(back)) = (ks::two_samples(&wide(&a), &wide(&b)), ks::two_samples(&wide(&b), &wide(&a))) {
            prop_assert_eq!(there.d, back.d);
            prop_assert!((0.0..=1.0).contains(&there.d));
            let (p, q) = (there.p_exact(), back.p_exact());
            prop_assert!((p - q).abs() <= 1e-11 * p && (0.0..=1.0 + ROUNDING).contains(&p), "{} {}", p, q);
        }
    }

    #[test]
    fn the_ks_distance_is_the_largest_gap_between_shares(a in sample(1..60), b in sample(1..60)) {
        let weigh = |side: &[f32]| -> Vec<(f64, f64)> {
            side.iter().filter(|value| !value.is_nan()).map(|value| (f64::from(*value), 1.0)).collect()
        };
        if let Some(found) = ks::two_samples(&wide(&a), &wide(&b)) {
            prop_assert!((found.d - weighted_distance(&weigh(&a), &weigh(&b))).abs() <= ROUNDING);
        }
    }

    #[test]
    fn wasserstein_is_a_distance(a in prop::collection::vec(-9.0_f64..9.0, 1..40), b in prop::collection::vec(-9.0_f64..9.0, 1..40), c in prop::collection::vec(-9.0_f64..9.0, 1..40)) {
        let apart = |x: &[f64], y: &[f64]| distance::wasserstein(x, y).unwrap();
        prop_assert!((apart(&a, &b) - apart(&b, &a)).abs() <= ROUNDING * 10.0);
        prop_assert!(apart(&a, &c) <= apart(&a, &b) + apart(&b, &c) + ROUNDING * 10.0);
        prop_assert!(apart(&a, &a) == 0.0);
    }

    #[test]
    fn noncentral_quantiles_invert_the_distribution(degrees in 1.0_f64..60.0, noncentrality in 0.0_f64..5_000.0, p in 0.001_f64..0.999) {
        let x = noncentral::ppf(p, degrees, noncentrality);
        prop_assert!((noncentral::cdf(x, degrees, noncentrality) - p).abs() < 1e-10);
    }
}
