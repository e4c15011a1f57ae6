//! Comparisons of tables in memory.

use proptest::prelude::*;

use super::{Binning, ColumnReport, Comparison, Limits, Numbers, Report, Settings, SettingsError, compare};
use crate::{Column, Table, Values};

fn table(name: &str, columns: &[Column]) -> Table {
    Table::of_columns(name, columns).unwrap()
}

fn numbers(name: &str, values: impl IntoIterator<Item = f64>) -> Column {
    Column::new(name, Values::Numbers(values.into_iter().map(Some).collect()))
}

fn texts<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Column {
    Column::new(name, Values::Texts(values.into_iter().map(|text| Some(text.to_owned())).collect()))
}

fn report(reference: &[Column], current: &[Column], settings: &Settings) -> Report {
    compare(&table("before", reference), &table("now", current), settings).unwrap()
}

fn figures(column: &ColumnReport) -> &Numbers {
    match &column.comparison {
        Comparison::Numbers(numbers) => numbers,
        other => panic!("{other:?}"),
    }
}

/// A hundred values and the same ones bent (DRIFT goldens, computed with scipy 1.17 and Evidently 0.7.23).
fn bent() -> [Column; 2] {
    let share = |i: i32| f64::from(i) / 100.0;
    [numbers("x", (0..100).map(share)), numbers("x", (0..100).map(|i| share(i).powf(0.8) + 0.05))]
}

/// Evenly spread values between 0 and 1, in no order.
fn spread(rows: usize, shift: f64) -> Vec<f64> {
    (0..rows).map(|row| ((row * 7919) % rows) as f64 / rows as f64 + shift).collect()
}

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1e-300), "{found}, expected {expected}");
}

#[test]
fn figures_are_those_of_scipy_and_evidently() {
    let [reference, current] = bent();
    let sturges = Settings { binning: Binning::SturgesUnion, ..Settings::default() };
    for (settings, psi, bins) in
        [(Settings::default(), 0.163_814_305_291_321_1, 10), (sturges, 0.173_326_102_439_275_1, 9)]
    {
        let report = report(std::slice::from_ref(&reference), std::slice::from_ref(&current), &settings);
        let found = figures(&report.columns[0]);
        near(found.psi.unwrap().psi, psi, 1e-12);
        assert_eq!(found.psi.unwrap().bins, bins);
        let ks = found.ks.unwrap();
        near(ks.lo, 0.14, 1e-12);
        near(ks.p, 0.281_941_629_808_247_9, 1e-9);
        assert!(found.exact && ks.lo == ks.hi);
    }
}

#[test]
fn categories_are_compared_by_psi_with_evidentlys_zeros() {
    let classes = |parts: &[(&str, usize)]| -> Vec<String> {
        parts.iter().flat_map(|(name, count)| std::iter::repeat_n((*name).to_owned(), *count)).collect()
    };
    let before = classes(&[("a", 50), ("b", 30), ("c", 20)]);
    let now = classes(&[("a", 40), ("b", 30), ("c", 25), ("d", 5)]);
    let settings = Settings { binning: Binning::SturgesUnion, ..Settings::default() };
    let columns = [before, now].map(|side| texts("label", side.iter().map(String::as_str)));
    let report = report(&columns[..1], &columns[1..], &settings);
    let Comparison::Categories(classes) = &report.columns[0].comparison else { panic!("{report:?}") };
    near(classes.psi.unwrap().psi, 0.343_580_476_808_398_8, 1e-12);
    assert_eq!(classes.chi_square.unwrap().degrees, 3);
    let names: Vec<_> = classes.categories.iter().map(|category| category.name.as_deref().unwrap()).collect();
    assert_eq!((names, classes.categories[3].current), (vec!["a", "b", "c", "d"], 0.05));
}

#[test]
fn counted_on_a_grid_figures_are_nearly_those_of_all_values() {
    for (shift, verdict) in [(0.0, "ok"), (0.4, "drift")] {
        let (before, now) = (numbers("x", spread(50_000, 0.0)), numbers("x", spread(30_000, shift)));
        let exact = report(std::slice::from_ref(&before), std::slice::from_ref(&now), &Settings::default());
        let on_grid = Settings { exact_rows: 0, ..Settings::default() };
        let counted = report(&[before], &[now], &on_grid);
        assert_eq!((exact.verdict, counted.verdict), (verdict, verdict));
        let (exact, counted) = (figures(&exact.columns[0]), figures(&counted.columns[0]));
        assert!(exact.exact && !counted.exact);
        // The sample is all of the reference, so the bins are the same.
        near(counted.psi.unwrap().psi, exact.psi.unwrap().psi, 1e-9);
        near(counted.mean[1].unwrap(), exact.mean[1].unwrap(), 1e-9);
        let (distance, bounds) = (exact.ks.unwrap().lo, counted.ks.unwrap());
        assert!(
            bounds.lo <= distance + 1e-12 && distance <= bounds.hi + 1e-12 && bounds.hi - bounds.lo < 2e-3,
            "{bounds:?} {distance}"
        );
        assert!((counted.wasserstein.unwrap() - exact.wasserstein.unwrap()).abs() < 1e-3, "{counted:?}");
    }
}

