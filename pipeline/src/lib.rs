//! Stages from data to a packaged version: the part of Takt that makes models, beside the part that serves them.

pub mod data;
pub mod evaluate;
mod math;
pub mod predict;
pub mod progress;
pub mod prune;
mod rng;
pub mod run;
#[cfg(test)]
mod testing;
pub mod train;
