//! Why a run could not begin.

use std::io;
use std::path::{Path, PathBuf};

use crate::told::advice_for;

/// A run or a look that did not come to any stage. What a stage does wrong is in the
/// [`Summary`](super::Summary) instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another run works in the folder.
    #[error(
        "work folder {} is in use by {}; wait until that run has ended, or give another work folder",
        work.display(),
        pid.map_or_else(|| "another run".to_owned(), |pid| format!("process {pid}"))
    )]
    Busy {
        /// The work folder.
        work: PathBuf,
        /// The process, where it says so.
        pid: Option<u32>,
    },
    /// Sources that are not there or cannot be read; all of them.
    #[error("{}", .0.join("\n"))]
    Sources(Vec<String>),
    /// A stage was named that the plan does not have.
    #[error("no stage '{found}' in this plan; expected one of {known}{}", did_you_mean(closest.as_deref()))]
    UnknownStage {
        /// What was named.
        found: String,
        /// The name it is most like.
        closest: Option<String>,
        /// All names.
        known: String,
    },
    /// The work folder cannot be used.
    #[error("cannot {what} {}: {source}{}", path.display(), advice_for(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RunError {
    /// Stable label.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "busy",
            Self::Sources(_) => "sources",
            Self::UnknownStage { .. } => "unknown_stage",
            Self::Io { .. } => "io",
        }
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

pub(super) fn did_you_mean(closest: Option<&str>) -> String {
    closest.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default()
}
