//! What holds for every history of evidence.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use takt_stats::sequential::{
    Alpha, Attribution, Block, BoundedMean, Failures, Law, McNemar, Stations, dkw, ln_mean, thin,
};

/// What sums of logarithms may be off by.
const ROUNDING: f64 = 1e-9;

#[derive(Debug, Clone, Copy)]
struct Step {
    rho: f64,
    stable: u64,
    canary: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = prop_oneof![0_u64..20, Just(0), any::<u64>()];
    let rho = prop_oneof![0.001_f64..0.999, Just(0.0), Just(1.0), Just(1e-300), proptest::num::f64::ANY];
    let step = (rho, any.clone(), any).prop_map(|(rho, stable, canary)| Step { rho, stable, canary });
    prop::collection::vec(step, 0..40)
}

fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0_f64..=1.0, 1 => Just(0.0), 1 => Just(1.0), 1 => proptest::num::f64::ANY]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn attribution_stays_a_number_and_continues_from_the_disk(steps in steps(), stop in 0_usize..40, border in value()) {
        for make in [Attribution::worse, Attribution::acceptable] {
            let mut through = make(10.0 * border);
            let mut stored = through.clone();
            for (i, step) in steps.iter().enumerate() {
                let failures = Failures { stable: step.stable, canary: step.canary };
                through.observe(step.rho, failures);
                stored.observe(step.rho, failures);
                if i == stop {
                    stored = again(&stored);
                }
                prop_assert!(through.ln_e().is_finite(), "{:?}", through);
            }
            prop_assert_eq!(stored, through);
        }
    }

    #[test]
    fn failures_of_one_version_count_the_same_one_by_one_and_at_once(rho in 0.01_f64..0.99, stable in 0_u64..30, canary in 0_u64..30) {
        let mut at_once = Attribution::acceptable(2.0);
        at_once.observe(rho, Failures { stable, canary });
        let mut one_by_one = Attribution::acceptable(2.0);
        for i in 0..stable + canary {
            let canary = i >= stable;
            one_by_one.observe(rho, Failures { stable: u64::from(!canary), canary: u64::from(canary) });
        }
        prop_assert!((at_once.ln_e() - one_by_one.ln_e()).abs() <= ROUNDING * (1.0 + at_once.ln_e().abs()));
    }

    #[test]
    fn one_more_canary_failure_is_never_evidence_for_it(rho in 0.01_f64..0.99, stable in 0_u64..30, canary in 0_u64..30) {
        let evidence = |make: fn(f64) -> Attribution, canary| {
            let mut test = make(1.5);
            test.observe(rho, Failures { stable, canary });
            test.ln_e()
        };
        prop_assert!(evidence(Attribution::worse, canary + 1) >= evidence(Attribution::worse, canary));
        prop_assert!(evidence(Attribution::acceptable, canary + 1) <= evidence(Attribution::acceptable, canary));
    }

    #[test]
    fn a_bounded_mean_stays_a_number_and_continues_from_the_disk(
        limit in value(), values in prop::collection::vec((value(), value()), 0..60), counts in any::<(u64, u64)>(), stop in 0_usize..60
    ) {
        for fresh in [BoundedMean::above(limit), BoundedMean::below(limit), BoundedMean::above(limit).restarting()] {
            let (mut through, mut stored) = (fresh.clone(), fresh);
            for (i, (value, scale)) in values.iter().enumerate() {
                through.observe_scaled(*value, *scale);
                stored.observe_scaled(*value, *scale);
                if i == stop {
                    stored = again(&stored);
                }
            }
            prop_assert_eq!(&stored, &through);
            through.observe_counts(counts.0, counts.1);
            prop_assert!(through.ln_e().is_finite(), "{:?}", through);
        }
    }

    #[test]
    fn the_order_of_units_makes_no_difference_without_restarts(values in prop::collection::vec(0.0_f64..=1.0, 0..40), limit in 0.01_f64..0.5) {
        let evidence = |values: &mut dyn Iterator<Item = &f64>| {
            let mut test = BoundedMean::above(limit);
            values.for_each(|value| test.observe(*value));
            test.ln_e()
        };
        let (there, back) = (evidence(&mut values.iter()), evidence(&mut values.iter().rev()));
        prop_assert!((there - back).abs() <= ROUNDING * (1.0 + there.abs()));
    }

    #[test]
    fn restarting_never_costs_more_than_the_weight_of_the_first(values in prop::collection::vec(0.0_f64..=1.0, 1..60)) {
        let (mut plain, mut restarting) = (BoundedMean::above(0.1), BoundedMean::above(0.1).restarting());
        for value in values {
            plain.observe(value);
            restarting.observe(value);
            prop_assert!(restarting.ln_e() >= plain.ln_e() + (6.0 / std::f64::consts::PI.powi(2)).ln() - ROUNDING);
        }
    }

    #[test]
    fn stations_stay_a_number_and_continue_from_the_disk(
        epochs in prop::collection::vec((prop::collection::vec((any::<u64>(), value()), 0..6), prop::collection::vec((0_u64..9, 0.0_f64..9.0), 0..6), value()), 0..10),
        size in value(),
    ) {
        let block = |(bad, expected): &(u64, f64)| Block { bad: *bad, expected: *expected };
        for fresh in [Stations::worse(Law::Poisson), Stations::acceptable(Law::NegativeBinomial { size })] {
            let (mut through, mut stored) = (fresh.clone(), fresh);
            for (canary, stable, drawn) in &epochs {
                let canary: Vec<Block> = canary.iter().map(block).collect();
                let stable: Vec<Block> = stable.iter().map(block).collect();
                for test in [&mut through, &mut stored] {
                    test.observe_drawn(&canary, &stable);
                    canary.iter().for_each(|block| test.observe_alone(*drawn, true, *block));
                }
                stored = again(&stored);
                prop_assert!(through.ln_e().is_finite(), "{:?}", through);
            }
            prop_assert_eq!(stored, through);
        }
    }

    #[test]
    fn labels_stay_a_number_and_continue_from_the_disk(least in value(), margin in value(), pairs in prop::collection::vec((any::<bool>(), value()), 0..60)) {
        for fresh in [McNemar::worse(least), McNemar::acceptable(margin, least)] {
            let (mut through, mut stored) = (fresh.clone(), fresh);
            for (wrong, inspected) in &pairs {
                prop_assert_eq!(through.observe(*wrong, *inspected), stored.observe(*wrong, *inspected));
                stored = again(&stored);
                prop_assert!(through.ln_e().is_finite());
            }
            prop_assert_eq!(stored, through);
        }
    }

    #[test]
    fn bands_shrink_and_hold_what_was_seen(a in prop::collection::vec(0_u64..1_000, 1..20), b in prop::collection::vec(0_u64..1_000, 1..20), alpha in 0.001_f64..0.5) {
        if let Some(band) = dkw::band(&a, &b, alpha) {
            prop_assert!(0.0 <= band.lower && band.lower <= band.distance && band.distance <= band.upper && band.upper <= 1.0);
        }
        prop_assert!(dkw::radius(1_000, alpha) > dkw::radius(2_000, alpha));
        prop_assert!(dkw::radius(1_000, alpha) > dkw::radius(1_000, alpha.sqrt()));
    }

    #[test]
    fn a_mean_lies_between_what_it_is_of(values in prop::collection::vec(-1e6_f64..1e6, 1..20)) {
        let mean = ln_mean(&values);
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
        prop_assert!(low - 1e-6 <= mean && mean <= high + 1e-6);
    }

    #[test]
    fn thinning_gives_no_more_than_there_was(count in prop_oneof![0_u64..200, Just(u64::MAX)], keep in value(), random in prop::collection::vec(0.0_f64..1.0, 1..10)) {
        let mut random = random.into_iter().cycle();
        prop_assert!(thin(count, keep, || random.next().unwrap_or_default()) <= count);
    }
}

#[test]
fn an_alpha_that_is_no_probability_is_not_read() {
    for bad in ["0", "1", "-0.05", "1.5", "\"x\""] {
        assert!(serde_json::from_str::<Alpha>(bad).is_err(), "{bad}");
    }
    assert_eq!(again(&Alpha::ONE_IN_TWENTY), Alpha::ONE_IN_TWENTY);
}
