//! Why a run could not begin, and how errors of stages become text.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

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

/// An error with its causes on one line, and with what to do where that is known.
pub(super) fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut full = "";
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = cause.to_string();
        // Many errors name their cause themselves.
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        if let Some(cause) = cause.downcast_ref::<io::Error>() {
            full = advice_for(cause);
        }
        next = cause.source();
    }
    if text.contains(full) { text } else { text + full }
}

fn advice_for(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free space there (results that no plan needs can be pruned) and run again, it goes on where it stopped"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; give this user the right to it, or use another folder"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot write epoch 3")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_full_disk_is_told_with_its_causes_and_what_to_do() {
        let error = Outer(io::Error::from(io::ErrorKind::StorageFull));
        let text = told(&error);
        assert!(text.starts_with("cannot write epoch 3: no storage space; free space"), "{text}");
    }

    #[test]
    fn a_cause_that_is_named_already_is_not_told_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("epoch 3: {0}")]
        struct Telling(#[source] io::Error);
        assert_eq!(told(&Telling(io::Error::other("torn"))), "epoch 3: torn");
    }
}
