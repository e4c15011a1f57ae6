//! Drift, health and funnel monitoring. No transport and no clock of its own.
//!
//! Depends on takt-artifact for the vocabulary of a version ([`VersionDigest`](takt_artifact::VersionDigest),
//! [`Judgement`](takt_artifact::decision::Judgement), the drift reference): one idea has one type.

pub mod agreement;
pub mod alert;
pub mod capture;
pub mod cause;
mod disk;
pub mod drift;
pub mod events;
pub mod features;
pub mod feedback;
pub mod funnel;
pub mod log;
#[cfg(test)]
mod sample;

pub use disk::DiskError;
