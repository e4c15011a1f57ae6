//! Which runtimes this machine has, in the order in which models prefer them.

use std::sync::Arc;

use takt_artifact::Machine;
use takt_backend::tract::TractBackend;
use takt_backend::{Backend, LoadError};
use tracing::info;

use crate::registry::load::{NamedBackend, Runtimes};
use crate::settings::{RuntimeChoice, ServerSettings};

/// Finds ONNX Runtime as far as the settings allow, and tract.
///
/// # Errors
/// ONNX Runtime is demanded and not there, or the one that is named does not work.
pub fn find(settings: &ServerSettings) -> Result<Runtimes, LoadError> {
    let mut backends: Vec<NamedBackend> = Vec::new();
    if settings.runtime != RuntimeChoice::Tract {
        backends.extend(onnxruntime(settings)?);
    }
    if settings.runtime == RuntimeChoice::Onnxruntime && backends.is_empty() {
        return Err(LoadError::Runtime(
            "runtime = \"onnxruntime\", but no ONNX Runtime library was found; set TAKT_ORT to its file, or run 'pip install \
             onnxruntime'; 'takt doctor' says where was looked"
                .to_owned(),
        ));
    }
    if settings.runtime != RuntimeChoice::Onnxruntime {
        if backends.is_empty() {
            info!(
                "models run on tract; for ONNX Runtime set TAKT_ORT to its library, or run 'pip install onnxruntime'"
            );
        }
        backends.push((faulty(Box::new(TractBackend::new()))?, vec!["tract".to_owned()]));
    }
    let names = backends.iter().flat_map(|(_, names)| names.iter().cloned()).collect();
    Ok(Runtimes { backends, machine: Machine::detect(names) })
}

#[cfg(feature = "ort")]
fn onnxruntime(settings: &ServerSettings) -> Result<Option<NamedBackend>, LoadError> {
    use takt_backend::discover::Surroundings;
    use takt_backend::ort::{OrtBackend, RuntimeOptions};
    let options = RuntimeOptions { intra_op_threads: settings.intra_op_threads, spinning: settings.spinning };
    let Some(backend) = OrtBackend::find(&Surroundings::of_process(), options)? else { return Ok(None) };
    let names = runtime_names(&backend.library().providers, has_nvidia_device());
    Ok(Some((faulty(Box::new(backend))?, names)))
}

/// Names by which a variant's `requires.runtime` asks for what this library offers. A library built with CUDA is no GPU:
/// without a device a variant made for one would run slowly on the processor.
#[cfg(feature = "ort")]
fn runtime_names(providers: &[String], device: bool) -> Vec<String> {
    let mut names = vec!["onnxruntime".to_owned()];
    for (provider, name) in [("CUDAExecutionProvider", "cuda"), ("TensorrtExecutionProvider", "tensorrt")] {
        if device && providers.iter().any(|found| found == provider) {
            names.push(name.to_owned());
        }
    }
    names
}

/// Device files of the discrete and of the Jetson drivers.
#[cfg(feature = "ort")]
fn has_nvidia_device() -> bool {
    ["/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu"].iter().any(|path| std::path::Path::new(path).exists())
}

#[cfg(not(feature = "ort"))]
fn onnxruntime(_: &ServerSettings) -> Result<Option<NamedBackend>, LoadError> {
    Ok(None)
}

#[cfg(feature = "fault-injection")]
fn faulty(backend: Box<dyn Backend>) -> Result<Arc<dyn Backend>, LoadError> {
    let backend = takt_backend::fault::FaultyBackend::from_env(backend);
    backend.map(Arc::from).map_err(|error| LoadError::Runtime(error.to_string()))
}

#[cfg(not(feature = "fault-injection"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as with fault injection")]
fn faulty(backend: Box<dyn Backend>) -> Result<Arc<dyn Backend>, LoadError> {
    Ok(Arc::from(backend))
}
