use proptest::prelude::*;

use super::*;

const DIMENSIONS: [&str; 3] = ["camera", "shift", "class"];

fn row<M>(elements: [&str; 3], measure: M) -> Row<M> {
    Row { elements: elements.map(str::to_owned).to_vec(), measure }
}

/// Every combination of three cameras, two shifts and two classes.
fn leaves() -> impl Iterator<Item = [&'static str; 3]> {
    ["c1", "c2", "c3"].into_iter().flat_map(|camera| {
        ["day", "night"]
            .into_iter()
            .flat_map(move |shift| ["dent", "scratch"].into_iter().map(move |class| [camera, shift, class]))
    })
}

fn sums(actual: impl Fn([&str; 3]) -> f64) -> Vec<Row<Sum>> {
    leaves().map(|elements| row(elements, Sum { forecast: 100.0, actual: actual(elements) })).collect()
}

fn explain_sums(rows: &[Row<Sum>]) -> Vec<adtributor::Cause> {
    adtributor::explain(&Table::new(&DIMENSIONS, rows).unwrap(), &adtributor::Options::default())
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-12, "found {found}, expected {expected}");
}

/// Computed with the authors' formulas in Python.
#[test]
fn the_element_that_fell_is_named_with_its_surprise_and_its_power() {
    let causes = explain_sums(&sums(|[camera, ..]| if camera == "c2" { 40.0 } else { 98.0 }));
    assert!(causes[1..].iter().all(|cause| cause.surprise == 0.0), "{causes:?}");
    let [element] = &causes[0].elements[..] else { panic!("{causes:?}") };
    assert_eq!((causes[0].dimension.as_str(), element.element.as_str()), ("camera", "c2"));
    close(element.surprise, 0.013593482497109621);
    close(element.explanatory_power, 0.9375);
}

#[test]
fn elements_that_fell_alike_do_not_surprise() {
    let causes = explain_sums(&sums(|[_, shift, _]| if shift == "night" { 30.0 } else { 100.0 }));
    assert_eq!((causes[0].dimension.as_str(), causes[0].elements[0].element.as_str()), ("shift", "night"));
    let class = causes.iter().find(|cause| cause.dimension == "class").unwrap();
    close(class.surprise, 0.0);
}

#[test]
fn nothing_is_named_where_nothing_changed() {
    assert_eq!(explain_sums(&sums(|_| 100.0)), []);
    let table = Table::new(&DIMENSIONS, &sums(|_| 100.0)).unwrap();
    assert_eq!(riskloc::explain(&table, &riskloc::Options::default()), []);
    assert_eq!(explain_sums(&[]), []);
}

#[test]
fn a_rate_that_fell_on_one_camera_is_found_although_its_counts_hardly_did() {
    let inspected = |camera: &str| if camera == "c3" { 5000.0 } else { 1000.0 };
    let rows: Vec<_> = leaves()
        .map(|elements| {
            let denominator = inspected(elements[0]);
            let rate = if elements[0] == "c2" { 0.02 } else { 0.1 };
            let forecast = Quotient { numerator: denominator * 0.1, denominator };
            row(elements, Ratio { forecast, actual: Quotient { numerator: denominator * rate, denominator } })
        })
        .collect();
    let causes = adtributor::explain(&Table::new(&DIMENSIONS, &rows).unwrap(), &adtributor::Options::default());
    assert_eq!((causes[0].dimension.as_str(), causes[0].elements[0].element.as_str()), ("camera", "c2"));
    close(causes[0].explanatory_power, 1.0);
}

