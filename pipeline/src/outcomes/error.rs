//! Why predictions cannot be had.

use std::path::PathBuf;

use takt_monitoring::log::LogError;

use crate::data::quoted;

/// Why a prediction log gives no table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomesError {
    /// There is no log.
    #[error(
        "{} has no prediction log, expected files such as 0000000001.seg; give the folder monitor/predictions of a server's state directory, or that directory",
        path.display()
    )]
    NoLog {
        /// What was given.
        path: PathBuf,
    },
    /// It cannot be listed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Nothing is left of it.
    #[error(
        "no prediction of {} is left: found {found} of other times or models ({}); ask for one of these, or for a longer time",
        path.display(),
        quoted(models)
    )]
    Nothing {
        /// The log.
        path: PathBuf,
        /// How many predictions were left out.
        found: u64,
        /// The models that it has, with their versions.
        models: Vec<String>,
    },
    /// There are predictions of several models, which say nothing together.
    #[error("{} has predictions of several {what} ({}), expected one; choose one with {flag}", path.display(), quoted(found))]
    Several {
        /// The log.
        path: PathBuf,
        /// `models` or `versions`.
        what: &'static str,
        /// Them.
        found: Vec<String>,
        /// The flag.
        flag: &'static str,
    },
    /// The table cannot be written or read.
    #[cfg(feature = "tables")]
    #[error(transparent)]
    Table(#[from] takt_tables::TableError),
    /// No place for the table that it becomes meanwhile.
    #[error("cannot make a folder for temporary files; set TMPDIR to a place with room")]
    Temporary(#[source] std::io::Error),
}

impl OutcomesError {
    /// Stable label of the kind of error.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoLog { .. } => "no_log",
            Self::Log(error) => error.kind(),
            Self::Nothing { .. } => "nothing",
            Self::Several { .. } => "several",
            #[cfg(feature = "tables")]
            Self::Table(error) => error.kind(),
            Self::Temporary(_) => "temporary",
        }
    }
}
