//! What the server tells of itself: counters per version, Prometheus families made from them, and traces.

pub mod device;
pub mod metrics;
mod process;
pub mod stats;
pub mod traces;
