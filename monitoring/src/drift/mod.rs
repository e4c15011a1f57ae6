//! Drift of what goes into a model and comes out of it, against a reference, in constant memory.
//!
//! A [`Profile`](takt_artifact::profile::Profile) fixes a grid per feature. [`Counters`] count on the request path, one
//! search and one relaxed addition per value. At the end of each pane their increments become a sealed [`Pane`]; the sum
//! of the last panes is the [`Window`], which [`evaluate`] judges. Who has no profile learns one ([`Learner`]).
//! No clock: who seals a pane says when.

mod builder;
mod config;
mod counters;
mod evaluate;
mod evidence;
mod lag;
mod learn;
mod mix;
mod monitor;
mod pane;
mod report;
#[cfg(test)]
mod tests;

pub use builder::{Reference, Row, TooFewRows, build, comparable};
pub use config::{DriftConfig, Limits};
pub use counters::{Counters, Seen};
pub use evaluate::{Evidence, evaluate};
pub use evidence::{EvidenceReport, PaneEvidence};
pub use learn::{LearnRule, Learner, Progress};
pub use monitor::DriftMonitor;
pub use pane::{Pane, Window};
pub use report::{DriftReport, FeatureReport, Judgement, SegmentReport, WindowReport};
