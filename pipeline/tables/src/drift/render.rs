//! A report as text for a terminal.

use std::fmt::Write;

use super::report::{ColumnReport, Comparison, Judgement, Report};

/// What has not drifted comes first: what has is what one wants to see above the prompt.
pub(super) fn table(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let (reference, current) = (&report.reference, &report.current);
    writeln!(
        out,
        "reference  {}, {} rows\ncurrent    {}, {} rows\n",
        reference.path, reference.rows, current.path, current.rows
    )?;
    let width = report.columns.iter().map(|column| column.column.chars().count()).max().unwrap_or(0).max(6);
    let head = ["psi", "ks", "p", "wasserstein", "js", "missing"];
    write!(out, "{:<13}{:<width$}", "", "column")?;
    head.iter().try_for_each(|name| write!(out, "{name:>12}"))?;
    writeln!(out)?;
    let rank = |column: &&ColumnReport| match column.verdict {
        "drift" => 3,
        "undetermined" => 2,
        "ok" => 1,
        _ => 0,
    };
    let mut columns: Vec<&ColumnReport> = report.columns.iter().collect();
    columns.sort_by_key(rank);
    for column in columns {
        let word = if column.verdict == "drift" { "DRIFT" } else { column.verdict };
        let line = format!("{word:<13}{:<width$}{}", column.column, cells(column));
        writeln!(out, "{}", line.trim_end())?;
    }
    for name in &report.gone {
        writeln!(out, "{:<13}{name:<width$}  is in the reference only", "DRIFT")?;
    }
    for name in &report.new {
        writeln!(out, "{:<13}{name:<width$}  is new", "")?;
    }
    let (drifted, open) = (count(report, "drift") + report.gone.len(), count(report, "undetermined"));
    match (drifted, open) {
        (0, 0) => writeln!(out, "\nno drift"),
        (0, open) => writeln!(out, "\nno drift seen; too few rows to tell for {open}"),
        (drifted, _) => writeln!(out, "\ndrift in {drifted} of {} columns", report.columns.len() + report.gone.len()),
    }
}

fn count(report: &Report, verdict: &str) -> usize {
    report.columns.iter().filter(|column| column.verdict == verdict).count()
}

/// The figures of a row, and why it is judged so.
fn cells(column: &ColumnReport) -> String {
    let cell =
        |value: Option<f64>| value.map_or_else(|| format!("{:>12}", "-"), |value| format!("{:>12}", figure(value)));
    let missing = format!("{:>12}", percent(column.missing[1]));
    match &column.comparison {
        Comparison::Skipped { reason } => format!("  {reason}"),
        Comparison::Numbers(numbers) => {
            let ks = numbers.ks;
            let figures = [
                numbers.psi.map(|psi| psi.psi),
                ks.map(|ks| ks.lo),
                ks.map(|ks| ks.p),
                numbers.wasserstein,
                numbers.jensen_shannon,
            ];
            let verdicts = [("psi", numbers.psi.map(|psi| psi.verdict)), ("ks", ks.map(|ks| ks.verdict))];
            figures.map(cell).concat() + &missing + &why(column, &verdicts)
        }
        Comparison::Categories(classes) => {
            let (psi, chi) = (classes.psi, classes.chi_square);
            let figures = [psi.map(|psi| psi.psi), None, chi.map(|chi| chi.p), None, classes.jensen_shannon];
            figures.map(cell).concat() + &missing + &why(column, &[("psi", psi.map(|psi| psi.verdict))])
        }
    }
}

/// The figures that drifted, with their limits.
fn why(column: &ColumnReport, verdicts: &[(&str, Option<Judgement>)]) -> String {
    let all = verdicts.iter().copied().chain([("missing", column.missing_verdict)]);
    let drifted = all.filter_map(|(name, verdict)| Some((name, verdict.filter(|verdict| verdict.verdict == "drift")?)));
    let told: Vec<String> = drifted.map(|(name, verdict)| format!("{name} above {}", figure(verdict.limit))).collect();
    if told.is_empty() { String::new() } else { format!("  {}", told.join(", ")) }
}

/// Four decimals, or the power of ten where these say nothing.
fn figure(value: f64) -> String {
    if value == 0.0 || (1e-4..1e7).contains(&value.abs()) { format!("{value:.4}") } else { format!("{value:.1e}") }
}

fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}
