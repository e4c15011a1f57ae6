//! Runtimes that execute an ONNX model, behind one small trait.
//!
//! [`Backend`] loads a model file into a [`Session`]; a session belongs to one instance thread and runs batches.
//! tract is always there; ONNX Runtime is found at run time ([`discover`]). What really runs a model, and what was asked for
//! but did not come up, is in its [`Placement`].
//!
//! The TensorRT and CUDA paths have never run on the hardware: what is tested is how options reach ONNX Runtime, and what
//! happens where the provider is not there.

mod check;
mod contain;
pub mod discover;
pub mod engine;
mod error;
#[cfg(feature = "fault-injection")]
pub mod fault;
pub mod memory;
#[cfg(feature = "ort")]
pub mod ort;
pub mod provider;
pub mod report;
pub mod tensor;
#[cfg(feature = "tract")]
pub mod tract;

pub use error::{LoadError, RunError};
pub use provider::Provider;
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
    /// The inputs do not fit, or the runtime failed; [`RunError::breaks_session`] tells whether to rebuild the session.
    fn run(&mut self, inputs: &[InputView<'_>]) -> Result<Vec<OutputTensor>, RunError>;
}

/// What to load and how.
#[derive(Debug, Clone, Default)]
pub struct LoadRequest {
    /// The ONNX file.
    pub model: PathBuf,
    /// Execution providers in order of preference; empty means CPU.
    pub providers: Vec<Provider>,
    /// Fail rather than fall back to a later provider.
    pub strict: bool,
    /// Threads within one run, for this session alone; 0 shares the pool of the process. tract always runs on one.
    pub intra_op_threads: usize,
    /// Batch sizes the session must be able to run; a hint for what to optimise. Empty: any.
    pub batch_sizes: Vec<usize>,
    /// Where engines may be cached; a provider's own `engine_cache_path` goes before it.
    pub cache_dir: Option<PathBuf>,
    /// Bits of the widest INT8 weights, where known; see [`provider::Cpu::exact_int8`].
    pub weight_bits: Option<u8>,
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
