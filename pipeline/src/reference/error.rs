//! Why there is no reference.

use std::path::PathBuf;

use takt_monitoring::drift::TooFewRows;
use takt_monitoring::features::VISION_NAMES;

use crate::data::quoted;
use crate::outcomes::OutcomesError;

/// Why no reference can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The log cannot be read.
    #[error(transparent)]
    Outcomes(#[from] OutcomesError),
    /// The table cannot be read.
    #[cfg(feature = "tables")]
    #[error(transparent)]
    Table(#[from] takt_tables::TableError),
    /// There is too little.
    #[error(transparent)]
    TooFew(#[from] TooFewRows),
    /// Some classes did not occur, or occur and are not known.
    #[error("{}: {found}, expected all classes in the order of the model's output; give them with --classes", path.display())]
    Classes {
        /// Log or table.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// No column is a feature.
    #[error("{} has none of the columns {}; export a prediction log, or give images and their model", path.display(), quoted(&VISION_NAMES))]
    NoFeature {
        /// The table.
        path: PathBuf,
    },
}
