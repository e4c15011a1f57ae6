//! What lies in the repository, without loading any of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use takt_artifact::Manifest;
use takt_artifact::names::{NAME_RULE, is_name};
use takt_artifact::version::MODEL_FILE;

use super::config::{ModelConfig, Source};
use super::fault::{ConfigFault, ConfigFaults, ConfigWarning};
use super::fingerprint::{Fingerprint, Fingerprinter};
use super::{pbtxt, toml};

/// What [`scan`] found.
#[derive(Debug)]
pub struct Scan {
    /// The models, by name.
    pub models: Vec<FoundModel>,
    /// What is no model, with the reason.
    pub ignored: Vec<Ignored>,
}

/// A model on disk.
#[derive(Debug)]
pub struct FoundModel {
    /// Its name: the folder's.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// How it is to be run, or everything that is wrong with the file that says so.
    pub config: Result<ModelConfig, ConfigFaults>,
    /// Versions that look whole, ascending.
    pub versions: Vec<FoundVersion>,
    /// What in the folder is no version, with the reason.
    pub ignored: Vec<Ignored>,
}

/// A version on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundVersion {
    /// Its number, which is its folder's name.
    pub number: u64,
    /// Its folder.
    pub dir: PathBuf,
    /// Changes with the files of the version and with those of the model's configuration.
    pub fingerprint: Fingerprint,
}

/// Something that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// The repository itself cannot be read. Whatever serves goes on serving: this says nothing about its models.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the model repository '{}': {source}; check the path and its permissions", path.display())]
pub struct ScanError {
    /// The repository.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl ScanError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        "repository_unreadable"
    }
}

/// Looks at every model and version. Costs a few system calls per file and the parsing of the configurations.
///
/// # Errors
/// The repository cannot be read at all. One model that cannot be read is a fault of that model.
pub fn scan(root: &Path) -> Result<Scan, ScanError> {
    let unreadable = |source| ScanError { path: root.to_owned(), source };
    let mut found = Scan { models: Vec::new(), ignored: Vec::new() };
    for (name, path) in children(root).map_err(unreadable)? {
        match model_folder(&name, &path) {
            Ok(()) => found.models.push(model(name, path)),
            Err(Some(reason)) => found.ignored.push(Ignored { path, reason }),
            Err(None) => {}
        }
    }
    Ok(found)
}

/// Whether a child of the repository is a model; `Err(None)` where it is not worth a word.
fn model_folder(name: &str, path: &Path) -> Result<(), Option<String>> {
    if name.starts_with('.') {
        return Err(None);
    }
    if !path.is_dir() {
        return Err(Some("a model is a folder".to_owned()));
    }
    if !is_name(name) {
        return Err(Some(format!("a model's name is {NAME_RULE}")));
    }
    Ok(())
}

fn model(name: String, dir: PathBuf) -> FoundModel {
    let config = config(&name, &dir);
    let mut model = FoundModel { name, dir, config, versions: Vec::new(), ignored: Vec::new() };
    let children = match children(&model.dir) {
        Ok(children) => children,
        Err(error) => {
            let fault = ConfigFault::of_file(
                &model.dir,
                format!("'{error}'"),
                "a readable folder",
                "check its permissions, and the disk",
            );
            model.config = Err(fault.into());
            return model;
        }
    };
    let mut files = Fingerprinter::default();
    // Files beside the versions: the configuration and the labels it names.
    if let Err(error) = files.folder(&model.dir) {
        tracing::debug!(folder = %model.dir.display(), %error, "vanished while it was looked at");
    }
    let files = files.finish();
    for (name, path) in children {
        match version(&name, &path, files) {
            Ok(version) => model.versions.push(version),
            Err(Some(reason)) => model.ignored.push(Ignored { path, reason }),
            Err(None) => {}
        }
    }
    model.versions.sort_by_key(|version| version.number);
    model
}

/// Reads what says how the model in `dir` is run.
fn config(name: &str, dir: &Path) -> Result<ModelConfig, ConfigFaults> {
    // A file that is there and cannot be read is a fault, not a model without configuration.
    let is_there = |file: &str| match dir.join(file).symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    match (is_there(toml::FILE), is_there(pbtxt::FILE)) {
        (true, other) => {
            let mut config = toml::read(name, dir)?;
            config.warnings.extend(other.then(|| ConfigWarning {
                file: dir.join(pbtxt::FILE),
                at: None,
                key: String::new(),
                message: format!("not read: {} stands beside it", toml::FILE),
            }));
            Ok(config)
        }
        (false, true) => pbtxt::read(name, dir),
        (false, false) => Ok(ModelConfig::new(name, Source::Defaults(dir.to_owned()))),
    }
}

