//! Why times cannot be had.

use std::io;
use std::path::PathBuf;

use takt_backend::{LoadError, RunError};
use takt_graph::SaveError;
use takt_graph::check::CheckErrors;
use takt_graph::shape::ShapeError;

/// Times that could not be measured or kept.
#[derive(Debug, thiserror::Error)]
pub enum LatencyError {
    /// Nothing to measure with.
    #[error(
        "latency is measured with ONNX Runtime, and none was found on this machine; `pip install onnxruntime`, or point TAKT_ORT \
         at its library, or prune by multiply-accumulates"
    )]
    NoRuntime,
    /// The runtime does not start, or does not take a layer.
    #[error("the runtime does not take a layer to be measured: {0}")]
    Load(#[from] LoadError),
    /// It does not run it.
    #[error("the runtime failed on a layer to be measured: {0}")]
    Run(#[from] RunError),
    /// An image of unknown size.
    #[error(
        "{node} reads {found}, expected [batch, channels, height, width] of known size; export the model for one size of image"
    )]
    Size {
        /// Which layer.
        node: String,
        /// What it reads.
        found: String,
    },
    /// A file that is not what we write.
    #[error("'{path}' is no table of latencies: {reason}; remove it, and it is measured anew")]
    Table {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that cannot be read or written.
    #[error("'{path}': {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Shapes that cannot be.
    #[error(transparent)]
    Shapes(#[from] ShapeError),
    /// A layer of ours that is none.
    #[error("a layer to be measured: {0}")]
    Probe(#[from] CheckErrors),
    /// It cannot be written.
    #[error(transparent)]
    Save(#[from] SaveError),
}

impl LatencyError {
    pub(super) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
