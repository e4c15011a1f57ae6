//! Finds every fault of every model at once, before a server does: what `takt check` prints.

mod json_place;
mod report;
mod version;

use std::path::Path;

use takt_artifact::Signature;
use takt_artifact::choose::Machine;
use takt_backend::{Backend, LoadRequest};

pub use self::report::{CheckReport, ModelReport, VersionReport};
use super::config::ModelConfig;
use super::fault::{ConfigFault, ConfigWarning};
use super::memory;
use super::policy::VersionPolicy;
use super::scan::{FoundModel, Ignored, ScanError, scan};

/// What the check needs to know of the machine.
pub struct CheckOptions<'c> {
    /// What variants are chosen for.
    pub machine: &'c Machine,
    /// Reads the inputs and outputs of an ONNX file as the runtime sees them, or says why it cannot.
    pub read_signature: &'c dyn Fn(&Path) -> Result<Signature, String>,
}

/// Checks the repository at `root`. Reads every file once; loads nothing beyond what `read_signature` does.
///
/// # Errors
/// The repository cannot be read at all.
pub fn check(root: &Path, options: &CheckOptions<'_>) -> Result<CheckReport, ScanError> {
    let found = scan(root)?;
    let models: Vec<ModelReport> = found.models.into_iter().map(|found| model(found, options)).collect();
    let wanted = models.iter().flat_map(|model| &model.versions).filter(|version| version.wanted == Some(true));
    let resident: u64 = wanted.filter_map(|version| version.resident_bytes).sum();
    Ok(CheckReport {
        root: root.to_owned(),
        ignored: found.ignored,
        resident_bytes: resident + if models.is_empty() { 0 } else { memory::RUNTIME_BYTES },
        models,
    })
}

fn model(found: FoundModel, options: &CheckOptions<'_>) -> ModelReport {
    let mut report = ModelReport {
        name: found.name.clone(),
        faults: Vec::new(),
        warnings: Vec::new(),
        versions: Vec::new(),
        ignored: found.ignored,
    };
    let config = match &found.config {
        Ok(config) => {
            report.warnings.extend(config.warnings.iter().cloned());
            Some(config)
        }
        Err(faults) => {
            report.faults.extend(faults.list().iter().cloned());
            None
        }
    };
    if found.versions.is_empty() {
        report.faults.push(no_version(&found.dir, &report.ignored));
    }
    let numbers = || found.versions.iter().map(|version| version.number);
    let wanted = config.map(|config| config.version_policy.select(numbers()));
    report.faults.extend(config.and_then(|config| missing_versions(config, &numbers().collect::<Vec<_>>())));
    for version in &found.versions {
        let checked = version::check(version, config, options);
        report.faults.extend(checked.faults);
        report.warnings.extend(checked.warnings);
        report.versions.push(VersionReport {
            wanted: wanted.as_ref().map(|wanted| wanted.contains(&version.number)),
            ..checked.report
        });
    }
    report.tidy();
    report
}

fn no_version(dir: &Path, ignored: &[Ignored]) -> ConfigFault {
    let found = match ignored {
        [] => "no version".to_owned(),
        ignored => format!("no version, and {} that is none", ignored.len()),
    };
    ConfigFault::of_file(
        dir,
        found,
        "a folder named by a whole number with model.onnx or manifest.json in it",
        "put the model at 1/model.onnx, or remove the folder",
    )
}

fn missing_versions(config: &ModelConfig, numbers: &[u64]) -> Option<ConfigFault> {
    let VersionPolicy::Specific(wanted) = &config.version_policy else {
        return None;
    };
    let missing: Vec<u64> = wanted.iter().copied().filter(|number| !numbers.contains(number)).collect();
    (!missing.is_empty()).then(|| {
        let expected = format!("versions on disk: {numbers:?}");
        config.fault("version_policy", format!("{missing:?}"), expected, "copy the version there, or remove its number")
    })
}

/// Reads signatures by loading models in `runtime`, on the processor.
pub fn by_loading(runtime: &dyn Backend) -> impl Fn(&Path) -> Result<Signature, String> + '_ {
    |artefact| {
        let request = LoadRequest { model: artefact.to_owned(), intra_op_threads: 1, ..LoadRequest::default() };
        let session = runtime.load(&request).map_err(|error| error.to_string())?;
        Ok(session.signature().clone())
    }
}

/// A warning about a file as a whole.
fn warning(file: &Path, message: impl Into<String>) -> ConfigWarning {
    ConfigWarning { file: file.to_owned(), at: None, key: String::new(), message: message.into() }
}

#[cfg(test)]
mod tests;
