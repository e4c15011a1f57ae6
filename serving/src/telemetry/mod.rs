//! What the server tells of itself: counters per version, Prometheus families made from them, spans and logs.

pub mod metrics;
mod process;
pub mod stats;
