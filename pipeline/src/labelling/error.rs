//! Why labels cannot be worked on.

use std::path::PathBuf;

use takt_artifact::fault::DocumentError;
use takt_monitoring::agreement::AgreementError;
use takt_monitoring::capture::CaptureError;

use crate::data::DataError;

/// Why labels cannot be worked on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabellingError {
    /// A file that cannot be read or written, or rows with faults.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Annotations that contradict themselves.
    #[error("{}: {source}", path.display())]
    Agreement {
        /// The annotations.
        path: PathBuf,
        /// What is wrong.
        source: AgreementError,
    },
    /// A file of rulings that makes no sense.
    #[error("{}: {source}", path.display())]
    Rulings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: DocumentError,
    },
    /// Captured images that cannot be listed.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// There are no captured images.
    #[error(
        "{} has no captured images; give a server's state directory, or monitor/images in it, of a server with monitor.capture_images = true",
        path.display()
    )]
    NoImages {
        /// What was given.
        path: PathBuf,
    },
    /// The folder to write to is another's.
    #[error("{} has files and no labels.csv with the columns {expected}; give a new folder, or one that was pulled into", path.display())]
    NotPulled {
        /// The folder.
        path: PathBuf,
        /// Columns that a pulled folder has.
        expected: String,
    },
}
