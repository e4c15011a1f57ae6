//! What happened, defined once: an [`Outcome`] for every answer and a [`Label`] for what a part really was. Monitoring,
//! rollout, feedback and the prediction log speak these, as values in memory and as JSON lines on disk.
//!
//! Every line carries `"schema": 1`. A line of a newer schema is refused as newer, never half understood.

mod features;
mod id;
mod label;
mod latency;
mod line;
mod name;
mod outcome;
#[cfg(test)]
mod tests;

pub use features::{FeatureList, Features};
pub use id::{BadPredictionId, PredictionId};
pub use label::{Label, LabelVerdict, Subject};
pub use latency::Latency;
pub use line::{SCHEMA, Schema};
pub use name::{BadName, Name};
pub use outcome::{Arm, Outcome, Status};
// Also spoken by the rollout, which knows nothing of monitoring.
pub use takt_artifact::share::{BadShare, TrafficShare};
pub use takt_artifact::time::UnixMillis;