/// Parquet is read column by column over all cores, a table in memory all columns together.
#[test]
fn however_a_table_is_read_its_report_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sides = [(0.0, 7), (0.3, 5)].map(|(shift, every)| {
        let gaps = spread(300_000, shift).into_iter().enumerate().map(|(row, x)| (row % 11 != every).then_some(x));
        let counts = (0..300_000).map(|row| Some(row * 7919 % 97 + i64::from(row % every as i64 == 0)));
        let labels = (0..300_000_usize).map(|row| ["ok", "dent", "scratch"][row * every % 31 % 3]);
        [
            Column::new("gaps", Values::Numbers(gaps.collect())),
            Column::new("counts", Values::Integers(counts.collect())),
            texts("label", labels),
        ]
    });
    for exact_rows in [0, 1_000_000] {
        let settings = Settings { exact_rows, ..Settings::default() };
        let in_memory = report(&sides[0], &sides[1], &settings);
        let files = ["before", "now"].map(|name| folder.path().join(name).with_extension("parquet"));
        for (file, columns) in files.iter().zip(&sides) {
            crate::write_parquet(file, columns).unwrap();
        }
        let [before, now] = files.map(|file| Table::open(&file).unwrap());
        assert_eq!(compare(&before, &now, &settings).unwrap().columns, in_memory.columns);
    }
}

#[test]
fn a_shift_drifts_noise_does_not_and_few_rows_leave_it_open() {
    let before = numbers("x", spread(20_000, 0.0));
    let verdict = |now: Column| report(std::slice::from_ref(&before), &[now], &Settings::default()).verdict;
    assert_eq!(verdict(numbers("x", spread(5_000, 0.0))), "ok");
    assert_eq!(verdict(numbers("x", spread(5_000, 0.5))), "drift");
    assert_eq!(verdict(numbers("x", spread(30, 0.0))), "undetermined");
    let lenient = Settings { limits: Limits { psi: 99.0, ks: 1.0, missing: 1.0 }, ..Settings::default() };
    assert_eq!(report(&[before], &[numbers("x", spread(5_000, 0.5))], &lenient).verdict, "ok");
}

#[test]
fn missing_values_alone_can_be_drift() {
    let with_gaps = |every: usize| {
        let values = spread(10_000, 0.0).into_iter().enumerate();
        Column::new("x", Values::Numbers(values.map(|(row, value)| (row % every != 0).then_some(value)).collect()))
    };
    let report = report(&[with_gaps(100)], &[with_gaps(10)], &Settings::default());
    let column = &report.columns[0];
    assert_eq!((column.verdict, column.missing_verdict.unwrap().verdict), ("drift", "drift"));
    assert_eq!((column.missing, figures(column).psi.unwrap().verdict.verdict), ([0.01, 0.1], "ok"));
}

