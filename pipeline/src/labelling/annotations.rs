//! Annotations as a CSV file has them.

use std::path::{Path, PathBuf};

use takt_monitoring::agreement::{Annotation, Ratings};
use takt_monitoring::events::Name;

use super::error::LabellingError;
use crate::data::csv::Csv;
use crate::data::{DataError, Faults};

/// Who called which item what, with the file that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    /// The file.
    pub path: PathBuf,
    /// Its rows.
    pub rows: Vec<Annotation>,
    /// Over all batches.
    pub ratings: Ratings,
}

/// Batch of rows that name none.
const ALL: &str = "all";

/// Reads the columns item, annotator, class and perhaps batch. `classes` in their order; those that occur where none is
/// given.
///
/// # Errors
/// A file that cannot be read, all rows that lack something, or an annotator who says two things of one item.
pub fn read(path: &Path, classes: &[String]) -> Result<Annotations, LabellingError> {
    let csv = Csv::read_even(path)?;
    let [item, annotator, class] = csv.columns(path, ["item", "annotator", "class"])?;
    let batch = csv.column("batch");
    let (mut rows, mut faults) = (Vec::with_capacity(csv.rows.len()), Vec::new());
    for (line, fields) in &csv.rows {
        let field = |at: usize| fields.get(at).map_or("", String::as_str);
        let batch = batch.map(field).filter(|batch| !batch.is_empty()).unwrap_or(ALL);
        let mut name = |text: &str, what: &str| {
            Name::new(text).map_err(|bad| faults.push(format!("line {line}: {what}: {bad}"))).ok()
        };
        let named = (name(batch, "batch"), name(field(annotator), "annotator"));
        for (what, at) in [("item", item), ("class", class)] {
            if field(at).is_empty() {
                faults.push(format!("line {line}: no {what}; fill it in or remove the row"));
            }
        }
        if let (Some(batch), Some(annotator)) = named {
            rows.push(Annotation { batch, item: field(item).to_owned(), annotator, class: field(class).to_owned() });
        }
    }
    if rows.is_empty() && faults.is_empty() {
        faults.push("there is no row, expected one for each item and annotator".to_owned());
    }
    if !faults.is_empty() {
        return Err(DataError::Faults { path: path.to_owned(), faults: Faults(faults) }.into());
    }
    let ratings = if classes.is_empty() { Ratings::new(&rows) } else { Ratings::with_classes(&rows, classes) };
    let ratings = ratings.map_err(|source| LabellingError::Agreement { path: path.to_owned(), source })?;
    Ok(Annotations { path: path.to_owned(), rows, ratings })
}
