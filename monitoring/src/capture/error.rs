//! Why an image was not written or read.

use std::path::PathBuf;

use takt_artifact::fault::DocumentError;

use crate::disk::DiskError;

/// Why an image or what is known of it could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The outcome makes no sense.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The bytes are not those that were written.
    #[error("{}: its sha256 is not the one in its name; the disk may be failing, remove the image", path.display())]
    Damaged {
        /// The image.
        path: PathBuf,
    },
}

impl CaptureError {
    /// Stable label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Disk(error) => error.kind(),
            Self::Document(error) => error.kind(),
            Self::Damaged { .. } => "damaged",
        }
    }
}