/// By hand. Forecast 30 of 300; c1 and c3 stay at 10 of 100, c2 goes to 5 of 50, so the total stays at a tenth; c4 comes
/// with 10 of 50. (change1 F2 - change2 F1) / (F2 (F2 + change2)): c2 (-5 x 300 + 50 x 30) = 0, c4 (10 x 300 - 50 x 30)
/// / (300 x 350) = 1/70, all there is.
#[test]
fn a_change_of_volume_alone_explains_nothing_of_a_rate() {
    let quotient = |numerator, denominator| Quotient { numerator, denominator };
    let cells = [
        ("c1", quotient(10.0, 100.0), quotient(10.0, 100.0)),
        ("c2", quotient(10.0, 100.0), quotient(5.0, 50.0)),
        ("c3", quotient(10.0, 100.0), quotient(10.0, 100.0)),
        ("c4", quotient(0.0, 0.0), quotient(10.0, 50.0)),
    ];
    let rows = cells.map(|(camera, forecast, actual)| row([camera, "day", "dent"], Ratio { forecast, actual }));
    let causes = adtributor::explain(&Table::new(&DIMENSIONS, &rows).unwrap(), &adtributor::Options::default());
    let camera = causes.iter().find(|cause| cause.dimension == "camera").unwrap();
    assert_eq!(camera.elements.iter().map(|element| element.element.as_str()).collect::<Vec<_>>(), ["c4"]);
    close(camera.explanatory_power, 1.0);
}

#[test]
fn what_replaced_everything_explains_the_change() {
    let quotient = |numerator, denominator| Quotient { numerator, denominator };
    let rows = [
        row(["c1", "day", "dent"], Ratio { forecast: quotient(10.0, 100.0), actual: quotient(0.0, 0.0) }),
        row(["c2", "day", "dent"], Ratio { forecast: quotient(0.0, 0.0), actual: quotient(20.0, 100.0) }),
    ];
    let causes = adtributor::explain(&Table::new(&DIMENSIONS, &rows).unwrap(), &adtributor::Options::default());
    assert_eq!((causes[0].dimension.as_str(), causes[0].elements[0].element.as_str()), ("camera", "c2"));
    close(causes[0].explanatory_power, 1.0);
}

#[test]
fn a_rate_without_anything_before_or_after_is_not_explained() {
    let quotient = |numerator, denominator| Quotient { numerator, denominator };
    for (forecast, actual) in [(quotient(0.0, 0.0), quotient(5.0, 9.0)), (quotient(5.0, 9.0), quotient(0.0, 0.0))] {
        let table = Table::new(&DIMENSIONS, &[row(["c1", "day", "dent"], Ratio { forecast, actual })]).unwrap();
        assert_eq!(adtributor::explain(&table, &adtributor::Options::default()), []);
    }
}

#[test]
fn tables_without_sense_are_refused_with_the_row() {
    let rows = sums(|_| 1.0);
    assert_eq!(Table::new(&[], &rows).unwrap_err(), CauseError::Dimensions { found: 0 });
    assert_eq!(Table::new(&["a", "b", "a"], &rows).unwrap_err(), CauseError::Twice { name: "a".to_owned() });
    let error = Table::new(&["a", "b"], &rows).unwrap_err();
    assert_eq!(error.to_string(), "row 0: found 3 elements, expected 2, one per dimension");
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let mut rows = rows.clone();
        rows[3].measure.actual = bad;
        assert_eq!(Table::new(&DIMENSIONS, &rows).unwrap_err(), CauseError::Number { row: 3, found: bad.to_string() });
    }
}

#[test]
fn options_without_sense_are_refused() {
    let options = adtributor::Options { element_power: 0.0, dimension_power: 1.5, dimensions: 0 };
    assert_eq!(options.faults().len(), 3);
    assert_eq!(riskloc::Options { risk: 1.0, power_share: f64::NAN, outliers: 0 }.faults().len(), 2);
    assert_eq!((adtributor::Options::default().faults().len(), riskloc::Options::default().faults().len()), (0, 0));
}

/// A table over four dimensions of four elements, with noise of at most `noise` on each leaf, in which the leaves that
/// `cause` selects came to `factor` of what was expected.
fn planted(cause: &[(usize, usize)], factor: f64, noise: f64, seeds: &[f64]) -> Vec<Row<Sum>> {
    let leaf = |index: usize| [index / 64, index / 16 % 4, index / 4 % 4, index % 4];
    (0..256)
        .zip(seeds)
        .map(|(index, seed)| {
            let elements = leaf(index);
            let selected = cause.iter().all(|&(dimension, element)| elements[dimension] == element);
            let forecast = 50.0 + (index * 37 % 100) as f64;
            let actual = forecast * if selected { factor } else { 1.0 } * (1.0 + noise * seed);
            Row { elements: elements.map(|element| format!("e{element}")).to_vec(), measure: Sum { forecast, actual } }
        })
        .collect()
}

