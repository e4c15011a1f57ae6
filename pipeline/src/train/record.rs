//! What is kept of each epoch, and the file it is written to.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::TrainError;

/// Figures of one epoch; one line of JSON in a log of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// Mean loss of its steps.
    pub loss: f64,
    /// Learning rate at its end.
    pub learning_rate: f64,
    /// Share of validation images whose class is right.
    pub accuracy: f64,
    /// Mean recall of the classes on the validation images.
    pub balanced_accuracy: f64,
    /// Training images a second, validation left out.
    pub images_per_second: f64,
    /// Seconds since the run began, those before an interruption included.
    pub seconds: f64,
}

/// Writes a line of JSON per epoch: a run that was resumed has all its epochs once.
///
/// # Errors
/// The file cannot be written.
pub fn write_records(path: &Path, records: &[EpochRecord]) -> Result<(), TrainError> {
    let lines: String = records.iter().map(|record| serde_json::to_string(record).unwrap_or_default() + "\n").collect();
    crate::file::replace(path, lines.as_bytes()).map_err(TrainError::file(path))
}
