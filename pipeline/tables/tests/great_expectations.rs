//! Every rule finds what Great Expectations finds; `tests/reference/great_expectations/ask.py` asked it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use takt_tables::Table;
use takt_tables::validate::{Suite, validate};

/// Types have other names there, and `ask.py` translates those of the suite.
const PANDAS_TYPE: &str = "expect_column_values_to_be_of_type";

#[test]
fn rules_find_what_great_expectations_finds() {
    let suite = Suite::read(&reference("suite.toml")).unwrap();
    let table = Table::open(&reference("data.csv")).unwrap();
    let report = serde_json::to_value(validate(&table, &suite).unwrap()).unwrap();
    let theirs: Vec<Value> = serde_json::from_slice(&std::fs::read(reference("results.json")).unwrap()).unwrap();
    let ours = report["results"].as_array().unwrap();
    assert_eq!(ours.len(), theirs.len(), "run ask.py again");
    for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        let rule = &ours["expectation_config"];
        let place = format!("rule {} {rule}\nours   {}\ntheirs {theirs}", number + 1, ours["result"]);
        assert_eq!(ours["success"], theirs["success"], "{place}");
        if rule["type"] == PANDAS_TYPE {
            continue;
        }
        for (key, value) in theirs["result"].as_object().unwrap() {
            // They list examples of rules that hold as well.
            if key.starts_with("partial") && ours["success"] == true {
                continue;
            }
            assert!(same(&ours["result"][key], value), "{key} of {place}");
        }
    }
}

#[test]
fn every_rule_of_theirs_is_held_against_them() {
    let suite = std::fs::read_to_string(reference("suite.toml")).unwrap();
    let own = "column_values_to_be_in_one_group";
    for rule in Suite::known_rules().filter(|rule| *rule != own) {
        assert!(suite.contains(&format!("expect = \"{rule}\"")), "suite.toml has no {rule}; add it and run ask.py");
    }
}

/// The same, numbers to the last bits: sums are formed in another order there.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-12 * b.abs().max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (ours, theirs) => ours == theirs,
    }
}

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/great_expectations").join(name)
}
