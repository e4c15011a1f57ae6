//! What is kept of each epoch, and the file it is appended to.

use std::fs::OpenOptions;
use std::io::Write;
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

/// Appends a line of JSON.
///
/// # Errors
/// The file cannot be written.
pub fn append_record(path: &Path, record: &EpochRecord) -> Result<(), TrainError> {
    let line = serde_json::to_string(record).unwrap_or_default() + "\n";
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(TrainError::file(path))
}
