//! Drift references (`profile.json`) of what a line has made: its prediction log, or a table. Rows are taken in their order,
//! which is that of time, in constant memory. Folders of images need their model too: see
//! [`stage::reference`](crate::stage::reference).

mod error;
mod log;
#[cfg(feature = "tables")]
mod table;

use std::time::Duration;

pub use error::ReferenceError;
pub use log::of_log;
#[cfg(feature = "tables")]
pub use table::of_table;
use takt_artifact::VersionDigest;
use takt_artifact::profile::{Origin, Profile};
use takt_monitoring::drift::{LearnRule, Learner, Reference, TooFewRows};

/// What a reference is of.
#[derive(Debug, Clone, Copy)]
pub struct Of<'a> {
    /// Classes in the order of the model's output; those that occur where none is given.
    pub classes: &'a [String],
    /// When, RFC 3339 UTC.
    pub created: &'a str,
}

/// Everything counts that is given: nobody waits for more.
const RULE: LearnRule = LearnRule { units: 0, time: Duration::ZERO, units_per_station: 0 };

fn finish(
    learner: &Learner,
    model: &str,
    labels: &[String],
    version: Option<VersionDigest>,
    of: &Of<'_>,
) -> Result<Profile, ReferenceError> {
    let origin = if version.is_some() { Origin::Learned } else { Origin::Packaged };
    let reference = Reference { model, labels, created: of.created.to_owned(), origin, version, artefact: None };
    let found = usize::try_from(learner.progress().units).unwrap_or(usize::MAX);
    learner.finish(&reference).ok_or_else(|| TooFewRows { found }.into())
}
