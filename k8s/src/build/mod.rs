//! Resources and statuses, made from decisions and specs. Pure, and cannot fail: what could be wrong was found before.

pub mod conditions;
pub mod memory;
mod rollout;
pub mod route_memory;
mod server;
mod workload;

pub use rollout::{Outcome, rollout_status, worth_writing};
pub use server::{server_faults, server_status};
pub use workload::{Children, Kept, MANAGED_BY, children, selector_labels};