#[test]
fn tables_that_differ_in_their_columns_say_how() {
    let before = [
        numbers("x", spread(100, 0.0)),
        texts("id", ["a", "b"].into_iter().cycle().take(100)),
        Column::new("at", Values::Times(vec![Some(1); 100])),
        numbers("gone", spread(100, 0.0)),
    ];
    let now = [
        texts("x", ["1"].into_iter().cycle().take(50)),
        texts("id", ["a", "c"].into_iter().cycle().take(50)),
        Column::new("at", Values::Times(vec![Some(2); 50])),
        numbers("new", spread(50, 0.0)),
    ];
    let all = report(&before, &now, &Settings::default());
    assert_eq!((all.gone.join(","), all.new.join(","), all.verdict), ("gone".to_owned(), "new".to_owned(), "drift"));
    let reasons: Vec<String> = all
        .columns
        .iter()
        .filter_map(|column| match &column.comparison {
            Comparison::Skipped { reason } => Some(format!("{}: {reason}", column.column)),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["x: it is float64 in the reference and string now", "at: datetime[us, UTC] is not compared"]);

    let only = Settings { columns: vec!["id".to_owned()], ..Settings::default() };
    let one = report(&before, &now, &only);
    assert_eq!((one.columns.len(), one.gone.len()), (1, 0));
    let typo = Settings { columns: vec!["idd".to_owned()], ..Settings::default() };
    let error = compare(&table("before", &before), &table("now", &now), &typo).unwrap_err().to_string();
    assert!(error.contains("before has no column 'idd'; did you mean 'id'?"), "{error}");
}

#[test]
fn names_of_rows_are_no_categories() {
    let ids: Vec<String> = (0..3000).map(|row| format!("part-{row}")).collect();
    let column = texts("part", ids.iter().map(String::as_str));
    let report = report(std::slice::from_ref(&column), std::slice::from_ref(&column), &Settings::default());
    assert!(
        matches!(&report.columns[0].comparison, Comparison::Skipped { reason } if reason.contains("3000 different"))
    );
}

#[test]
fn constants_infinities_and_nothing_at_all_have_reports() {
    let odd = [f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0, 1.0];
    let many = |values: &[f64]| numbers("x", values.iter().copied().cycle().take(1000));
    let none = Column::new("x", Values::Numbers(Vec::new()));
    for exact_rows in [0, 1_000_000] {
        let settings = Settings { exact_rows, ..Settings::default() };
        let same = report(&[many(&[3.0])], &[many(&[3.0])], &settings);
        assert_eq!((same.verdict, figures(&same.columns[0]).ks.unwrap().hi), ("ok", 0.0));
        assert_eq!(report(&[many(&[3.0])], &[many(&[3.1])], &settings).verdict, "drift");
        let wild = report(&[many(&odd)], &[many(&odd)], &settings);
        assert_eq!(wild.verdict, "ok", "{wild:?}");
        let empty = report(&[many(&[1.0, 2.0])], std::slice::from_ref(&none), &settings);
        assert_eq!((empty.verdict, figures(&empty.columns[0]).psi), ("undetermined", None));
        serde_json::to_string(&empty).unwrap();
    }
}

#[test]
fn settings_come_from_toml_and_say_what_makes_no_sense() {
    let settings =
        Settings::parse("binning = \"sturges_union\"\n[limits]\npsi = 0.1\n[column.light]\nks = 0.5\n").unwrap();
    assert_eq!(settings.limits_of("light"), Limits { psi: 0.1, ks: 0.5, missing: 0.05 });
    assert_eq!(settings.limits_of("other").ks, 0.22);
    let error = Settings::parse("error = 2.0\n[limits]\nks = 2.0\n[column.a]\npsi = -1.0\n").unwrap_err();
    assert!(matches!(error, SettingsError::Values(_)));
    let message = error.to_string();
    for part in ["limits.ks is 2, expected a number from 0 to 1", "column.a.psi is -1", "error is 2"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(Settings::parse("limit = 1\n").unwrap_err().to_string().contains("unknown field `limit`"));
}

#[test]
fn people_read_what_drifted_last() {
    let before = [numbers("x", spread(10_000, 0.0)), texts("label", ["ok", "dent"].into_iter().cycle().take(10_000))];
    let now = [numbers("x", spread(10_000, 0.5)), texts("label", ["dent", "ok"].into_iter().cycle().take(10_000))];
    insta::assert_snapshot!(report(&before, &now, &Settings::default()).render_table(), @"
    reference  before, 10000 rows
    current    now, 10000 rows

                 column         psi          ks           p wasserstein          js     missing
    ok           label       0.0000           -      1.0000           -      0.0000       0.00%
    DRIFT        x           4.3463      0.5001      0.0000      0.5000      0.5219       0.00%  psi above 0.1500, ks above 0.2200

    drift in 1 of 2 columns
    ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Ties, atoms, heavy tails and infinities: whatever the data, KS lies between what the grid says.
    #[test]
    fn the_grid_knows_ks_between_its_bounds(
        before in prop::collection::vec(odd_number(), 1..400),
        now in prop::collection::vec(odd_number(), 1..400),
    ) {
        let (before, now) = ([numbers("x", before)], [numbers("x", now)]);
        let exact = report(&before, &now, &Settings::default());
        let counted = report(&before, &now, &Settings { exact_rows: 0, ..Settings::default() });
        let (distance, bounds) = (figures(&exact.columns[0]).ks.unwrap().lo, figures(&counted.columns[0]).ks);
        // Without a finite value there is no grid but one slot.
        if let Some(bounds) = bounds {
            prop_assert!(bounds.lo <= distance + 1e-12 && distance <= bounds.hi + 1e-12, "{:?} {}", bounds, distance);
        }
    }
}

fn odd_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -3.0..3.0_f64,
        3 => (-2..3_i32).prop_map(f64::from),
        1 => (-300.0..300.0_f64).prop_map(|power| 10_f64.powf(power)),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ]
}
