//! Which elements of which dimensions explain a change, over tables and prediction logs.

mod render;
mod rows;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use takt_monitoring::cause::adtributor::Explained;
use takt_monitoring::cause::riskloc::Combination;
use takt_monitoring::cause::{CauseError, Quotient, Ratio, Row, Sum, Table, adtributor, riskloc};
use takt_tables::{Amount, TableError};

use self::rows::{Leaves, leaves};
use crate::data::DataError;

/// Surprise of a dimension all of whose elements changed alike, but for rounding: it explains everything and nothing.
const UNSURPRISING: f64 = 1e-9;

/// More dimensions than this are searched for combinations.
const FEW: usize = 3;

/// Where what was expected and what came are.
#[derive(Debug, Clone, Copy)]
pub enum Sides<'a> {
    /// In two tables.
    Tables {
        /// What was expected.
        reference: &'a Path,
        /// What came.
        current: &'a Path,
        /// What is added up on either side.
        measure: &'a Amount,
        /// What it is divided by.
        per: Option<&'a Amount>,
    },
    /// In columns of one table.
    Columns {
        /// The table.
        data: &'a Path,
        /// What was expected and what came.
        measure: [&'a Amount; 2],
        /// What either is divided by.
        per: Option<[&'a Amount; 2]>,
    },
}

/// How causes are sought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// Adtributor for rates and up to three dimensions, else RiskLoc, and Adtributor again where that finds nothing.
    #[default]
    Auto,
    /// One dimension at a time.
    Adtributor,
    /// Combinations of dimensions, of sums.
    Riskloc,
}

/// What explains a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CauseReport {
    /// Schema of the JSON: 1.
    pub schema: u32,
    /// The dimensions.
    pub dimensions: Vec<String>,
    /// What is measured, such as `verdict=defect per rows`.
    pub measure: String,
    /// What was expected in all.
    pub forecast: f64,
    /// What came in all.
    pub actual: f64,
    /// Combinations of elements that the tables have.
    pub leaves: usize,
    /// The ranked causes.
    #[serde(flatten)]
    pub causes: Causes,
}

/// Ranked causes, by the method that found them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "method", content = "causes", rename_all = "snake_case")]
pub enum Causes {
    /// Dimensions with their elements.
    Adtributor(Vec<adtributor::Cause>),
    /// Combinations of elements.
    Riskloc(Vec<Combination>),
}

/// Why no cause can be sought.
#[derive(Debug, thiserror::Error)]
pub enum RootCauseError {
    /// Data that cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A table that cannot be read, or lacks a column.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Dimensions or numbers that make no sense.
    #[error(transparent)]
    Cause(#[from] CauseError),
    /// RiskLoc adds up, and rates do not.
    #[error("RiskLoc is for sums, and {measure} is a rate; take Adtributor, or leave the divisor out")]
    Rate {
        /// The measure.
        measure: String,
    },
}

/// Seeks the causes; nothing where `stop` was set meanwhile.
///
/// # Errors
/// Data that cannot be read, columns that are missing or hold no numbers, negative numbers, or RiskLoc for a rate.
pub fn root_cause(
    sides: &Sides<'_>,
    dimensions: &[String],
    method: Method,
    stop: &AtomicBool,
) -> Result<Option<CauseReport>, RootCauseError> {
    let names: Vec<&str> = dimensions.iter().map(String::as_str).collect();
    if names.is_empty() {
        return Err(CauseError::Dimensions { found: 0 }.into());
    }
    let (measure, is_rate) = sides.measure();
    if is_rate && method == Method::Riskloc {
        return Err(RootCauseError::Rate { measure });
    }
    let Some(Leaves { rows, totals: [forecast, actual] }) = leaves(sides, &names, stop)? else { return Ok(None) };
    let causes = if is_rate {
        let ratio = |[f1, f2, a1, a2]: [f64; 4]| {
            let quotient = |numerator, denominator| Quotient { numerator, denominator };
            Ratio { forecast: quotient(f1, f2), actual: quotient(a1, a2) }
        };
        let rows: Vec<Row<Ratio>> =
            rows.iter().map(|(elements, of)| Row { elements: elements.clone(), measure: ratio(*of) }).collect();
        by_dimension(&Table::new(&names, &rows)?)
    } else {
        let sum = |[forecast, _, actual, _]: [f64; 4]| Sum { forecast, actual };
        let rows: Vec<Row<Sum>> =
            rows.iter().map(|(elements, of)| Row { elements: elements.clone(), measure: sum(*of) }).collect();
        of_sums(&Table::new(&names, &rows)?, method, names.len())
    };
    let leaves = rows.len();
    Ok(Some(CauseReport { schema: 1, dimensions: dimensions.to_vec(), measure, forecast, actual, leaves, causes }))
}

fn by_dimension<M: Explained>(table: &Table<M>) -> Causes {
    let mut causes = adtributor::explain(table, &adtributor::Options::default());
    causes.retain(|cause| cause.surprise > UNSURPRISING);
    Causes::Adtributor(causes)
}

fn of_sums(table: &Table<Sum>, method: Method, dimensions: usize) -> Causes {
    if method == Method::Adtributor || method == Method::Auto && dimensions <= FEW {
        return by_dimension(table);
    }
    let found = riskloc::explain(table, &riskloc::Options::default());
    if found.is_empty() && method == Method::Auto { by_dimension(table) } else { Causes::Riskloc(found) }
}

impl Sides<'_> {
    /// What is measured, and whether it is a rate.
    fn measure(&self) -> (String, bool) {
        let told = |measure: String, per: Option<String>| match per {
            Some(per) => (format!("{measure} per {per}"), true),
            None => (measure, false),
        };
        match self {
            Self::Tables { measure, per, .. } => told(measure.to_string(), per.map(ToString::to_string)),
            Self::Columns { measure: [_, actual], per, .. } => {
                told(actual.to_string(), per.map(|[_, actual]| actual.to_string()))
            }
        }
    }
}

impl Causes {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Adtributor(causes) => causes.len(),
            Self::Riskloc(causes) => causes.len(),
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