const FOUR: [&str; 4] = ["a", "b", "c", "d"];

fn locate(rows: &[Row<Sum>]) -> Vec<riskloc::Combination> {
    riskloc::explain(&Table::new(&FOUR, rows).unwrap(), &riskloc::Options::default())
}

fn named(cause: &[(usize, usize)]) -> std::collections::BTreeMap<String, String> {
    cause.iter().map(|&(dimension, element)| (FOUR[dimension].to_owned(), format!("e{element}"))).collect()
}

#[test]
fn two_causes_are_both_found() {
    let seeds = vec![0.0; 256];
    let mut rows = planted(&[(0, 1), (2, 3)], 0.3, 0.0, &seeds);
    for (row, other) in rows.iter_mut().zip(planted(&[(1, 2)], 0.5, 0.0, &seeds)) {
        row.measure.actual = row.measure.actual.min(other.measure.actual);
    }
    let found: Vec<_> = locate(&rows).into_iter().map(|combination| combination.elements).collect();
    assert_eq!(found, [named(&[(1, 2)]), named(&[(0, 1), (2, 3)])]);
}

fn seeds() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1.0..1.0, 256)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn riskloc_finds_a_planted_cause_of_one_or_two_elements(
        seeds in seeds(),
        first in 0_usize..4,
        second in prop::option::of(0_usize..4),
        dimension in 0_usize..3,
        factor in prop_oneof![0.1..0.6, 1.8..4.0],
    ) {
        let mut cause = vec![(dimension, first)];
        cause.extend(second.map(|second| (dimension + 1, second)));
        let found = locate(&planted(&cause, factor, 0.05, &seeds));
        prop_assert!(!found.is_empty());
        prop_assert_eq!(&found[0].elements, &named(&cause));
    }

    #[test]
    fn adtributor_finds_a_planted_element(
        seeds in seeds(),
        dimension in 0_usize..4,
        element in 0_usize..4,
        factor in prop_oneof![0.1..0.6, 1.8..4.0],
    ) {
        let rows = planted(&[(dimension, element)], factor, 0.02, &seeds);
        let causes = adtributor::explain(&Table::new(&FOUR, &rows).unwrap(), &adtributor::Options::default());
        prop_assert_eq!(&causes[0].dimension, FOUR[dimension]);
        prop_assert_eq!(&causes[0].elements[0].element, &format!("e{element}"));
        prop_assert!(causes[0].explanatory_power > 0.67);
    }

    #[test]
    fn the_order_of_rows_changes_nothing(
        seeds in seeds(),
        order in Just((0..256_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let rows = planted(&[(1, 2)], 0.4, 0.3, &seeds);
        let shuffled: Vec<_> = order.into_iter().map(|at| rows[at].clone()).collect();
        let (table, other) = (Table::new(&FOUR, &rows).unwrap(), Table::new(&FOUR, &shuffled).unwrap());
        prop_assert_eq!(&table, &other);
        let options = adtributor::Options::default();
        prop_assert_eq!(adtributor::explain(&table, &options), adtributor::explain(&other, &options));
        let options = riskloc::Options::default();
        prop_assert_eq!(riskloc::explain(&table, &options), riskloc::explain(&other, &options));
    }

    #[test]
    fn powers_of_a_dimension_sum_to_all_of_the_change(seeds in seeds()) {
        let rows = planted(&[(3, 0)], 0.7, 0.1, &seeds);
        let table = Table::new(&FOUR, &rows).unwrap();
        for dimension in 0..4 {
            let powers = adtributor::Explained::powers(&table.total(), &table.by_element(dimension)).unwrap();
            prop_assert!((powers.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
