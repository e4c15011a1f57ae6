//! Stages from data to a packaged version: the part of Takt that makes models, beside the part that serves them.

pub mod card;
pub mod data;
pub mod evaluate;
mod file;
pub mod latency;
mod math;
pub mod predict;
pub mod progress;
pub mod prune;
pub mod quantise;
pub mod recipe;
mod rng;
pub mod run;
pub mod stage;
#[cfg(test)]
mod testing;
pub mod train;
