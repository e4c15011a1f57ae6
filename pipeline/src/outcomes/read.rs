//! A prediction log, one outcome after another.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use takt_monitoring::events::{Outcome, UnixMillis};
use takt_monitoring::log::{Reader, Skipped};

use super::error::OutcomesError;
use super::find::find;

/// Most versions that are told.
const TOLD: usize = 64;

/// Which predictions are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this model.
    pub model: Option<String>,
    /// Of versions whose digest begins so.
    pub version: Option<String>,
    /// Routed at or after.
    pub from: Option<UnixMillis>,
    /// Routed before.
    pub until: Option<UnixMillis>,
}

/// What was found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Predictions that were given.
    pub rows: u64,
    /// Predictions of other times or models.
    pub left_out: u64,
    /// Models of those given.
    pub models: BTreeSet<String>,
    /// Digests of the versions of those given.
    pub versions: BTreeSet<String>,
    /// Models and versions of all, at most 64.
    pub seen: BTreeSet<String>,
    /// Stretches that could not be read.
    pub skipped: Vec<Skipped>,
}

/// The predictions of a log that a filter lets through, in the order in which they were written.
#[derive(Debug)]
pub struct Outcomes {
    folder: PathBuf,
    reader: Reader,
    filter: Filter,
    found: Found,
}

impl Filter {
    fn takes(&self, outcome: &Outcome) -> bool {
        let digest = outcome.version_digest.to_string();
        let begins = |wanted: &String| {
            digest.starts_with(wanted.as_str())
                || digest.split_once(':').is_some_and(|(_, hex)| hex.starts_with(wanted.as_str()))
        };
        self.model.as_ref().is_none_or(|model| outcome.model.as_str() == model)
            && self.version.as_ref().is_none_or(begins)
            && self.from.is_none_or(|from| outcome.routed_at >= from)
            && self.until.is_none_or(|until| outcome.routed_at < until)
    }
}

impl Outcomes {
    /// Opens the log at `path`, a folder of segments or the state directory of a server.
    ///
    /// # Errors
    /// There is no log, or it cannot be listed.
    pub fn open(path: &Path, filter: Filter) -> Result<Self, OutcomesError> {
        let folder = find(path).ok_or_else(|| OutcomesError::NoLog { path: path.to_owned() })?;
        Ok(Self { reader: Reader::open(&folder)?, folder, filter, found: Found::default() })
    }

    /// What was found; complete once the last outcome was given.
    #[must_use]
    pub const fn found(&self) -> &Found {
        &self.found
    }

    /// The same, where there was anything.
    ///
    /// # Errors
    /// The filter left nothing of a log that has predictions.
    pub fn finish(self) -> Result<Found, OutcomesError> {
        if self.found.rows == 0 && self.found.left_out > 0 {
            let models = self.found.seen.into_iter().collect();
            return Err(OutcomesError::Nothing { path: self.folder, found: self.found.left_out, models });
        }
        Ok(self.found)
    }

    fn see(&mut self, outcome: &Outcome) {
        let version = outcome.version_digest.short().to_string();
        if self.found.seen.len() < TOLD {
            self.found.seen.insert(format!("{} {version}", outcome.model));
        }
    }
}

impl Iterator for Outcomes {
    type Item = Outcome;

    fn next(&mut self) -> Option<Outcome> {
        loop {
            match self.reader.next()? {
                Ok(outcome) => {
                    self.see(&outcome);
                    if !self.filter.takes(&outcome) {
                        self.found.left_out += 1;
                        continue;
                    }
                    self.found.rows += 1;
                    if self.found.models.len() < TOLD && !self.found.models.contains(outcome.model.as_str()) {
                        self.found.models.insert(outcome.model.to_string());
                    }
                    if self.found.versions.len() < TOLD {
                        self.found.versions.insert(outcome.version_digest.to_string());
                    }
                    return Some(outcome);
                }
                Err(skipped) => self.found.skipped.push(skipped),
            }
        }
    }
}
