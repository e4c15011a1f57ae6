//! A prediction log as one Parquet file, in constant memory.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use takt_tables::ParquetFile;

use super::columns::{Detail, columns};
use super::error::OutcomesError;
use super::read::{Filter, Found, Outcomes};
use crate::progress::Progress;

/// Rows that are in memory at a time.
const BATCH: usize = 1 << 15;

/// What an export did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Rows of the table.
    pub rows: u64,
    /// Predictions of other times or models.
    pub left_out: u64,
    /// Models of the rows.
    pub models: Vec<String>,
    /// Stretches of the log that could not be read, each with why: a torn tail is what a power cut leaves.
    pub skipped: Vec<String>,
}

/// Writes the predictions of the log at `from` as Parquet; nothing where `stop` was set meanwhile. Progress has no total,
/// as a log does not say how many predictions it has.
///
/// # Errors
/// There is no log, nothing of it is left, or the file cannot be written.
pub fn export(
    from: &Path,
    filter: Filter,
    detail: Detail,
    to: &Path,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<Exported>, OutcomesError> {
    let mut outcomes = Outcomes::open(from, filter)?;
    let mut file = ParquetFile::create(to, &columns(&[], detail))?;
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        batch.clear();
        batch.extend(outcomes.by_ref().take(BATCH));
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if batch.is_empty() {
            break;
        }
        file.write(&columns(&batch, detail))?;
        progress.begin(outcomes.found().rows);
    }
    let Found { rows, left_out, models, skipped, .. } = outcomes.finish()?;
    file.finish()?;
    let skipped = skipped.iter().map(ToString::to_string).collect();
    Ok(Some(Exported { rows, left_out, models: models.into_iter().collect(), skipped }))
}
