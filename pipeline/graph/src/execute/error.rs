//! What can go wrong between a graph and its tensors.

use crate::TensorError;
use crate::shape::ShapeError;

/// Why a graph cannot be run, or a run failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The executor has no such operator.
    #[error("{node}: this operator cannot be run for training; supported are {}", super::compile::SUPPORTED)]
    Operator {
        /// The node.
        node: String,
    },
    /// The executor has the operator, but not this use of it.
    #[error("{node}: {fault}")]
    Node {
        /// The node.
        node: String,
        /// What was found and what was expected.
        fault: String,
    },
    /// A node failed on its tensors.
    #[error("{node}: {cause}")]
    Failed {
        /// The node.
        node: String,
        /// What candle said.
        cause: candle_core::Error,
    },
    /// Shapes that cannot be.
    #[error(transparent)]
    Shapes(#[from] ShapeError),
    /// An initialiser cannot be read.
    #[error("initialiser '{name}': {fault}")]
    Tensor {
        /// The initialiser.
        name: String,
        /// What is wrong with it.
        fault: TensorError,
    },
    /// The wrong number of inputs.
    #[error("found {found} inputs, expected {expected}")]
    Inputs {
        /// How many there are.
        found: usize,
        /// How many the graph takes.
        expected: usize,
    },
    /// A tap that leads nowhere.
    #[error("found no value '{0}' to tap; it may have been removed by a clean-up pass")]
    NoSuchValue(String),
    /// Weights that do not fit the model they are written to.
    #[error("'{name}' has shape {found:?}, expected {expected}")]
    Write {
        /// The initialiser.
        name: String,
        /// Shape of what is to be written.
        found: Vec<usize>,
        /// What the model has.
        expected: String,
    },
    /// candle failed outside a node.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
