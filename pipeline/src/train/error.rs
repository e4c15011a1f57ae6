//! Why training stopped without a model.

use std::io;
use std::path::PathBuf;

use takt_graph::execute::ExecuteError;
use takt_graph::{LoadError, SaveError};

use crate::card::CardError;
use crate::data::DataError;
use crate::evaluate::EvaluateError;
use crate::predict::PredictError;

/// A failed training run. What was reached before is in the checkpoint, if there is one.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Settings out of range; all of them.
    #[error("{0}")]
    Settings(String),
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The graph cannot be trained, or a run of it failed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// An operation on tensors failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The model does not fit the data.
    #[error("{what}: found {found}, expected {expected}")]
    Mismatch {
        /// Which property.
        what: &'static str,
        /// What the model or the images have.
        found: String,
        /// What the other side has.
        expected: String,
    },
    /// The model gives no outputs.
    #[error(transparent)]
    Predict(Box<PredictError>),
    /// The teacher gives no answers.
    #[error("teacher: {0}")]
    Teacher(Box<PredictError>),
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} in epoch {epoch}, step {step} of {steps}; lower learning_rate (it was {rate:.2e}), raise \
         warmup_epochs, or look for images without contrast"
    )]
    Diverged {
        /// What it became.
        loss: f32,
        /// Epoch, from 1.
        epoch: u32,
        /// Step within it, from 1.
        step: usize,
        /// Steps of an epoch.
        steps: usize,
        /// Learning rate of that step.
        rate: f64,
    },
    /// The predictions cannot be judged.
    #[error(transparent)]
    Judge(#[from] EvaluateError),
    /// A file of the run.
    #[error("'{path}': {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The optimiser's momenta cannot be written.
    #[error("'{path}': {source}")]
    Momenta {
        /// The file.
        path: PathBuf,
        /// What candle said.
        source: Box<candle_core::Error>,
    },
    /// A checkpoint of another run lies where this one wants to write.
    #[error(
        "'{0}' holds the checkpoint of a run with other settings, data or model; remove the folder or name another"
    )]
    ForeignCheckpoint(PathBuf),
    /// A checkpoint cannot be read.
    #[error("checkpoint '{path}' cannot be used: {reason}; remove the folder to begin again")]
    Checkpoint {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// What a model says of its own pruning cannot be read.
    #[error(transparent)]
    Lineage(#[from] CardError),
    /// A model cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A model cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

impl From<PredictError> for TrainError {
    fn from(error: PredictError) -> Self {
        Self::Predict(Box::new(error))
    }
}

impl TrainError {
    pub(super) fn teacher(error: PredictError) -> Self {
        Self::Teacher(Box::new(error))
    }

    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
