//! Everything that can be wrong with one version.

use std::fs;
use std::path::Path;

use takt_artifact::damage::VersionError;
use takt_artifact::{Damage, Manifest, ManifestErrors, Signature, Variant, VersionDir, choose};

use super::json_place::place;
use super::{CheckOptions, VersionReport, warning};
use crate::repository::agree::signature_faults;
use crate::repository::config::ModelConfig;
use crate::repository::fault::{ConfigFault, ConfigWarning};
use crate::repository::memory::resident_bytes;
use crate::repository::scan::FoundVersion;

/// What was found out about a version.
pub(super) struct Checked {
    pub report: VersionReport,
    pub faults: Vec<ConfigFault>,
    pub warnings: Vec<ConfigWarning>,
}

pub(super) fn check(found: &FoundVersion, config: Option<&ModelConfig>, options: &CheckOptions<'_>) -> Checked {
    let mut checked = Checked {
        report: VersionReport { number: found.number, wanted: None, digest: None, variant: None, resident_bytes: None },
        faults: Vec::new(),
        warnings: Vec::new(),
    };
    let version = match VersionDir::open(&found.dir) {
        Ok(version) => version,
        Err(error) => {
            checked.faults = version_faults(&found.dir, &error);
            return checked;
        }
    };
    checked.report.digest = Some(version.digest().to_string());
    checked.files(&version, config);
    let Some(variant) = checked.variant(&version, config, options) else {
        return checked;
    };
    checked.report.variant = Some(variant.name.clone());
    let artefact = version.artefact(&variant);
    match (options.read_signature)(&artefact) {
        Ok(model) => checked.signature(&version, &artefact, &model, config),
        Err(reason) => checked.faults.push(ConfigFault::of_file(
            &artefact,
            reason,
            "an ONNX model that the runtime can load",
            "export it again, or choose another variant or runtime",
        )),
    }
    checked
}

impl Checked {
    /// Whether the files are those that were packaged, and say what they should.
    fn files(&mut self, version: &VersionDir, config: Option<&ModelConfig>) {
        match version.verify() {
            Ok(verified) if version.manifest().is_some() => {
                let unlisted =
                    |name: &String| warning(&version.path().join(name), "not listed in manifest.json, and never used");
                self.warnings.extend(verified.unlisted.iter().map(unlisted));
            }
            Ok(_) => {}
            Err(error) => self.faults.extend(version_faults(version.path(), &error)),
        }
        let Some(manifest) = version.manifest() else {
            return;
        };
        let file = version.path().join(Manifest::FILE);
        if version.golden().is_none() {
            self.warnings
                .push(warning(&file, "no golden.safetensors: what the model answers is not checked when it loads"));
        }
        if let Some(config) = config
            && config.name != manifest.name
        {
            let message =
                format!("packaged as '{}' and served as '{}', the name of the folder", manifest.name, config.name);
            self.warnings.push(warning(&file, message));
        }
    }

    /// The variant that this machine would serve. A pin that names none is told by [`ModelConfig::agrees_with`], and
    /// the rest is checked without it.
    fn variant(
        &mut self,
        version: &VersionDir,
        config: Option<&ModelConfig>,
        options: &CheckOptions<'_>,
    ) -> Option<Variant> {
        let exists = |name: &&str| version.variants().iter().any(|variant| variant.name == *name);
        let pinned = config.and_then(|config| config.variant.as_deref()).filter(exists);
        match choose(version.variants(), options.machine, pinned) {
            Ok(choice) => Some(choice.variant),
            Err(error) => {
                let (found, expected) = (error.to_string(), "a variant that this machine can run");
                self.faults.push(match config {
                    Some(config) if pinned.is_some() => config.fault("variant", found, expected, ""),
                    _ => ConfigFault::of_file(version.path(), found, expected, ""),
                });
                None
            }
        }
    }

    fn signature(&mut self, version: &VersionDir, artefact: &Path, model: &Signature, config: Option<&ModelConfig>) {
        let manifest = version.manifest();
        if let Some(manifest) = manifest {
            let file = version.path().join(Manifest::FILE);
            let text = fs::read_to_string(&file).unwrap_or_default();
            self.faults.extend(
                signature_faults(&file, &manifest.signature, model)
                    .into_iter()
                    .map(|fault| ConfigFault { at: place(&text, &fault.key), ..fault }),
            );
        }
        let Some(config) = config else { return };
        if let Err(faults) = config.agrees_with(manifest, version.variants(), model) {
            self.faults.extend_from_slice(faults.list());
        }
        if let Ok(batch) = config.batching(model) {
            let seen = config.client_signature(model, batch.max_batch_size);
            let preprocess = config.vision(manifest).preprocess;
            let (bytes, instances) = (artefact_bytes(artefact), config.instances.get());
            self.report.resident_bytes =
                resident_bytes(bytes, &seen, preprocess.as_ref(), batch.max_batch_size, instances);
        }
    }
}

/// Bytes of an artefact with its external data, which by convention has its name and `.data` or `_data` behind.
fn artefact_bytes(artefact: &Path) -> u64 {
    let data = |suffix: &str| {
        let mut name = artefact.as_os_str().to_owned();
        name.push(suffix);
        fs::metadata(Path::new(&name)).map_or(0, |metadata| metadata.len())
    };
    [data(""), data(".data"), data("_data")].iter().sum()
}

fn version_faults(dir: &Path, error: &VersionError) -> Vec<ConfigFault> {
    match error {
        VersionError::Io { path, cause } => {
            vec![ConfigFault::of_file(
                path,
                format!("'{cause}'"),
                "a readable file",
                "check its permissions, and the disk",
            )]
        }
        VersionError::NoModel { path, found } => {
            vec![ConfigFault::of_file(
                path,
                found,
                "manifest.json or model.onnx",
                "package the model, or name its file model.onnx",
            )]
        }
        VersionError::Damaged { damage, .. } => damage.iter().map(|damage| damage_fault(dir, damage)).collect(),
        VersionError::Manifest { path, cause } => manifest_faults(path, cause),
    }
}

fn damage_fault(dir: &Path, damage: &Damage) -> ConfigFault {
    const AGAIN: &str = "copy the version again from where it was packaged";
    let (file, found, expected) = match damage {
        Damage::Missing { file, expected } => (file, "no such file".to_owned(), format!("{expected} bytes")),
        Damage::NotAFile { file } => (file, "something other than a file".to_owned(), "a file".to_owned()),
        Damage::Length { file, found, expected } => {
            (file, format!("{found} bytes"), format!("{expected}, as packaged"))
        }
        Damage::Altered { file, found, expected } => {
            (file, format!("sha256 {found}"), format!("{expected}, as packaged"))
        }
        Damage::UnlistedData { file } => {
            (file, "weights that manifest.json does not list".to_owned(), "only the files it lists".to_owned())
        }
    };
    ConfigFault::of_file(dir.join(file), found, expected, AGAIN)
}

fn manifest_faults(file: &Path, cause: &ManifestErrors) -> Vec<ConfigFault> {
    let text = fs::read_to_string(file).unwrap_or_default();
    if cause.faults().is_empty() {
        let found = cause.to_string();
        return vec![ConfigFault::of_file(file, found, "a manifest", "package the version again")];
    }
    let of = |fault: &takt_artifact::Fault| ConfigFault {
        at: place(&text, &fault.path),
        key: fault.path.clone(),
        ..ConfigFault::of_file(file, &fault.found, &fault.expected, &fault.fix)
    };
    cause.faults().iter().map(of).collect()
}
