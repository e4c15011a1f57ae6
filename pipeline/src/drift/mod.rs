//! Drift reports: tables, prediction logs and folders of images against a reference, the page that shows one, and what
//! causes a change.

mod cause;
mod page;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub use cause::{CauseReport, Causes, Method, RootCauseError, Sides, root_cause};
pub use page::page;
use takt_tables::Table;
use takt_tables::drift::{Report, Settings, compare};

use crate::data::{DataError, Rows, Wanted};
use crate::outcomes::Detail;
use crate::progress::Progress;

/// A report, with what of prediction logs could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The report.
    pub report: Report,
    /// Stretches that could not be read, each with why.
    pub skipped: Vec<String>,
}

/// What is compared, and how.
#[derive(Debug, Clone, Copy)]
pub struct Compare<'a> {
    /// What with.
    pub reference: &'a Path,
    /// What.
    pub current: &'a Path,
    /// How.
    pub settings: &'a Settings,
    /// Of prediction logs, predictions of this model.
    pub model: Option<&'a str>,
}

/// Compares `current` with `reference`; nothing where `stop` was set meanwhile. Each is a CSV or Parquet file, a folder of
/// them, a prediction log (or the state directory that has it), or a folder of labelled images, which is compared by its
/// labels and by what its images look like.
///
/// # Errors
/// Data that cannot be read as a table, a column that was asked for and is missing, or a log of several models.
pub fn report(
    asked: &Compare<'_>,
    threads: NonZeroUsize,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<Compared>, DataError> {
    let wanted = Wanted { detail: Detail::Distributions, model: asked.model, stop };
    let (Some(reference), Some(current)) = (Rows::open(asked.reference, &wanted)?, Rows::open(asked.current, &wanted)?)
    else {
        return Ok(None);
    };
    let table = |rows: &Rows| -> Result<Option<Table>, DataError> {
        if rows.of_images { rows.with_images(threads, progress, stop) } else { Ok(Some(rows.table.clone())) }
    };
    let (Some(before), Some(now)) = (table(&reference)?, table(&current)?) else { return Ok(None) };
    let report = compare(&before, &now, asked.settings)?;
    let skipped = [reference.skipped, current.skipped].concat();
    Ok(Some(Compared { report, skipped }))
}
