//! The inference server: models on disk (`repository`), models in memory (`registry`), requests joined to batches
//! (`batch`), and the protocols in front of them.

pub mod batch;
pub mod error;
pub mod request;
pub mod state;
pub mod supervise;
pub mod telemetry;
