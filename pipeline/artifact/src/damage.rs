//! Why a directory is no version, or not the version it says it is.

use std::io;
use std::path::PathBuf;

use crate::manifest::ManifestErrors;

/// Why a directory was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The file system refused.
    #[error("cannot read {}: {cause}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Neither packaged nor bare.
    #[error(
        "{}: found {found}, expected manifest.json or model.onnx; package the model with `takt package` or name its file model.onnx",
        path.display()
    )]
    NoModel {
        /// The directory.
        path: PathBuf,
        /// Names in it.
        found: String,
    },
    /// The manifest does not hold.
    #[error("{}: {cause}", path.display())]
    Manifest {
        /// The manifest's path.
        path: PathBuf,
        /// Everything that is wrong with it.
        cause: ManifestErrors,
    },
    /// The files are not those of the version.
    #[error(
        "{}: {}; copy the version again from where it was packaged",
        path.display(),
        .damage.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Damaged {
        /// The directory.
        path: PathBuf,
        /// Everything that is wrong; never empty.
        damage: Vec<Damage>,
    },
}

/// One file that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file is not there.
    #[error("{file}: missing, expected {expected} bytes")]
    Missing {
        /// Its name.
        file: String,
        /// Length it should have.
        expected: u64,
    },
    /// There is something else of that name.
    #[error("{file}: found something other than a file")]
    NotAFile {
        /// Its name.
        file: String,
    },
    /// The file has another length.
    #[error("{file}: found {found} bytes, expected {expected}")]
    Length {
        /// Its name.
        file: String,
        /// Its length.
        found: u64,
        /// Length it should have.
        expected: u64,
    },
    /// The file has other contents.
    #[error("{file}: found sha256 {found}, expected {expected}")]
    Altered {
        /// Its name.
        file: String,
        /// Its sha256.
        found: String,
        /// The sha256 it should have.
        expected: String,
    },
    /// Weights beside the model that a runtime could load unverified.
    #[error("{file}: external data that the version does not list")]
    UnlistedData {
        /// Its name.
        file: String,
    },
}

impl VersionError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::NoModel { .. } => "no_model",
            Self::Manifest { .. } => "manifest",
            Self::Damaged { .. } => "damaged",
        }
    }
}
