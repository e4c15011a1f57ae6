//! A report as text for a terminal.

use std::fmt::Write;

use super::gates::{Bound, Outcome};
use super::rate::Rate;
use super::report::Report;
use super::slices::ColumnSlices;

/// Gates come last: what was decided is what one wants to see above the prompt.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(report, &mut out);
    out
}

fn write(report: &Report, out: &mut String) -> std::fmt::Result {
    let metrics = &report.metrics;
    writeln!(out, "{} on {}, {} images\n", report.model, report.data, metrics.images)?;
    writeln!(out, "{:<28}{}", "accuracy", rate(&metrics.accuracy))?;
    writeln!(out, "{:<28}{:>7}", "balanced accuracy", percent(metrics.balanced_accuracy))?;
    if let Some(verdicts) = &metrics.verdicts {
        writeln!(out, "{:<28}{}", "escapes (defects passed)", rate(&verdicts.escape))?;
        writeln!(out, "{:<28}{}", "false rejects", rate(&verdicts.false_reject))?;
        writeln!(out, "{:<28}{}", "left to a person", rate(&verdicts.uncertain))?;
    }
    writeln!(out, "{:<28}{:>7}", "calibration error", percent(metrics.calibration.error))?;
    classes(report, out)?;
    for slices in &report.slices {
        column(slices, out)?;
    }
    if let Some(agreement) = &report.agreement {
        let (drop, correct) = (agreement.drop, agreement.correct);
        writeln!(out, "\nagainst the parent")?;
        writeln!(out, "  {:<26}{}", "same class", rate(&agreement.agreement))?;
        let points = |x: f64| format!("{:.2}", 100.0 * x);
        let (loss, bound) = (points(drop.drop), points(drop.upper_95));
        writeln!(out, "  {:<26}{loss:>7} points, at most {bound} (95 %)", "loss, balanced accuracy")?;
        let (parent, model, p) = (correct.parent_only, correct.model_only, correct.p);
        writeln!(out, "  only the parent is right on {parent}, only the model on {model} (McNemar p = {p:.3})")?;
        if let Some(caught) = agreement.caught {
            let (parent, model, p) = (caught.parent_only, caught.model_only, caught.p);
            writeln!(out, "  defects only the parent catches {parent}, only the model {model} (p = {p:.3})")?;
        }
    }
    if !report.robustness.is_empty() {
        writeln!(out, "\n{:<34}{:>9}{:>9}", "robustness", "balanced", "loss")?;
        for trial in &report.robustness {
            let name = format!("{} ({})", trial.name, trial.corruption);
            writeln!(out, "  {name:<32}{:>9}{:>9}", percent(trial.balanced_accuracy), percent(trial.drop))?;
        }
    }
    if !report.parity.is_empty() {
        writeln!(out, "\n{:<34}{:>9}{:>9}{:>12}", "against fp32", "top 1", "cosine", "difference")?;
        for parity in &report.parity {
            let top1 = parity.top1.value.map_or_else(|| "-".to_owned(), percent);
            writeln!(
                out,
                "  {:<32}{top1:>9}{:>9.4}{:>12.4}",
                parity.artefact, parity.mean_cosine, parity.max_difference
            )?;
        }
    }
    cost(report, out)?;
    if let Some(gates) = &report.gates {
        writeln!(out)?;
        gates.outcomes.iter().try_for_each(|outcome| gate(outcome, out))?;
        let failed = gates.outcomes.iter().filter(|outcome| !outcome.passed).count();
        match failed {
            0 => writeln!(out, "\nevery gate says yes")?,
            n => writeln!(out, "\n{n} of {} gates say no", gates.outcomes.len())?,
        }
    }
    Ok(())
}

