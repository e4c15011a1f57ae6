//! Judging a model: pure figures of its outputs, gates on them, and reports for people and machines.
//!
//! ```text
//! outputs, labels, metadata --Predictions--> Report --gates::check--> Outcomes
//!                                              |-> render_table, to_json, render_html
//! ```
//!
//! Nothing here runs a model or reads a clock: whoever has outputs, from any runtime, gets the same figures.

mod agreement;
mod calibration;
mod error;
pub mod gates;
mod html;
mod metrics;
mod parity;
mod predictions;
mod rate;
mod report;
mod slices;
mod table;
#[cfg(test)]
mod tests;

pub use agreement::{Agreement, McNemar, PairedDrop};
pub use calibration::{Bin, Calibration};
pub use error::EvaluateError;
pub use gates::{Gates, Outcome, Outcomes};
pub use html::pictures;
pub use metrics::{ClassMetrics, Metrics, VerdictRates};
pub use parity::Parity;
pub use predictions::{Input, Prediction, Predictions};
pub use rate::Rate;
pub use report::{Cost, Report, ReportOptions, Robustness, Worst};
pub use slices::{ColumnSlices, Slice};
