//! A report as text for a terminal.

use std::fmt::Write;

use serde_json::Value as Json;

use super::report::{Counts, Details, Outcome, Report, RuleResult};
use super::rule::Severity;

/// Values shown of a broken rule.
const EXAMPLES: usize = 3;

/// What holds comes first and short: what does not is what one wants to see above the prompt.
pub(super) fn table(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(report, &mut out);
    out
}

/// A broken rule without columns, such as `column_to_exist file: not there`.
pub(super) fn line(result: &RuleResult) -> String {
    format!("{} {}: {}", name(result), subject(result), found(result))
}

fn name(result: &RuleResult) -> &str {
    result.expectation_config.name.trim_start_matches("expect_")
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let (data, rows, rules) = (&report.meta.data, report.meta.rows, report.results.len());
    writeln!(out, "{data}: {rows} rows against the {rules} rules of '{}'\n", report.suite_name)?;
    let width = report.results.iter().map(|result| name(result).len()).max().unwrap_or(0);
    let of = report.results.iter().map(|result| subject(result).chars().count()).max().unwrap_or(0);
    let (holding, broken): (Vec<_>, Vec<_>) = report.results.iter().partition(|result| result.success);
    for result in holding {
        writeln!(
            out,
            "{}",
            format!("ok       {:<width$}  {:<of$}  {}", name(result), subject(result), found(result)).trim_end()
        )?;
    }
    for result in broken {
        let word = match result.expectation_config.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "warning",
        };
        let line = format!("{word:<7}  {:<width$}  {:<of$}  {}", name(result), subject(result), found(result));
        writeln!(out, "{}", line.trim_end())?;
    }
    let (errors, warnings) = report.broken();
    match (errors, warnings) {
        (0, 0) => writeln!(out, "\nevery rule holds"),
        (0, _) => writeln!(out, "\nno error, {}", several(warnings, "warning")),
        (_, 0) => writeln!(out, "\n{}", several(errors, "error")),
        _ => writeln!(out, "\n{}, {}", several(errors, "error"), several(warnings, "warning")),
    }
}

fn several(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What the rule is about.
fn subject(result: &RuleResult) -> String {
    let kwargs = &result.expectation_config.kwargs;
    let text = |key: &str| kwargs.get(key).and_then(Json::as_str);
    if let Some(column) = text("column") {
        return column.to_owned();
    }
    if let (Some(a), Some(b)) = (text("column_A"), text("column_B")) {
        return format!("{a} > {b}");
    }
    let list = kwargs.get("column_list").or_else(|| kwargs.get("column_set")).and_then(Json::as_array);
    let names: Vec<&str> = list.into_iter().flatten().filter_map(Json::as_str).collect();
    if names.len() > EXAMPLES {
        format!("{}, ... ({})", names[..EXAMPLES].join(", "), names.len())
    } else {
        names.join(", ")
    }
}

/// What was found, and what was wanted where that is not it.
fn found(result: &RuleResult) -> String {
    if let Some(message) = &result.exception_info.exception_message {
        return message.clone();
    }
    let wanted = if result.success { String::new() } else { wanted(result) };
    match &result.result {
        Outcome::Nothing {} if result.success => String::new(),
        Outcome::Nothing {} => "not there".to_owned(),
        Outcome::Counts(counts) => rows(counts, &wanted),
        Outcome::Observed { observed_value, details } => match details {
            Some(Details::Columns { unexpected, missing }) => {
                let part =
                    |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
                let parts = [part("without", missing), part("with", unexpected)];
                parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
            }
            Some(Details::Positions(_)) => format!("found {}{wanted}", plain(observed_value)),
            Some(Details::Quantiles(_)) => format!("found {}{wanted}", plain(&observed_value["values"])),
            None => format!("found {}{wanted}", plain(observed_value)),
        },
    }
}

fn rows(counts: &Counts, wanted: &str) -> String {
    if counts.unexpected_count == 0 {
        return String::new();
    }
    let percent = counts.unexpected_percent.unwrap_or(0.0);
    let mut text = format!("{} of {} rows ({percent:.2}%)", counts.unexpected_count, counts.counting());
    let examples = counts.partial_unexpected_list.iter().zip(&counts.partial_unexpected_index_list);
    let examples: Vec<String> =
        examples.take(EXAMPLES).map(|(value, row)| format!("{} in row {}", plain(value), row + 1)).collect();
    if !examples.is_empty() {
        text = format!("{text}: {}", examples.join(", "));
    }
    text + wanted
}

/// `, expected min_value 3, max_value 5`
fn wanted(result: &RuleResult) -> String {
    const ABOUT: [&str; 5] = ["column", "column_A", "column_B", "column_list", "column_set"];
    let kwargs = result.expectation_config.kwargs.iter().filter(|(key, _)| !ABOUT.contains(&key.as_str()));
    let kwargs: Vec<String> = kwargs.map(|(key, value)| format!("{key} {}", plain(value))).collect();
    if kwargs.is_empty() { String::new() } else { format!("; expected {}", kwargs.join(", ")) }
}

/// JSON without what only programs need.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => format!("'{text}'"),
        Json::Null => "nothing".to_owned(),
        Json::Array(list) => format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Json::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
