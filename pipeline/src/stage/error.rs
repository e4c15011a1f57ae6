//! Why a stage failed.

use std::io;
use std::path::PathBuf;

use takt_artifact::write::WriteError;
use takt_graph::patch::PassError;
use takt_graph::shape::ShapeError;
use takt_graph::{LoadError, SaveError};

use crate::card::CardError;
use crate::data::DataError;
use crate::evaluate::EvaluateError;
use crate::latency::LatencyError;
use crate::predict::PredictError;
use crate::prune::PruneStageError;
use crate::quantise::QuantiseError;
use crate::train::TrainError;

/// A stage that left no result.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "named by what failed; the cause says the rest")]
pub enum StageError {
    // The cause names the path.
    #[error("{source}")]
    Model { path: PathBuf, source: Box<LoadError> },
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error(transparent)]
    Card(#[from] CardError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[cfg(feature = "tables")]
    #[error(transparent)]
    Suite(#[from] takt_tables::validate::SuiteError),
    #[error(transparent)]
    Train(TrainError),
    #[error(transparent)]
    Predict(Box<PredictError>),
    #[error(transparent)]
    Prune(#[from] PruneStageError),
    #[error(transparent)]
    Latency(#[from] LatencyError),
    #[error(transparent)]
    Quantise(QuantiseError),
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    #[error("clean-up: {0}")]
    Clean(#[from] PassError),
    #[error(transparent)]
    Tensor(#[from] takt_graph::TensorError),
    #[error(transparent)]
    Shapes(#[from] ShapeError),
    #[error("a new head: {0}")]
    Head(#[from] takt_graph::head::HeadError),
    #[error(transparent)]
    Architecture(#[from] takt_graph::arch::ArchError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("'{path}': {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Settings(String),
    #[error("another process is writing to '{folder}'; wait for it, or give another folder")]
    Busy { folder: PathBuf },
    #[error("interrupted; the same command goes on from its checkpoint")]
    Interrupted,
    #[error("{what}: found {found}, expected {expected}")]
    Mismatch { what: &'static str, found: String, expected: String },
}

impl StageError {
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

impl From<TrainError> for StageError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Predict(error) => (*error).into(),
            TrainError::Teacher(error) if matches!(*error, PredictError::Interrupted) => Self::Interrupted,
            error => Self::Train(error),
        }
    }
}

impl From<QuantiseError> for StageError {
    fn from(error: QuantiseError) -> Self {
        match error {
            QuantiseError::Interrupted => Self::Interrupted,
            error => Self::Quantise(error),
        }
    }
}

impl From<PredictError> for StageError {
    fn from(error: PredictError) -> Self {
        match error {
            PredictError::Interrupted => Self::Interrupted,
            error => Self::Predict(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::told;

    #[test]
    fn a_model_that_cannot_be_read_is_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torn.onnx");
        std::fs::write(&path, b"not a model").unwrap();
        let source = Box::new(takt_graph::Model::load(&path).unwrap_err());
        let error = told(&StageError::Model { path, source });
        assert!(error.contains("torn.onnx: is cut off or no ONNX model"), "{error}");
        assert_eq!(error.matches("torn.onnx").count(), 1, "{error}");
    }
}
