//! A rollout between two Services: a GRPCRoute splits the traffic, a Prometheus tells what became of it, and the machine of
//! `takt_rollout`, which servers run inside themselves in the other layer, decides here. Pure: no clock, no network.

pub mod counts;
mod step;
#[cfg(test)]
mod tests;
pub mod weights;

pub use step::{Answers, Look, Memory, Step, step};
pub use weights::Split;
