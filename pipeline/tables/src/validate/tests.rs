//! Suites and what becomes of them.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::report::Outcome;
use super::{Counts, Report, RuleResult, Suite, SuiteError, validate};
use crate::{Column, Table, Values};

fn suite(text: &str) -> Suite {
    Suite::parse(Path::new("suite.toml"), text).unwrap()
}

fn refusal(text: &str) -> String {
    Suite::parse(Path::new("suite.toml"), text).unwrap_err().to_string()
}

/// Three images of two splits, one of them twice.
fn table() -> Table {
    let texts = |values: [Option<&str>; 4]| Values::Texts(values.map(|text| text.map(str::to_owned)).to_vec());
    let columns = [
        Column::new("file", texts([Some("a.jpg"), Some("b.jpg"), Some("c.jpg"), Some("d.jpg")])),
        Column::new("split", texts([Some("train"), Some("train"), Some("test"), None])),
        Column::new("hash", texts([Some("1"), Some("2"), Some("1"), Some("1")])),
        Column::new("light", Values::Numbers(vec![Some(0.5), Some(f64::NAN), None, Some(2.5)])),
        Column::new("good", Values::Booleans(vec![Some(true), Some(false), None, Some(true)])),
        Column::new("width", Values::Integers(vec![Some(64), Some(64), Some(300), None])),
        Column::new("at", Values::Times(vec![Some(0), Some(86_400_000_000), Some(1), None])),
    ];
    Table::of_columns("parts", &columns).unwrap()
}

fn report(rules: &str) -> Report {
    validate(&table(), &suite(rules)).unwrap()
}

/// The only result of a suite of one rule.
fn result(rule: &str) -> RuleResult {
    report(&format!("[[rule]]\n{rule}")).results.remove(0)
}

fn counts(rule: &str) -> Counts {
    match result(rule).result {
        Outcome::Counts(counts) => counts,
        other => panic!("{rule}: {other:?}"),
    }
}

#[test]
fn every_fault_of_a_suite_is_named_at_once() {
    let message = refusal(
        r#"
        name = 3
        title = "x"
        [[rule]]
        expect = "column_values_to_be_betwen"
        [[rule]]
        expect = "column_values_to_be_between"
        column = 3
        min_value = 5
        max_value = 2
        mostly = 2
        severty = "error"
        [[rule]]
        expect = "expect_column_values_to_match_regex"
        column = "file"
        regex = "(?=x)"
        severity = "fatal"
        [[rule]]
        expect = "column_values_to_be_in_set"
        colum = "file"
        value_set = [1, "2"]
        [[rule]]
        column = "file"
        [[rule]]
        expect = "column_mean_to_be_between"
        column = "light"
        "#,
    );
    for part in [
        "suite.toml: 13 faults",
        "name: found the integer 3, expected a string",
        "title: found a key that is not known",
        "rule 1: expect: found 'column_values_to_be_betwen', expected the name of a rule; did you mean 'column_values_to_be_between'?",
        "rule 2 (column_values_to_be_between): column: found the integer 3, expected a string",
        "rule 2 (column_values_to_be_between): min_value: found more than max_value",
        "rule 2 (column_values_to_be_between): mostly: found the integer 2, expected a share from 0 to 1",
        "rule 2 (column_values_to_be_between): severty: found a key that is not known",
        "did you mean 'severity'?",
        "rule 3 (column_values_to_match_regex): severity: found the string \"fatal\", expected error or warning",
        "rule 3 (column_values_to_match_regex): regex: found '(?=x)' (error: look-around",
        "rule 4 (column_values_to_be_in_set): colum: found a key that is not known, expected column; rename it",
        "rule 4 (column_values_to_be_in_set): value_set: found a number and a string, expected values of one kind",
        "rule 5: expect: found nothing, expected the name of a rule; add it",
        "rule 6 (column_mean_to_be_between): min_value: found neither it nor max_value, expected a number",
    ] {
        assert!(message.contains(part), "{part}\nin {message}");
    }
}

#[test]
fn what_is_no_suite_says_so() {
    let error = Suite::parse(Path::new("suite.toml"), "rule = ").unwrap_err();
    assert!(matches!(error, SuiteError::Form { .. }) && error.to_string().contains("suite.toml is no TOML"), "{error}");
    assert!(refusal("name = \"x\"\nrule = []\n").contains("rule: found the array [], expected one [[rule]] or more"));
    let error = Suite::read(Path::new("nowhere/suite.toml")).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), ("read", "cannot read nowhere/suite.toml"));
    assert_eq!(suite("[[rule]]\nexpect = \"column_to_exist\"\ncolumn = \"a\"\n").name, "suite");
}

