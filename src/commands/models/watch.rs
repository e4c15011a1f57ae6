//! What a server's monitor says of one model.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use takt_proto::admin::GetMonitorReportRequest;

use super::patient;
use crate::client::{self, ServerUrl};
use crate::table::Table;

/// The monitor's report, as far as it is about one model.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Watch {
    /// One per version, as `GET /monitor` gives them.
    versions: Vec<Value>,
}

/// Asks; `None` where the server does not know the question.
pub async fn ask(url: &ServerUrl, model: &str) -> Option<Watch> {
    let mut admin = client::connect_admin(url).await.ok()?;
    let answer = admin.get_monitor_report(patient(GetMonitorReportRequest {})).await.ok()?.into_inner();
    let report: Value = serde_json::from_str(&answer.report_json).ok()?;
    let versions = report["versions"].as_array()?.iter().filter(|version| version["model"] == model);
    Some(Watch { versions: versions.cloned().collect() })
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for version in &self.versions {
            show(version, f)?;
        }
        Ok(())
    }
}

fn show(version: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = &version["version"];
    let progress = &version["reference"]["progress"];
    match version["reference"]["state"].as_str() {
        Some("learning") => {
            let (units, needed) = (&progress["units"], &progress["units_needed"]);
            let hours = |key: &str| progress[key].as_f64().unwrap_or(0.0) / 3.6e6;
            let (seen, wanted) = (hours("time_ms"), hours("time_needed_ms"));
            return writeln!(
                f,
                "\ndrift of version {number}: learning its reference, {units} of {needed} parts, {seen:.1} of {wanted:.1} hours"
            );
        }
        Some(state) => {
            let panes = &version["drift"]["window"]["panes"];
            writeln!(f, "\ndrift of version {number}: against a {state} reference, window of {panes} panes")?;
        }
        None => return Ok(()),
    }
    let mut table = Table::new(["SEGMENT", "FEATURE", "VALUES", "PSI", "", "KS", ""]);
    let segments = version["drift"]["segments"].as_array().map(Vec::as_slice).unwrap_or_default();
    for segment in segments {
        for feature in segment["features"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let number = |key: &str| feature[key].as_f64().map(|value| format!("{value:.3}")).unwrap_or_default();
            table.push([
                text(&segment["segment"]),
                text(&feature["feature"]),
                feature["m"].to_string(),
                number("psi"),
                text(&feature["psi_verdict"]["verdict"]),
                number("ks_lo"),
                text(&feature["ks_verdict"]["verdict"]),
            ]);
        }
    }
    if segments.is_empty() { writeln!(f, "nothing was seen in the window") } else { write!(f, "{table}") }
}
