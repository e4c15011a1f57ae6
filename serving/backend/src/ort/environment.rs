//! The one ONNX Runtime environment of the process: which library, how many threads, where its log goes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;

use super::library::{self, Library};
use crate::LoadError;

/// Threads of the process's pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Threads within one run, shared by all sessions, the calling thread among them; 0 takes one per processor that the
    /// process may use.
    pub intra_op_threads: usize,
    /// Let idle threads of the pool burn processor time waiting for the next operator. Off by default: on a box that also
    /// decodes images, spinning threads take the cores that the next batch needs.
    pub spinning: bool,
}

struct Made {
    library: Library,
    options: RuntimeOptions,
    environment: Environment,
}

/// ONNX Runtime allows one environment per process, and not even a second after the first is gone.
static MADE: Mutex<Option<Made>> = Mutex::new(None);

/// The environment, made on the first call.
///
/// # Errors
/// The library cannot be used, or another one or other options were used before in this process.
pub fn environment(path: &Path, options: RuntimeOptions) -> Result<(Environment, Library), LoadError> {
    let runtime = |reason: String| LoadError::Runtime(reason);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(Made { library, options: used, environment }) = made.as_ref() {
        if library.path != path || *used != options {
            return Err(runtime(format!(
                "this process already runs ONNX Runtime from '{}' with {used:?}; it cannot also use '{}' with {options:?}",
                library.path.display(),
                path.display()
            )));
        }
        return Ok((environment.clone(), library.clone()));
    }
    let library = library::inspect(path).map_err(|error| runtime(error.to_string()))?;
    let failed = |error: ort::Error| runtime(format!("ONNX Runtime at '{}' does not start: {error}", path.display()));
    let builder = ort::init_from(path).map_err(|error| runtime(error.to_string()))?;
    let pool = GlobalThreadPoolOptions::default()
        .with_intra_threads(threads(options))
        .and_then(|pool| pool.with_inter_threads(1))
        .and_then(|pool| pool.with_spin_control(options.spinning))
        .map_err(failed)?;
    let environment = builder
        .with_name("takt")
        .with_telemetry(false)
        .with_global_thread_pool(pool)
        .with_logger(Arc::new(log))
        .build()
        .map_err(failed)?;
    // With a logger of ours, `ort` asks for every message; formatting those would cost each run.
    environment.set_log_level(LogLevel::Warning);
    *made = Some(Made { library: library.clone(), options, environment: environment.clone() });
    Ok((environment, library))
}

/// The path whose library runs in this process, if any does.
#[must_use]
pub fn in_use() -> Option<PathBuf> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|made| made.library.path.clone())
}

/// An explicit number, never ONNX Runtime's own 0: that one counts the cores of the machine rather than those of the
/// container, and pins its threads to them.
fn threads(options: RuntimeOptions) -> usize {
    if options.intra_op_threads > 0 {
        return options.intra_op_threads;
    }
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// A warning of ONNX Runtime is about a graph's details and of use to who looks for them, hence one level down; what we
/// conclude from a placement is logged by us.
fn log(level: LogLevel, category: &str, id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error => {
            tracing::error!(target: "onnxruntime", category, id, location, "{message}");
        }
        LogLevel::Warning => {
            tracing::info!(target: "onnxruntime", category, id, location, "{message}");
        }
        LogLevel::Info => {
            tracing::debug!(target: "onnxruntime", category, id, location, "{message}");
        }
        LogLevel::Verbose => {
            tracing::trace!(target: "onnxruntime", category, id, location, "{message}");
        }
    }
}
