//! ONNX Runtime, loaded at run time from wherever [`discover`](crate::discover) finds it.
//!
//! One global pool of threads serves all sessions, so that instances do not fight over the cores; a session that sets
//! `intra_op_threads` gets its own. Inputs are read and outputs lent out in place.

mod convert;
mod environment;
mod library;
mod placement;

use std::path::Path;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::RunOptions;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::Outlet;
use takt_artifact::{Signature, TensorSpec};

pub use environment::{RuntimeOptions, in_use};
pub use library::{Library, LibraryError, inspect};

use crate::discover::{Candidate, NamedMissing, Surroundings};
use crate::provider::Cpu;
use crate::{Backend, InputView, LoadError, LoadRequest, OutputTensor, Placement, Provider, RunError, Session, check};

/// Stable name of this runtime.
pub const NAME: &str = "onnxruntime";

/// ONNX Runtime, loaded.
pub struct OrtBackend {
    environment: Environment,
    library: Library,
    options: RuntimeOptions,
}

impl OrtBackend {
    /// Loads the library at `path`. A process can load one, with one set of options.
    ///
    /// # Errors
    /// [`LoadError::Runtime`]: the file cannot be loaded, is not ONNX Runtime or too old, or another one is in use.
    pub fn open(path: &Path, options: RuntimeOptions) -> Result<Self, LoadError> {
        let (environment, library) = environment::environment(path, options)?;
        Ok(Self { environment, library, options })
    }

    /// Looks for the library as [`Surroundings::look`] does and loads the first that works; `None` where there is none.
    ///
    /// # Errors
    /// [`LoadError::Runtime`]: the one that was named explicitly is not there or does not work.
    pub fn find(surroundings: &Surroundings, options: RuntimeOptions) -> Result<Option<Self>, LoadError> {
        let found = surroundings.look().map_err(|missing: NamedMissing| LoadError::Runtime(missing.to_string()))?;
        for Candidate { source, path, .. } in found {
            match Self::open(&path, options) {
                Ok(backend) => {
                    let library = &backend.library;
                    tracing::info!(version = library.version, path = %path.display(), %source, "ONNX Runtime found");
                    return Ok(Some(backend));
                }
                Err(error) if source.is_explicit() => {
                    return Err(LoadError::Runtime(format!(
                        "{source} names an ONNX Runtime that does not work: {error}"
                    )));
                }
                Err(error) => tracing::warn!(%source, "passing over an ONNX Runtime: {error}"),
            }
        }
        Ok(None)
    }

    /// The library in use.
    #[must_use]
    pub const fn library(&self) -> &Library {
        &self.library
    }

    /// Loads `request`'s model as a session would and writes the graph that ONNX Runtime made of it to `to`: which operators
    /// it fused and which it will run on integers. The file is for looking into; it is not meant to be served.
    ///
    /// # Errors
    /// The model does not load, or the file cannot be written.
    pub fn write_optimised(&self, request: &LoadRequest, to: &Path) -> Result<(), LoadError> {
        let failed = |error: ort::Error| {
            let (from, to) = (request.model.display(), to.display());
            LoadError::Runtime(format!("ONNX Runtime does not write '{from}', optimised, to '{to}': {error}"))
        };
        let mut builder = self.builder(request)?.with_optimized_model_path(to).map_err(|error| failed(error.into()))?;
        builder.commit_from_file(&request.model).map(drop).map_err(failed)
    }

    fn builder(&self, request: &LoadRequest) -> Result<SessionBuilder, LoadError> {
        let failed =
            |error: ort::Error| LoadError::Runtime(format!("ONNX Runtime refuses its session options: {error}"));
        let builder = ort::session::Session::builder(&self.environment).map_err(failed)?;
        let configured = || -> ort::Result<SessionBuilder> {
            let builder = builder
                .with_optimization_level(GraphOptimizationLevel::All)?
                // Weights straight from the system: an arena would round each up and keep the difference.
                .with_device_allocated_initializers()?;
            let builder = if exact_int8(request) { builder.with_precise_qmm()? } else { builder };
            if request.intra_op_threads == 0 {
                return Ok(builder);
            }
            let own = builder.with_independent_thread_pool()?.with_intra_threads(request.intra_op_threads)?;
            Ok(own.with_intra_op_spinning(self.options.spinning)?)
        };
        configured().map_err(failed)
    }
}

impl Backend for OrtBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        self.library.version.clone()
    }

    fn load(&self, request: &LoadRequest) -> Result<Box<dyn Session>, LoadError> {
        // ONNX Runtime's own words for an unreadable file do not always name it.
        std::fs::File::open(&request.model)
            .map_err(|source| LoadError::Read { path: request.model.clone(), source })?;
        let placed = placement::place(self, request)?;
        let signature = Signature {
            inputs: specs(request, "input", placed.session.inputs())?,
            outputs: specs(request, "output", placed.session.outputs())?,
        };
        let failed = |error: ort::Error| LoadError::Runtime(format!("ONNX Runtime refuses its run options: {error}"));
        let mut options = RunOptions::new().map_err(failed)?;
        if placed.verbose {
            options.set_log_level(LogLevel::Error).map_err(failed)?;
        }
        Ok(Box::new(OrtSession { session: placed.session, signature, placement: placed.placement, options }))
    }
}

struct OrtSession {
    session: ort::session::Session,
    signature: Signature,
    placement: Placement,
    options: RunOptions,
}

impl Session for OrtSession {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn placement(&self) -> &Placement {
        &self.placement
    }

    fn run(&mut self, inputs: &[InputView<'_>]) -> Result<Vec<OutputTensor>, RunError> {
        check::inputs(&self.signature, inputs)?;
        let values = inputs.iter().map(convert::input).collect::<Result<Vec<_>, _>>()?;
        let outputs = self.session.run_with_options(values.as_slice(), &self.options).map_err(run_error)?;
        outputs.into_iter().map(|(name, value)| convert::output(value, name)).collect()
    }
}

/// Bits of weights of which two products fit into 16 bits: 2 * 255 * 64 < 2^15.
const HARMLESS_BITS: u8 = 7;

/// Unless weights are small enough, or the configuration of the processor says otherwise; see [`Cpu::exact_int8`].
fn exact_int8(request: &LoadRequest) -> bool {
    if request.weight_bits.is_some_and(|bits| bits <= HARMLESS_BITS) {
        return false;
    }
    request.providers.iter().all(|provider| !matches!(provider, Provider::Cpu(Cpu { exact_int8: false, .. })))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn run_error(error: ort::Error) -> RunError {
    let reason = format!("ONNX Runtime failed to run the model: {error}");
    match error.code() {
        ort::ErrorCode::InvalidArgument => RunError::Input(reason),
        _ => RunError::Runtime(reason),
    }
}

fn specs(request: &LoadRequest, side: &str, outlets: &[Outlet]) -> Result<Vec<TensorSpec>, LoadError> {
    let spec = |outlet: &Outlet| {
        let known = outlet.dtype().tensor_type().and_then(convert::datatype).zip(outlet.dtype().tensor_shape());
        let (datatype, shape) = known.ok_or_else(|| LoadError::ElementType {
            path: request.model.clone(),
            runtime: NAME,
            tensor: format!("{side} '{}'", outlet.name()),
            found: outlet.dtype().to_string(),
        })?;
        Ok(TensorSpec { name: outlet.name().to_owned(), datatype, shape: shape.to_vec() })
    };
    outlets.iter().map(spec).collect()
}
