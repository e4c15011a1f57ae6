//! Stages from data to a packaged version: the part of Takt that makes models, beside the part that serves them.

pub mod card;
mod cores;
pub mod data;
#[cfg(feature = "tables")]
pub mod drift;
pub mod evaluate;
mod file;
pub mod labelling;
pub mod latency;
pub mod lineage;
mod math;
pub mod outcomes;
mod page;
pub mod predict;
pub mod progress;
pub mod prune;
pub mod quantise;
pub mod recipe;
pub mod reference;
mod rng;
pub mod run;
pub mod stage;
#[cfg(test)]
mod testing;
mod told;
pub mod train;

pub use told::told;