#[test]
fn missing_is_null_and_nan_alike() {
    let counts = counts("expect = \"column_values_to_be_between\"\ncolumn = \"light\"\nmax_value = 1");
    assert_eq!((counts.element_count, counts.missing.unwrap().missing_count, counts.unexpected_count), (4, 2, 1));
    assert_eq!(counts.unexpected_percent, Some(50.0));
    assert_eq!((counts.partial_unexpected_list, counts.partial_unexpected_index_list), (vec![json!(2.5)], vec![3]));
}

#[test]
fn mostly_is_of_the_rows_that_have_a_value() {
    let rule = |mostly| {
        format!("expect = \"column_values_to_be_between\"\ncolumn = \"light\"\nmax_value = 1\nmostly = {mostly}")
    };
    assert!(result(&rule(0.5)).success);
    assert!(!result(&rule(0.51)).success);
    // Where no row counts, none breaks the rule.
    let none = Table::of_columns("none", &[Column::new("a", Values::Numbers(vec![None, None]))]).unwrap();
    let rule = suite("[[rule]]\nexpect = \"column_values_to_be_between\"\ncolumn = \"a\"\nmax_value = 1\n");
    assert!(validate(&none, &rule).unwrap().success);
}

#[test]
fn a_rule_that_cannot_be_asked_is_broken_and_the_others_are_asked() {
    let report = report(
        r#"
        [[rule]]
        expect = "column_values_to_not_be_null"
        column = "fiel"
        [[rule]]
        expect = "column_values_to_match_regex"
        column = "width"
        regex = "x"
        [[rule]]
        expect = "column_values_to_be_in_set"
        column = "width"
        value_set = ["64"]
        [[rule]]
        expect = "column_values_to_not_be_null"
        column = "file"
        "#,
    );
    let messages: Vec<_> =
        report.results.iter().map(|result| result.exception_info.exception_message.as_deref()).collect();
    let first = "parts has no column 'fiel'; did you mean 'file'?; it has file, split, hash, light, good, width, at";
    assert_eq!(messages[0], Some(first));
    assert_eq!(messages[1], Some("column 'width' is int64, expected strings"));
    assert_eq!(messages[2], Some("column 'width' is int64 and cannot be compared with a string"));
    assert!(messages[3].is_none() && report.results[3].success);
    assert_eq!((report.success, report.statistics.successful_expectations), (false, 1));
}

#[test]
fn a_warning_spoils_nothing() {
    let rule = "[[rule]]\nexpect = \"column_values_to_not_be_null\"\ncolumn = \"split\"\nseverity = \"warning\"\n";
    let report = report(rule);
    assert!(report.success && !report.results[0].success);
    assert_eq!(report.broken(), (0, 1));
    assert_eq!(serde_json::to_value(&report).unwrap()["results"][0]["expectation_config"]["severity"], "warning");
}

#[test]
fn what_is_the_same_in_two_splits_leaks() {
    let rule = "expect = \"column_values_to_be_in_one_group\"\ncolumn = \"hash\"\ngroup = \"split\"";
    let counts = counts(rule);
    // The row without a split shares its picture with two that have one.
    assert_eq!(counts.partial_unexpected_index_list, [0, 2, 3]);
    assert_eq!(counts.partial_unexpected_list[1], json!({ "hash": "1", "split": "test" }));
}

