#![expect(clippy::print_stderr, reason = "a check that did not run says so")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use super::*;
use crate::error::{ErrorKind, InferError};
use crate::request::StageTimes;
use crate::settings::ControlMode;
use crate::testing::{MODEL, TestServer};

/// One line that is not a comment.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

fn parse(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap();
    let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
        let (key, value) = label.split_once('=').unwrap();
        (key.to_owned(), value.trim_matches('"').to_owned())
    });
    Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
}

/// Name of the family that a series of that name belongs to.
fn family<'a>(series: &'a str, histograms: &BTreeSet<&str>) -> &'a str {
    let stems = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| series.strip_suffix(suffix));
    stems.into_iter().find(|stem| histograms.contains(stem)).unwrap_or(series)
}

#[test]
fn the_exposition_is_well_formed_and_counts_what_happened() {
    let server = TestServer::start(ControlMode::None);
    let version = server.core.table().resolve(MODEL, None).unwrap();
    let times = StageTimes { infer: std::time::Duration::from_millis(3), ..StageTimes::default() };
    version.stats.answered(2, &times, std::time::Duration::from_millis(4));
    version.stats.executed(2, 4, crate::batch::queue::CloseReason::Delay, &times);
    version.stats.failed(&InferError::new(ErrorKind::QueueFull, "full"), std::time::Duration::ZERO);
    let in_flight = Arc::new(InFlightBytes::new(100));
    in_flight.acquire(7).unwrap();
    let text = Metrics::new(Arc::clone(&server.core), in_flight).expose().unwrap();

    let declared = |what: &str| -> BTreeMap<&str, &str> {
        text.lines().filter_map(|line| line.strip_prefix(what)?.split_once(' ')).collect()
    };
    let (helps, types) = (declared("# HELP "), declared("# TYPE "));
    let histograms = types.iter().filter(|(_, kind)| **kind == "histogram").map(|(name, _)| *name).collect();
    let samples: Vec<Sample> = text.lines().filter(|line| !line.starts_with('#')).map(parse).collect();
    let mut series = BTreeSet::new();
    for sample in &samples {
        let family = family(&sample.name, &histograms);
        assert!(helps.contains_key(family) && types.contains_key(family), "{family} is not declared");
        assert!(series.insert((&sample.name, &sample.labels)), "{} comes twice", sample.name);
        assert!(sample.value.is_finite(), "{}", sample.name);
        if family.starts_with("takt_") {
            assert_eq!(types[family] == "counter", family.ends_with("_total"), "{family}: counters end in _total");
        }
    }

    let value = |name: &str, labels: &[(&str, &str)]| {
        let matching = samples.iter().filter(|sample| {
            let has = |(key, value): &(&str, &str)| sample.labels.get(*key).is_some_and(|found| found == value);
            sample.name == name && labels.iter().all(has)
        });
        let values: Vec<f64> = matching.map(|sample| sample.value).collect();
        assert_eq!(values.len(), 1, "{name} {labels:?}");
        values[0]
    };
    let model = ("model", MODEL);
    assert_eq!(value("nv_inference_request_success", &[model, ("version", "1")]), 1.0);
    assert_eq!(value("nv_inference_request_failure", &[model, ("reason", "queue_full")]), 1.0);
    assert_eq!(value("nv_inference_count", &[model]), 2.0);
    assert_eq!(value("nv_inference_compute_infer_duration_us", &[model]), 3000.0);
    assert_eq!(value("takt_stage_seconds_count", &[model, ("stage", "infer")]), 1.0);
    assert_eq!(value("takt_stage_seconds_bucket", &[model, ("stage", "infer"), ("le", "0.0025")]), 0.0);
    assert_eq!(value("takt_stage_seconds_bucket", &[model, ("stage", "infer"), ("le", "0.005")]), 1.0);
    assert_eq!(value("takt_batch_rows_bucket", &[model, ("le", "1")]), 0.0);
    assert_eq!(value("takt_batch_rows_bucket", &[model, ("le", "2")]), 1.0);
    assert_eq!(value("takt_batch_rows_sum", &[model]), 2.0);
    assert_eq!(value("takt_batch_closed_total", &[model, ("reason", "delay")]), 1.0);
    assert_eq!(value("takt_padded_rows_total", &[model]), 2.0);
    assert_eq!(value("takt_model_ready", &[model, ("version", "1")]), 1.0);
    assert_eq!(value("takt_model_info", &[model, ("runtime", "tract"), ("digest", &version.id.digest)]), 1.0);
    assert_eq!(value("takt_loads_total", &[]), 1.0);
    assert_eq!(value("takt_load_failures_total", &[("stage", "golden")]), 0.0);
    assert_eq!(value("takt_in_flight_bytes", &[]), 7.0);
    assert!(value("takt_process_resident_bytes", &[]) > 1e6);
    check_with_promtool(&text);
}

/// Prometheus' own linter where it is installed. Triton's names are older than its rules.
fn check_with_promtool(text: &str) {
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        eprintln!("promtool is not installed: only this test's own checks were made");
        return;
    };
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| !line.starts_with("nv_")).collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));
}
