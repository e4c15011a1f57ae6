//! Putting a packaged version into a model repository under the next number.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::check::UNLISTED;
use crate::damage::VersionError;
use crate::manifest::Manifest;
use crate::version::VersionDir;
use crate::write::{VersionWriter, WriteError};

/// Where a version lies in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Its folder, `<repository>/<model>/<n>`.
    pub folder: PathBuf,
    /// Whether it was there before, by its digest.
    pub was_there: bool,
}

/// Why a version was not published. The repository is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The version, or one in the repository, cannot be read, or its files are not what its manifest says.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A version without a manifest has no name and no digests to check a copy by.
    #[error("{}: has no {}, expected a packaged version; make one with `takt package`", path.display(), Manifest::FILE)]
    Bare {
        /// Its folder.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The repository cannot be listed.
    #[error("cannot list {}: {cause}", path.display())]
    List {
        /// The model's folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// Copies the version in the folder `from`, all of it or nothing, to `<repository>/<its name>/<n>`, n being one more than
/// the greatest number there. A version of the same digest that is there already is left as it is.
///
/// # Errors
/// See [`PublishError`].
pub fn publish(from: &Path, repository: &Path) -> Result<Published, PublishError> {
    let version = VersionDir::open(from)?;
    version.verify()?;
    let (Some(manifest), Some(bytes)) = (version.manifest(), version.manifest_bytes()) else {
        return Err(PublishError::Bare { path: from.to_owned() });
    };
    let model = repository.join(&manifest.name);
    let mut numbers = numbers(&model)?;
    numbers.sort_unstable();
    for number in numbers.iter().rev() {
        let folder = model.join(number.to_string());
        // One that cannot be read is no copy of ours.
        if VersionDir::open(&folder).is_ok_and(|there| there.digest() == version.digest()) {
            return Ok(Published { folder, was_there: true });
        }
    }
    let folder = model.join((numbers.last().map_or(0, |last| *last) + 1).to_string());
    let mut writer = VersionWriter::create(&folder)?;
    for file in version.files().keys() {
        writer.add_copy(file, &from.join(file))?;
    }
    for file in UNLISTED.into_iter().filter(|&file| file != Manifest::FILE && from.join(file).is_file()) {
        writer.add_unlisted(file, &from.join(file))?;
    }
    writer.finish_with(bytes)?;
    Ok(Published { folder, was_there: false })
}

/// Numbers of the versions in a model's folder, which need not be there.
fn numbers(model: &Path) -> Result<Vec<u64>, PublishError> {
    let listed = |cause| PublishError::List { path: model.to_owned(), cause };
    let entries = match fs::read_dir(model) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(listed(cause)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(listed)?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn packaged(folder: &Path) -> PathBuf {
        let target = folder.join("made/1");
        let mut writer = VersionWriter::create(&target).unwrap();
        for file in ["golden.safetensors", "model.cpu-int8-avx2.onnx", "model.onnx"] {
            writer.add(file, file.as_bytes()).unwrap();
        }
        writer.finish(sample::manifest()).unwrap();
        fs::write(target.join("manifest.sig"), b"signature").unwrap();
        target
    }

    #[test]
    fn a_version_gets_the_next_number_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (from, repository) = (packaged(folder.path()), folder.path().join("models"));
        let model = repository.join(&sample::manifest().name);
        fs::create_dir_all(model.join("7")).unwrap();
        let published = publish(&from, &repository).unwrap();
        assert_eq!(published, Published { folder: model.join("8"), was_there: false });
        let copy = VersionDir::open(&published.folder).unwrap();
        assert_eq!(copy.digest(), VersionDir::open(&from).unwrap().digest());
        copy.verify().unwrap();
        assert_eq!(fs::read(published.folder.join("manifest.sig")).unwrap(), b"signature");
        let again = publish(&from, &repository).unwrap();
        assert_eq!(again, Published { folder: model.join("8"), was_there: true });
    }

    #[test]
    fn an_altered_version_is_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let (from, repository) = (packaged(folder.path()), folder.path().join("models"));
        fs::write(from.join("model.onnx"), b"model.onny").unwrap();
        let error = publish(&from, &repository).unwrap_err().to_string();
        assert!(error.contains("model.onnx"), "{error}");
        assert!(!repository.exists());
    }

    #[test]
    fn a_bare_model_is_not_published() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.onnx"), b"onnx").unwrap();
        let error = publish(folder.path(), &folder.path().join("models")).unwrap_err().to_string();
        assert!(error.contains("takt package"), "{error}");
    }
}