#[test]
fn values_of_every_kind_are_compared() {
    for (rule, unexpected) in [
        ("expect = \"column_values_to_be_in_set\"\ncolumn = \"good\"\nvalue_set = [true]", 1),
        ("expect = \"column_values_to_be_in_set\"\ncolumn = \"width\"\nvalue_set = [64, 1e9]", 1),
        ("expect = \"column_values_to_not_be_in_set\"\ncolumn = \"light\"\nvalue_set = [2.5]", 1),
        ("expect = \"column_values_to_be_between\"\ncolumn = \"at\"\nmax_value = 1970-01-01T12:00:00Z", 1),
        ("expect = \"column_values_to_be_in_set\"\ncolumn = \"at\"\nvalue_set = [1970-01-01, 1970-01-02]", 1),
        ("expect = \"column_values_to_be_increasing\"\ncolumn = \"at\"", 1),
        ("expect = \"column_values_to_be_between\"\ncolumn = \"file\"\nmin_value = \"b\"", 1),
        ("expect = \"column_values_to_be_unique\"\ncolumn = \"at\"", 0),
    ] {
        assert_eq!(counts(rule).unexpected_count, unexpected, "{rule}");
    }
    let outcome = |rule: &str| {
        let result = result(rule);
        (result.success, serde_json::to_value(result.result).unwrap()["observed_value"].clone())
    };
    let (success, observed) = outcome("expect = \"column_max_to_be_between\"\ncolumn = \"at\"\nmax_value = 1970-01-01");
    assert!(!success && observed.as_str().unwrap().starts_with("1970-01-02"), "{observed}");
    let first =
        outcome("expect = \"column_min_to_be_between\"\ncolumn = \"file\"\nmin_value = \"a\"\nmax_value = \"b\"");
    assert_eq!(first, (true, "a.jpg".into()));
}

#[test]
fn at_most_twenty_rows_are_shown() {
    let many = Table::of_columns("many", &[Column::new("a", Values::Integers((0..1000).map(Some).collect()))]).unwrap();
    let rule = suite("[[rule]]\nexpect = \"column_values_to_be_between\"\ncolumn = \"a\"\nmax_value = 9\n");
    let report = validate(&many, &rule).unwrap();
    let Outcome::Counts(counts) = &report.results[0].result else { panic!("{report:?}") };
    assert_eq!((counts.unexpected_count, counts.partial_unexpected_list.len()), (990, 20));
    assert_eq!(counts.partial_unexpected_index_list, (10..30).collect::<Vec<u64>>());
}

#[test]
fn columns_that_were_added_are_not_the_files() {
    let table = table().with(&[Column::new("image_width", Values::Integers(vec![Some(1); 4]))]).unwrap();
    let rules = suite(
        r#"
        [[rule]]
        expect = "table_column_count_to_equal"
        value = 7
        [[rule]]
        expect = "column_values_to_be_between"
        column = "image_width"
        max_value = 1
        "#,
    );
    assert!(validate(&table, &rules).unwrap().success);
}

#[test]
fn a_table_without_rows_is_validated_too() {
    let empty = Table::of_columns("empty", &[Column::new("a", Values::Numbers(Vec::new()))]).unwrap();
    let rules = suite(
        r#"
        [[rule]]
        expect = "column_mean_to_be_between"
        column = "a"
        min_value = 0
        [[rule]]
        expect = "column_values_to_be_unique"
        column = "a"
        [[rule]]
        expect = "column_quantile_values_to_be_between"
        column = "a"
        quantile_ranges = { quantiles = [0.5], value_ranges = [[0, 1]] }
        "#,
    );
    let report = validate(&empty, &rules).unwrap();
    let held: Vec<bool> = report.results.iter().map(|result| result.success).collect();
    assert_eq!(held, [false, true, false]);
    assert_eq!(serde_json::to_value(&report.results[0].result).unwrap(), json!({ "observed_value": Json::Null }));
}

#[test]
fn people_read_what_broke_last_and_with_examples() {
    let report = report(
        r#"
        name = "parts"
        [[rule]]
        expect = "column_values_to_be_between"
        column = "light"
        max_value = 1
        [[rule]]
        expect = "column_values_to_not_be_null"
        column = "file"
        [[rule]]
        expect = "compound_columns_to_be_unique"
        column_list = ["hash", "good"]
        severity = "warning"
        [[rule]]
        expect = "column_mean_to_be_between"
        column = "light"
        min_value = 2
        [[rule]]
        expect = "table_columns_to_match_set"
        column_set = ["file", "label"]
        "#,
    );
    insta::assert_snapshot!(report.render_table(), @r"
    parts: 4 rows against the 5 rules of 'parts'

    ok       column_values_to_not_be_null   file
    ERROR    column_values_to_be_between    light        1 of 2 rows (50.00%): 2.5 in row 4; expected max_value 1
    warning  compound_columns_to_be_unique  hash, good   2 of 4 rows (50.00%): good true hash '1' in row 1, good true hash '1' in row 4
    ERROR    column_mean_to_be_between      light        found 1.5; expected min_value 2
    ERROR    table_columns_to_match_set     file, label  without label; with at, good, hash, light, split, width

    3 errors, 1 warning
    ");
}
