//! What each gate asks of a report.

use super::{Found, Measure};
use crate::evaluate::agreement::Agreement;
use crate::evaluate::metrics::{ClassMetrics, VerdictRates};
use crate::evaluate::parity::Parity;
use crate::evaluate::rate::Rate;
use crate::evaluate::report::{Report, Robustness};
use crate::evaluate::slices::{ColumnSlices, Slice};

/// What a class without a recall lacks, and what to do.
const NOT_SHOWN: [&str; 2] =
    ["no image shows", "judge images of every class, or ask for single classes by min_recall_of"];

/// What a class without a precision lacks, and what to do.
const NEVER_TAKEN: [&str; 2] = ["no image was taken for", "judge images of it, or train until the model finds it"];

/// A figure that may not have been measured.
pub(super) fn figure(value: Option<f64>, what: &str, missing: &str) -> Found {
    let value = value.ok_or_else(|| missing.to_owned())?;
    Ok(Measure { value, what: what.to_owned() })
}

/// A share, with its counts.
pub(super) fn rate(rate: &Rate, what: &str, missing: &str) -> Found {
    let value = rate.value.ok_or_else(|| missing.to_owned())?;
    Ok(Measure { value, what: format!("{what}: {} of {}", rate.hits, rate.total) })
}

pub(super) fn verdicts(report: &Report) -> Result<&VerdictRates, String> {
    report.metrics.verdicts.as_ref().ok_or_else(|| "there is no decision; give one with its good classes".to_owned())
}

pub(super) fn agreement(report: &Report) -> Result<&Agreement, String> {
    report.agreement.as_ref().ok_or_else(|| "there is no parent; give the model it was made from".to_owned())
}

/// Mean recall of all classes.
pub(super) fn balanced(report: &Report) -> Found {
    all_have(report, |class| &class.recall, NOT_SHOWN)?;
    figure(Some(report.metrics.balanced_accuracy), "mean recall", "there is no image")
}

pub(super) fn drop(report: &Report) -> Found {
    let drop = agreement(report)?.drop;
    all_have(report, |class| &class.recall, NOT_SHOWN)?;
    let points = 100.0 * drop.drop;
    let what = format!("upper 95 % bound of the paired loss in balanced accuracy, which is {points:.2} points");
    Ok(Measure { value: drop.upper_95, what })
}

/// The recall of one class.
pub(super) fn recall_of(report: &Report, class: &str) -> Found {
    let classes = &report.metrics.classes;
    let found = classes.iter().find(|metrics| metrics.class == class);
    let found = found.ok_or_else(|| missing("class", class, classes.iter().map(|c| c.class.as_str())))?;
    rate(&found.recall, &format!("recall of {class}"), &format!("no image shows {class}"))
}

/// The recall of the class that is found least.
pub(super) fn least_recall(report: &Report) -> Found {
    least(report, "recall", |class| &class.recall, NOT_SHOWN)
}

/// The precision of the class for which other images are taken most.
pub(super) fn least_precision(report: &Report) -> Found {
    least(report, "precision", |class| &class.precision, NEVER_TAKEN)
}

/// The least figure of any class; there is none unless every class has one.
fn least(report: &Report, what: &str, of: impl Fn(&ClassMetrics) -> &Rate, lacking: [&str; 2]) -> Found {
    all_have(report, &of, lacking)?;
    let value = |class: &ClassMetrics| of(class).value.unwrap_or(f64::NAN);
    let worst = report.metrics.classes.iter().min_by(|a, b| value(a).total_cmp(&value(b)));
    let worst = worst.ok_or("there is no class")?;
    rate(of(worst), &format!("least {what} is that of {}", worst.class), lacking[0])
}

/// Refuses what is said of all classes where some have no figure: it would be that of the others.
fn all_have(report: &Report, of: impl Fn(&ClassMetrics) -> &Rate, lacking: [&str; 2]) -> Result<(), String> {
    let without = report.metrics.classes.iter().filter(|class| of(class).value.is_none());
    let without: Vec<&str> = without.map(|class| class.class.as_str()).collect();
    let [lack, advice] = lacking;
    if without.is_empty() { Ok(()) } else { Err(format!("{lack} {}; {advice}", without.join(", "))) }
}

/// The balanced accuracy of a column's worst slice.
pub(super) fn worst_slice(report: &Report, column: &str) -> Found {
    let (_, worst) = slices(report, column)?;
    let what = format!("worst {column} is {}, {} images", worst.value, worst.images);
    Ok(Measure { value: worst.balanced_accuracy, what })
}

/// The difference between a column's best and worst slice.
pub(super) fn gap(report: &Report, column: &str) -> Found {
    let (found, worst) = slices(report, column)?;
    let what = format!("between the best {column} and {}, the worst", worst.value);
    Ok(Measure { value: found.gap.ok_or_else(|| too_few(found))?, what })
}

fn slices<'a>(report: &'a Report, column: &str) -> Result<(&'a ColumnSlices, &'a Slice), String> {
    let columns = report.slices.iter().map(|slices| slices.column.as_str());
    let found = report.slices.iter().find(|slices| slices.column == column);
    let found = found.ok_or_else(|| missing("column", column, columns))?;
    if let Some(reason) = &found.skipped {
        return Err(format!("'{column}' has no slices ({reason}); slice by a column with fewer values"));
    }
    let worst = found.worst.as_ref().ok_or_else(|| too_few(found))?;
    Ok((found, worst))
}

fn too_few(slices: &ColumnSlices) -> String {
    let (column, least) = (&slices.column, slices.min_count);
    format!(
        "too few slices of '{column}' have {least} images; give more images, or slice by a column with fewer values"
    )
}

pub(super) fn robustness<'a>(report: &'a Report, name: &str) -> Result<&'a Robustness, String> {
    let trials = &report.robustness;
    let found = trials.iter().find(|trial| trial.name == name);
    found.ok_or_else(|| missing("robustness trial", name, trials.iter().map(|trial| trial.name.as_str())))
}

pub(super) fn parity<'a>(report: &'a Report, artefact: &str) -> Result<&'a Parity, String> {
    let all = &report.parity;
    let found = all.iter().find(|parity| parity.artefact == artefact);
    found.ok_or_else(|| missing("artefact", artefact, all.iter().map(|parity| parity.artefact.as_str())))
}

fn missing<'a>(kind: &str, name: &str, there: impl Iterator<Item = &'a str>) -> String {
    match there.collect::<Vec<_>>() {
        there if there.is_empty() => format!("there is no {kind} '{name}', and no other; measure it first"),
        there => format!("there is no {kind} '{name}'; there is {}", there.join(", ")),
    }
}
