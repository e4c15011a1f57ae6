//! Runtimes that execute an ONNX model, behind one small trait.
//!
//! [`Backend`] loads a model file into a [`Session`]; a session belongs to one instance thread and runs batches.
//! tract is always there; ONNX Runtime is found at run time (`discover`).

pub mod tensor;

pub use tensor::{InputView, OutputTensor};

use std::path::PathBuf;

use serde::Serialize;
use takt_artifact::Signature;

/// A runtime that can load ONNX models.
pub trait Backend: Send + Sync {
    /// Stable name: `tract` or `onnxruntime`.
    fn name(&self) -> &'static str;

    /// Version of the runtime library, for people.
    fn version(&self) -> String;

    /// Builds a session. Slow (seconds, minutes for TensorRT engines); call it off the serving path.
    ///
    /// # Errors
    /// The file cannot be read or is not a model this runtime can run, or a demanded provider does not initialise.
    fn load(&self, request: &LoadRequest) -> Result<Box<dyn Session>, LoadError>;
}

/// A loaded model, owned by one instance thread.
pub trait Session: Send {
    /// Inputs and outputs as the runtime sees them.
    fn signature(&self) -> &Signature;

    /// What really runs the model.
    fn placement(&self) -> &Placement;

    /// Runs one batch. `inputs` are in signature order; outputs come back in signature order, each with a leading
    /// dimension equal to the batch where the model batches.
    ///
    /// # Errors
    /// The runtime failed; the session may be broken and should be rebuilt.
    fn run(&mut self, inputs: &[InputView<'_>]) -> Result<Vec<OutputTensor>, RunError>;
}

/// What to load and how.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// The ONNX file.
    pub model: PathBuf,
    /// Execution providers in order of preference; empty means CPU.
    pub providers: Vec<Provider>,
    /// Fail rather than fall back to a later provider.
    pub strict: bool,
    /// Threads within one run.
    pub intra_op_threads: usize,
    /// Batch sizes the session must be able to run; tract concretises its plan for each.
    pub batch_sizes: Vec<usize>,
    /// Where engines may be cached.
    pub cache_dir: Option<PathBuf>,
}

/// What really runs the model, visible in the log, the metadata and a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Runtime name, as [`Backend::name`].
    pub runtime: &'static str,
    /// Provider that took the model: `tract`, `cpu`, `cuda`, `tensorrt`.
    pub provider: String,
    /// Providers that were asked for and did not come up, each with the reason.
    pub declined: Vec<String>,
    /// Nodes per provider, where the runtime tells.
    pub nodes: Vec<(String, usize)>,
}

/// An execution provider with its options, as configured; grows in `provider.rs`.
#[derive(Debug, Clone, PartialEq)]
pub enum Provider {
    /// The processor.
    Cpu,
}

/// Why a session could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(pub String);

/// Why a run failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct RunError(pub String);
