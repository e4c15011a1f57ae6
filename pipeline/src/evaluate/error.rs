//! Why outputs cannot be judged.

use std::path::PathBuf;

use takt_artifact::judge::{DecisionErrors, RowError};

/// Why outputs cannot be judged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// Outputs, labels and metadata are not of one and the same set of images.
    #[error("{what}: found {found}, expected {expected}; give the figures of the same images in the same order")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A label that is no class.
    #[error("image {image} has the label {label}, expected an index below {classes}, the number of classes")]
    Label {
        /// Position of the image.
        image: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// The model gave a row that cannot be judged.
    #[error("the output for image {image}{}: {source}", .file.as_ref().map(|f| format!(" ({})", f.display())).unwrap_or_default())]
    Row {
        /// Position of the image.
        image: usize,
        /// Its file, where known.
        file: Option<PathBuf>,
        /// What is wrong.
        source: RowError,
    },
    /// The decision does not fit the classes.
    #[error(transparent)]
    Decision(#[from] DecisionErrors),
    /// There is nothing to judge.
    #[error("there is no image to judge; give a split that has some")]
    Empty,
}

impl EvaluateError {
    /// Stable label of the kind of error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Count { .. } => "count",
            Self::Label { .. } => "label",
            Self::Row { .. } => "row",
            Self::Decision(_) => "decision",
            Self::Empty => "empty",
        }
    }
}
