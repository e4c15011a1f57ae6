//! Drift between two tables: each column of a reference against the same column of the current data.
//!
//! Numbers are compared by PSI, KS, Wasserstein and Jensen-Shannon distance, categories by PSI, Jensen-Shannon and
//! chi-square; verdicts carry their sampling bounds (see [`takt_stats::verdict`]). Up to [`Settings::exact_rows`] rows all
//! figures are exact, a few columns in memory at a time. Longer tables are counted on a grid that a sample of the reference
//! makes, and not held: PSI is exact for the grid's bins, KS lies between certified bounds.
//! Of Parquet columns are read one by one, so that memory is that of a column per core.

mod categories;
mod exact;
mod figures;
mod grid;
mod pairs;
mod render;
mod report;
mod settings;
#[cfg(test)]
mod tests;
mod workers;

pub use report::{
    Category, Chi, Classes, ColumnReport, Comparison, Histogram, Judgement, Ks, Numbers, Psi, Report, Side,
};
pub use settings::{Binning, Limits, Settings, SettingsError};

use self::pairs::{Class, Pair, pairs};
use crate::error::TableError;
use crate::table::Table;

/// Compares the columns that both tables have.
///
/// # Errors
/// A column that was asked for is missing, or rows that cannot be read.
pub fn compare(reference: &Table, current: &Table, settings: &Settings) -> Result<Report, TableError> {
    let pairs = pairs(reference, current, settings)?;
    let sides = [side(reference)?, side(current)?];
    let numbers: Vec<&Pair> = pairs.iter().filter(|pair| pair.class == Class::Numbers).collect();
    let exact = sides.iter().all(|side| side.rows <= settings.exact_rows);
    let mut numbers = match exact {
        true => exact::compare([reference, current], &numbers, settings)?,
        false => grid::compare([reference, current], &numbers, settings)?,
    }
    .into_iter();
    let mut columns = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        columns.push(match &pair.class {
            // One for each, in their order.
            Class::Numbers => numbers.next(),
            Class::Categories => Some(categories::compare([reference, current], pair, &sides, settings)?),
            Class::Skipped(reason) => Some(ColumnReport::skipped(&pair.name, reason)),
        });
    }
    let names = |table: &Table, other: &Table| {
        let only = table.columns().iter().filter(|column| other.column(&column.name).is_err());
        only.map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    // Columns that nobody asked for are nobody's loss.
    let whole = settings.columns.is_empty();
    let gone = if whole { names(reference, current) } else { Vec::new() };
    let new = if whole { names(current, reference) } else { Vec::new() };
    Ok(Report::new(sides, settings, columns.into_iter().flatten().collect(), gone, new))
}

fn side(table: &Table) -> Result<Side, TableError> {
    Ok(Side { path: table.path().display().to_string(), rows: table.rows()? })
}
