//! What the server tells of itself: counters per version, Prometheus families made from them, and traces.

pub mod crowd;
pub mod device;
pub mod failed_runs;
pub mod gpu;
pub mod metrics;
mod process;
pub mod run_times;
pub mod stats;
pub mod traces;
