//! Drift reports: tables, label files and folders of images against a reference, and the page that shows one.

mod page;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

pub use page::page;
use takt_tables::Table;
use takt_tables::drift::{Report, Settings, compare};

use crate::data::{DataError, Rows};
use crate::progress::Progress;

/// Compares `current` with `reference`; nothing where `stop` was set meanwhile. Each is a CSV or Parquet file, a folder of
/// them, or a folder of labelled images, which is compared by its labels and by what its images look like.
///
/// # Errors
/// Data that cannot be read as a table, or a column that was asked for and is missing.
pub fn report(
    reference: &Path,
    current: &Path,
    settings: &Settings,
    threads: NonZeroUsize,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<Report>, DataError> {
    let open = |path: &Path| -> Result<Option<Table>, DataError> {
        let rows = Rows::open(path)?;
        if rows.of_images { rows.with_images(threads, progress, stop) } else { Ok(Some(rows.table)) }
    };
    let (Some(reference), Some(current)) = (open(reference)?, open(current)?) else { return Ok(None) };
    Ok(Some(compare(&reference, &current, settings)?))
}
