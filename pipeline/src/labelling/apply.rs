//! Settled labels, as a file of their own and in a label file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use takt_monitoring::agreement::{Resolved, Source};

use super::error::LabellingError;
use crate::data::csv::Csv;

/// The column that says where a label comes from.
const SOURCE: &str = "label_source";

/// What became of a label file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Rows whose label is another now.
    pub changed: usize,
    /// Rows that had it already.
    pub kept: usize,
    /// Rows that nobody settled.
    pub open: usize,
    /// Settled items that are no row.
    pub absent: usize,
}

/// Writes item, label and its source as CSV; what is disputed has no label.
///
/// # Errors
/// The file cannot be written.
pub fn write_labels(path: &Path, labels: &[Resolved]) -> Result<(), LabellingError> {
    let row =
        |label: &Resolved| vec![label.item.clone(), label.class.clone().unwrap_or_default(), source(&label.source)];
    let header = ["file", "label", SOURCE].map(str::to_owned).into();
    let rows = labels.iter().map(|label| (0, row(label))).collect();
    Ok(Csv { separator: b',', header, rows }.write(path)?)
}

/// Puts settled labels into a label file (CSV with the columns file and label), where a row's file is an item. The column
/// `label_source` says which of them are settled, and how.
///
/// # Errors
/// A file that cannot be read or written.
pub fn apply(path: &Path, labels: &[Resolved]) -> Result<Applied, LabellingError> {
    let mut csv = Csv::read_even(path)?;
    let [file, label] = csv.columns(path, ["file", "label"])?;
    let told = csv.column(SOURCE).unwrap_or_else(|| {
        csv.header.push(SOURCE.to_owned());
        csv.header.len() - 1
    });
    let mut settled: BTreeMap<&str, (&str, String)> = labels
        .iter()
        .filter_map(|label| Some((label.item.as_str(), (label.class.as_deref()?, source(&label.source)))))
        .collect();
    let mut applied = Applied::default();
    for (_, fields) in &mut csv.rows {
        fields.resize(csv.header.len(), String::new());
        let Some((class, source)) = fields.get(file).and_then(|file| settled.remove(file.as_str())) else {
            applied.open += 1;
            continue;
        };
        if let Some(label) = fields.get_mut(label) {
            if *label == class {
                applied.kept += 1;
            } else {
                applied.changed += 1;
                class.clone_into(label);
            }
        }
        if let Some(told) = fields.get_mut(told) {
            *told = source;
        }
    }
    applied.absent = settled.len();
    csv.write(path)?;
    Ok(applied)
}

fn source(source: &Source) -> String {
    match source {
        Source::Ruling { guide } => format!("ruling under guide {guide}"),
        Source::Unanimous => "unanimous".to_owned(),
        Source::Majority => "majority".to_owned(),
        Source::Disputed => "disputed".to_owned(),
    }
}
