//! Drift, health and quality monitoring. No transport and no clock of its own: time is an argument, and files lie below
//! folders that are given.
//!
//! What becomes of an outcome: its [`features`] go to the [`drift`] monitor, it itself to the prediction [`log`] and to the
//! [`feedback`] store, where labels find it, and its image perhaps to the [`capture`]. From the store's counts come quality
//! with exact bounds and the [`funnel`], which asks [`cause`] where a change lies. [`agreement`] is about the labels
//! themselves; [`alert`] and [`notify`] about who has to know.
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
pub mod notify;
#[cfg(test)]
mod sample;

pub use disk::DiskError;
