//! Which runtimes this machine has, in the order in which models prefer them.

use std::sync::Arc;

use takt_artifact::Machine;
use takt_backend::tract::TractBackend;
use takt_backend::{Backend, LoadError};
use tracing::info;

use crate::registry::load::Runtimes;
use crate::settings::{RuntimeChoice, ServerSettings};

/// Finds ONNX Runtime as far as the settings allow, and tract.
///
/// # Errors
/// ONNX Runtime is demanded and not there, or the one that is named does not work.
pub fn find(settings: &ServerSettings) -> Result<Runtimes, LoadError> {
    let mut backends: Vec<(Arc<dyn Backend>, Vec<String>)> = Vec::new();
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
            info!("models run on tract; for ONNX Runtime set TAKT_ORT to its library, or run 'pip install onnxruntime'");
        }
        backends.push((faulty(Arc::new(TractBackend::new()))?, vec!["tract".to_owned()]));
    }
    let names = backends.iter().flat_map(|(_, names)| names.iter().cloned()).collect();
    Ok(Runtimes { backends, machine: Machine::detect(names) })
}

#[cfg(feature = "ort")]
fn onnxruntime(settings: &ServerSettings) -> Result<Option<(Arc<dyn Backend>, Vec<String>)>, LoadError> {
    use takt_backend::discover::Surroundings;
    use takt_backend::ort::{OrtBackend, RuntimeOptions};
    let options = RuntimeOptions { intra_op_threads: settings.intra_op_threads, spinning: settings.spinning };
    let Some(backend) = OrtBackend::find(&Surroundings::of_process(), options)? else { return Ok(None) };
    let names = backend.library().runtime_names();
    Ok(Some((faulty(Arc::new(backend))?, names)))
}

#[cfg(not(feature = "ort"))]
fn onnxruntime(_: &ServerSettings) -> Result<Option<(Arc<dyn Backend>, Vec<String>)>, LoadError> {
    Ok(None)
}

fn faulty(backend: Arc<dyn Backend>) -> Result<Arc<dyn Backend>, LoadError> {
    Ok(backend)
}
