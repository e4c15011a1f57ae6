//! What is kept of each epoch.

use serde::{Deserialize, Serialize};

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
