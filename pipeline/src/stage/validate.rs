//! Holding data against a suite of rules.

use std::path::Path;

use takt_tables::validate::{Report, Suite};

use super::error::StageError;
use super::shop::{Shop, folder, report};
use crate::data;

/// Holds the data against the suite's file and writes `report.json` into `out`.
///
/// # Errors
/// A suite with faults, data that cannot be read, or a signal meanwhile.
pub fn validate(data: &Path, suite: &Path, out: &Path, shop: &Shop<'_>) -> Result<Report, StageError> {
    let suite = Suite::read(suite)?;
    let held = data::validate(&suite, data, shop.threads, shop.progress, shop.stop)?;
    let held = held.ok_or(StageError::Interrupted)?;
    folder(out)?;
    report(out, &held)?;
    Ok(held)
}
