//! Holding data against a suite of rules, images too where a rule names a column that is made of them.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use takt_tables::validate::{Report, Suite, validate as hold};

use super::error::DataError;
use super::table::{Rows, Wanted};
use crate::outcomes::Detail;
use crate::progress::Progress;

/// Holds `data` against the suite; nothing where `stop` was set meanwhile. `data` is a CSV or Parquet file, a folder of
/// them, a prediction log, or a folder of labelled images of any layout.
///
/// # Errors
/// Data that cannot be read as a table.
pub fn validate(
    suite: &Suite,
    data: &Path,
    threads: NonZeroUsize,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<Report>, DataError> {
    let wanted = Wanted { detail: Detail::Full, model: None, stop };
    let Some(rows) = Rows::open(data, &wanted)? else { return Ok(None) };
    if !suite.columns().any(|name| rows.can_make(name)) {
        return Ok(Some(hold(&rows.table, suite)?));
    }
    let Some(table) = rows.with_images(threads, progress, stop)? else { return Ok(None) };
    Ok(Some(hold(&table, suite)?))
}