/// Recall, precision and confusion, a row per label.
fn classes(report: &Report, out: &mut String) -> std::fmt::Result {
    let classes = &report.metrics.classes;
    let width = classes.iter().map(|class| class.class.chars().count()).max().unwrap_or(0).max(7) + 1;
    write!(out, "\n{:<width$}{:>8}{:>9}{:>11}   taken for", "class", "images", "recall", "precision")?;
    for class in classes {
        write!(out, "{:>width$}", class.class)?;
    }
    writeln!(out)?;
    for (class, row) in classes.iter().zip(&report.metrics.confusion) {
        let share = |rate: &Rate| rate.value.map_or_else(|| "-".to_owned(), percent);
        let (recall, precision) = (share(&class.recall), share(&class.precision));
        write!(out, "{:<width$}{:>8}{recall:>9}{precision:>11}{:12}", class.class, class.recall.total, "")?;
        row.iter().try_for_each(|count| write!(out, "{count:>width$}"))?;
        writeln!(out)?;
    }
    Ok(())
}

fn column(slices: &ColumnSlices, out: &mut String) -> std::fmt::Result {
    if let Some(reason) = &slices.skipped {
        return writeln!(out, "\nby {}: no slices ({reason})", slices.column);
    }
    let gap = slices.gap.map(|gap| format!("   gap {}", percent(gap))).unwrap_or_default();
    writeln!(
        out,
        "\n{:<26}{:>8}{:>9}{:>9}{:>9}{gap}",
        format!("by {}", slices.column),
        "images",
        "balanced",
        "escapes",
        "rejects"
    )?;
    for slice in &slices.slices {
        let share = |rate: Option<&Rate>| rate.and_then(|rate| rate.value).map_or_else(|| "-".to_owned(), percent);
        let verdicts = slice.verdicts.as_ref();
        let (escape, reject) = (share(verdicts.map(|v| &v.escape)), share(verdicts.map(|v| &v.false_reject)));
        let balanced = percent(slice.balanced_accuracy);
        let note = match &slices.worst {
            _ if slice.images < slices.min_count => "  few images",
            Some(worst) if worst.value == slice.value => "  worst",
            _ => "",
        };
        writeln!(out, "  {:<24}{:>8}{balanced:>9}{escape:>9}{reject:>9}{note}", slice.value, slice.images)?;
    }
    Ok(())
}

fn cost(report: &Report, out: &mut String) -> std::fmt::Result {
    let cost = &report.cost;
    let times = |ratio: Option<f64>, what: &str| ratio.map(|x| format!(", {x:.1}x {what}")).unwrap_or_default();
    if let Some(ms) = cost.latency_ms {
        let on = report.runtime.as_ref().map(|runtime| format!(", {runtime} on one thread")).unwrap_or_default();
        let times = times(cost.speedup(), "faster than the parent");
        writeln!(out, "\n{:<28}{ms:.2} ms{times}{on}", "one image")?;
        if report.runtime.as_deref() == Some("tract") {
            writeln!(
                out,
                "{:<28}tract computes 8-bit models in single precision: with ONNX Runtime they are faster",
                ""
            )?;
        }
    }
    if let Some(bytes) = cost.size_bytes {
        let megabytes = bytes as f64 / 1e6;
        writeln!(out, "{:<28}{megabytes:.2} MB{}", "size", times(cost.size_ratio(), "smaller than the parent"))?;
    }
    if let Some(bytes) = cost.memory_bytes {
        writeln!(out, "{:<28}{:.0} MB resident", "memory", bytes as f64 / 1e6)?;
    }
    Ok(())
}

fn gate(outcome: &Outcome, out: &mut String) -> std::fmt::Result {
    let word = if outcome.passed { "yes" } else { "NO " };
    let sign = match outcome.bound {
        Bound::AtLeast => ">=",
        Bound::AtMost => "<=",
    };
    let measured = outcome.measured.map_or_else(|| "-".to_owned(), number);
    let limit = number(outcome.limit);
    writeln!(out, "{word}  {:<40}{measured:>12} {sign} {limit:<10}  {}", outcome.gate, outcome.reason)
}

/// Counts without, everything else with four decimals.
pub(super) fn number(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() >= 1000.0 { format!("{x:.0}") } else { format!("{x:.4}") }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

fn rate(rate: &Rate) -> String {
    match (rate.value, rate.interval) {
        (Some(value), Some([low, high])) => {
            let counts = format!("{} of {}", rate.hits, rate.total);
            format!("{:>7}  [{}, {}]  {counts}", percent(value), percent(low), percent(high))
        }
        _ => "      -  there is none".to_owned(),
    }
}
