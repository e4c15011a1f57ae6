//! Why a model cannot be pruned as asked.

use takt_graph::channels::PruneError;
use takt_graph::shape::ShapeError;

use crate::card::CardError;
use crate::train::TrainError;

/// A model that was not pruned; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PruneStageError {
    /// The target is out of reach.
    #[error(
        "the {measure} can be brought from {from} to {least} at least, asked for was {target}; ask for less, or lower block (in a \
         recipe keep_at_least too)"
    )]
    OutOfReach {
        /// What was to shrink.
        measure: &'static str,
        /// What it is.
        from: u64,
        /// The least that the settings allow.
        least: u64,
        /// What was asked for.
        target: u64,
    },
    /// Nothing can be pruned.
    #[error("no channel can be dropped: {0}")]
    Locked(String),
    /// A model of integers.
    #[error("{node}: the model is quantised already; prune the one in single precision, and quantise what comes of it")]
    Quantised {
        /// Its first node with integers.
        node: String,
    },
    /// A criterion that the model does not offer.
    #[error("criterion {criterion} needs {needs}, which the model has not; use {instead}")]
    Criterion {
        /// Which.
        criterion: &'static str,
        /// What is missing.
        needs: &'static str,
        /// What works.
        instead: &'static str,
    },
    /// Nothing by which channels could be driven to zero.
    #[error(
        "sparsity works on BatchNormalization, which this model has not on every channel (folded by its exporter?); leave it out, \
         or export the model in training mode"
    )]
    Sparsity,
    /// Settings out of range.
    #[error("{0}")]
    Settings(String),
    /// Shapes that cannot be.
    #[error(transparent)]
    Shapes(#[from] ShapeError),
    /// A weight that cannot be read.
    #[error(transparent)]
    Tensor(#[from] takt_graph::TensorError),
    /// The graph refuses.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// What the model says of its own pruning cannot be read, or written.
    #[error(transparent)]
    Lineage(#[from] CardError),
    /// Gradients or statistics could not be had.
    #[error(transparent)]
    Train(#[from] TrainError),
}
