//! The Grafana dashboards are made here and committed below `k8s/deploy/grafana/`; `TAKT_BLESS=1` writes them anew. A metric
//! that a dashboard names and the server does not declare is a mistake. (Of the alert rules `drift_serving` asks the same of a
//! server that runs.)

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

mod boards;
mod grafana;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use boards::boards;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn committed_dashboards_are_what_the_generator_makes() {
    let folder = project("k8s/deploy/grafana");
    let bless = std::env::var_os("TAKT_BLESS").is_some();
    for board in boards() {
        let path = folder.join(format!("{}.json", board.uid));
        let made = serde_json::to_string_pretty(&board.json()).unwrap() + "\n";
        if bless {
            fs::write(&path, &made).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == made, "{} is out of date; run this test with TAKT_BLESS=1", path.display());
    }
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let dashboards = files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).count();
    assert_eq!(dashboards, boards().len(), "a file in {} that no dashboard makes", folder.display());
}

#[test]
fn panels_do_not_overlap_and_every_one_asks_something() {
    for board in boards() {
        let json = board.json();
        let panels = json["panels"].as_array().unwrap();
        let mut taken = BTreeSet::new();
        for panel in panels {
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{}: '{}' overlaps", board.uid, panel["title"]);
                }
            }
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
        }
    }
}

#[test]
fn dashboards_name_metrics_that_the_server_declares() {
    let declared = declared();
    let boards = boards();
    let expressions = boards.iter().flat_map(grafana::Board::expressions);
    let mut seen = 0;
    for expression in expressions {
        for name in names(expression) {
            seen += 1;
            assert!(declared.contains(name), "'{name}' in '{expression}' is no metric of the server");
        }
    }
    assert!(seen > 50, "only {seen} names were found: the search is broken");
}

/// Words that look like names of our metrics. Recorded series have a colon in them and are the rules' own.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| !word.contains(':') && (word.starts_with("takt_") || word.starts_with("nv_")))
}

/// Names that the sources of the metrics declare, with those that a histogram adds.
fn declared() -> BTreeSet<String> {
    let folder = project("serving/src/telemetry/metrics");
    let mut declared = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        let literals = text.split('"').skip(1).step_by(2).filter(|text| names(text).next() == Some(*text));
        for name in literals {
            let suffixes = ["", "_bucket", "_sum", "_count", "_ratio", "_lower_bound", "_upper_bound"];
            declared.extend(suffixes.map(|suffix| format!("{name}{suffix}")));
        }
    }
    declared
}