/// A child of a model's folder as a version; `Err(None)` where it is not worth a word.
fn version(name: &str, path: &Path, config_files: Fingerprint) -> Result<FoundVersion, Option<String>> {
    if name.starts_with('.') || !path.is_dir() {
        return Err(None);
    }
    let number = match name.parse::<u64>() {
        Ok(number) if number > 0 && number.to_string() == name => number,
        _ => {
            return Err(Some("a version's folder is named by a whole number from 1, without leading zeros".to_owned()));
        }
    };
    if !path.join(MODEL_FILE).is_file() && !path.join(Manifest::FILE).is_file() {
        return Err(Some(format!("there is no {MODEL_FILE} and no {} in it (yet)", Manifest::FILE)));
    }
    let mut files = Fingerprinter::default();
    files.include(config_files);
    files.folder(path).map_err(|error| Some(format!("cannot be read: {error}")))?;
    Ok(FoundVersion { number, dir: path.to_owned(), fingerprint: files.finish() })
}

/// Names and paths of what is in a folder, by name.
fn children(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut children = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
        .collect::<io::Result<Vec<_>>>()?;
    children.sort();
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn numbers(model: &FoundModel) -> Vec<u64> {
        model.versions.iter().map(|version| version.number).collect()
    }

    #[test]
    fn a_bare_onnx_file_is_a_whole_version() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "m/10/model.onnx", "");
        write(root.path(), "m/9/model.onnx", "");
        let found = scan(root.path()).unwrap();
        assert_eq!(found.models[0].name, "m");
        assert_eq!(numbers(&found.models[0]), [9, 10]);
        assert!(found.models[0].config.is_ok());
    }

    #[test]
    fn what_is_half_written_or_no_version_is_passed_over_with_a_reason() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "m/1/model.onnx.part", "");
        write(root.path(), "m/02/model.onnx", "");
        write(root.path(), "m/0/model.onnx", "");
        write(root.path(), "m/3.tmp/model.onnx", "");
        write(root.path(), "m/.4/model.onnx", "");
        write(root.path(), "m/5/manifest.json", "{}");
        write(root.path(), "m/model.toml", "");
        write(root.path(), "readme.txt", "");
        write(root.path(), ".git/HEAD", "");
        write(root.path(), "a b/1/model.onnx", "");
        let found = scan(root.path()).unwrap();
        assert_eq!(numbers(&found.models[0]), [5]);
        let names = |ignored: &[Ignored]| -> Vec<String> {
            let name = |ignored: &Ignored| ignored.path.file_name().unwrap().to_string_lossy().into_owned();
            ignored.iter().map(name).collect()
        };
        assert_eq!(names(&found.models[0].ignored), ["0", "02", "1", "3.tmp"]);
        assert_eq!(names(&found.ignored), ["a b", "readme.txt"]);
    }

    #[test]
    fn a_broken_configuration_is_the_models_own_and_leaves_its_versions_visible() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a/model.toml", "instances = 0");
        write(root.path(), "a/1/model.onnx", "");
        write(root.path(), "b/1/model.onnx", "");
        let found = scan(root.path()).unwrap();
        assert!(found.models[0].config.is_err());
        assert_eq!(numbers(&found.models[0]), [1]);
        assert!(found.models[1].config.is_ok());
    }

    #[test]
    fn the_file_of_ours_comes_before_that_of_triton() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "a/config.pbtxt", "max_batch_size: 3");
        write(root.path(), "b/config.pbtxt", "max_batch_size: 3");
        write(root.path(), "b/model.toml", "max_batch_size = 5");
        let found = scan(root.path()).unwrap();
        let config = |i: usize| found.models[i].config.as_ref().unwrap();
        assert_eq!((config(0).batch.max_batch_size, config(0).warnings.len()), (3, 0));
        assert_eq!((config(1).batch.max_batch_size, config(1).warnings.len()), (5, 1));
    }

    #[cfg(unix)]
    #[test]
    fn a_configuration_that_leads_nowhere_is_a_fault_and_not_a_default() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "m/1/model.onnx", "");
        std::os::unix::fs::symlink("gone.toml", root.path().join("m/model.toml")).unwrap();
        assert!(scan(root.path()).unwrap().models[0].config.is_err());
    }

    #[test]
    fn fingerprints_change_with_the_version_and_with_the_configuration() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "m/1/model.onnx", "a");
        write(root.path(), "m/2/model.onnx", "a");
        let prints = || -> Vec<Fingerprint> {
            scan(root.path()).unwrap().models[0].versions.iter().map(|version| version.fingerprint).collect()
        };
        let before = prints();
        write(root.path(), "m/2/model.onnx", "ab");
        let after = prints();
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
        write(root.path(), "m/model.toml", "instances = 2");
        assert_ne!(prints()[0], after[0]);
    }

    #[test]
    fn a_repository_that_is_not_there_is_an_error_and_not_an_empty_one() {
        let error = scan(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"));
    }
}
