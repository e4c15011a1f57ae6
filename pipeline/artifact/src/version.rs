//! A version directory as it lies on disk.
//!
//! With a `manifest.json` it is *packaged*: the digest is the sha256 of the manifest's exact bytes, and every file is
//! held against it. Without one it is *bare*: `model.onnx`, perhaps `model.<variant>.onnx`, and external data files
//! (`*.data`) are the whole version. Nothing says what such a variant needs or how well it does, so `default` comes
//! first and the others are served only when pinned.
//!
//! The digest of a bare version is the sha256 of this listing, so that it changes with any byte or name: the line
//! `takt bare version 1`, then for each of those files, in bytewise order of names, the line
//! `<sha256> <bytes> <name>`; each line ends with `\n`. External data under other names is not seen.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::check::UNLISTED;
use crate::damage::{Damage, VersionError};
use crate::digest::VersionDigest;
use crate::fault::choices;
use crate::manifest::{FileDigest, Manifest, Precision, Requires, Variant};
use crate::names::is_name;

/// File of the drift reference.
pub const PROFILE_FILE: &str = "profile.json";
/// File of the golden inputs and outputs.
pub const GOLDEN_FILE: &str = "golden.safetensors";
/// File of the detached signature of the manifest's bytes.
pub const SIGNATURE_FILE: &str = "manifest.sig";
/// File of the default artefact.
pub const MODEL_FILE: &str = "model.onnx";

/// A version directory that was read; its files are not yet verified.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionDir {
    path: PathBuf,
    digest: VersionDigest,
    contents: Contents,
}

#[derive(Debug, Clone, PartialEq)]
enum Contents {
    Packaged { manifest: Box<Manifest>, bytes: Vec<u8> },
    Bare { variants: Vec<Variant>, files: BTreeMap<String, FileDigest> },
}

/// What was seen beside the files of a sound version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Names that the manifest does not list: not served, worth a warning.
    pub unlisted: Vec<String>,
}

impl VersionDir {
    /// Reads the directory of a version. A manifest is parsed and its files left alone; a bare version's files are
    /// digested, which reads them all.
    ///
    /// # Errors
    /// No directory, no model in it, or a manifest with faults.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, VersionError> {
        let path = path.into();
        let manifest = path.join(Manifest::FILE);
        match fs::read(&manifest) {
            Ok(bytes) => Self::packaged(path, bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::bare(path),
            Err(cause) => Err(VersionError::Io { path: manifest, cause }),
        }
    }

    fn packaged(path: PathBuf, bytes: Vec<u8>) -> Result<Self, VersionError> {
        let manifest = Manifest::parse(&bytes)
            .map_err(|cause| VersionError::Manifest { path: path.join(Manifest::FILE), cause })?;
        Ok(Self {
            path,
            digest: VersionDigest::of_manifest(&bytes),
            contents: Contents::Packaged { manifest: Box::new(manifest), bytes },
        })
    }

    fn bare(path: PathBuf) -> Result<Self, VersionError> {
        let names = names_in(&path)?;
        if !names.iter().any(|name| name == MODEL_FILE) {
            let found = choices(names.iter().map(String::as_str));
            return Err(VersionError::NoModel { path, found });
        }
        let mut variants = vec![bare_variant("default", MODEL_FILE)];
        let mut files = BTreeMap::new();
        for name in &names {
            let variant = variant_name(name);
            if name == MODEL_FILE || variant.is_some() || is_external_data(name) {
                files.insert(name.clone(), digest_of(&path.join(name))?);
            }
            variants.extend(variant.map(|variant| bare_variant(variant, name)));
        }
        Ok(Self {
            path,
            digest: VersionDigest::of_manifest(listing(&files).as_bytes()),
            contents: Contents::Bare { variants, files },
        })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which version it is.
    #[must_use]
    pub const fn digest(&self) -> VersionDigest {
        self.digest
    }

    /// Its manifest, unless it is bare.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        match &self.contents {
            Contents::Packaged { manifest, .. } => Some(manifest),
            Contents::Bare { .. } => None,
        }
    }

    /// The exact bytes of its manifest, which `manifest.sig` signs.
    #[must_use]
    pub fn manifest_bytes(&self) -> Option<&[u8]> {
        match &self.contents {
            Contents::Packaged { bytes, .. } => Some(bytes),
            Contents::Bare { .. } => None,
        }
    }

    /// Its artefacts, best first; never empty.
    #[must_use]
    pub fn variants(&self) -> &[Variant] {
        match &self.contents {
            Contents::Packaged { manifest, .. } => &manifest.variants,
            Contents::Bare { variants, .. } => variants,
        }
    }

    /// The files that belong to its digest, by name.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, FileDigest> {
        match &self.contents {
            Contents::Packaged { manifest, .. } => &manifest.files,
            Contents::Bare { files, .. } => files,
        }
    }

    /// Path of a variant's artefact.
    #[must_use]
    pub fn artefact(&self, variant: &Variant) -> PathBuf {
        self.path.join(&variant.file)
    }

    /// Path of the drift reference, where the manifest lists one.
    #[must_use]
    pub fn profile(&self) -> Option<PathBuf> {
        self.listed(PROFILE_FILE)
    }

    /// Path of the golden inputs and outputs, where the manifest lists them.
    #[must_use]
    pub fn golden(&self) -> Option<PathBuf> {
        self.listed(GOLDEN_FILE)
    }

    fn listed(&self, file: &str) -> Option<PathBuf> {
        self.files().contains_key(file).then(|| self.path.join(file))
    }

    /// Holds every file against its length and sha256, reading all of them once.
    ///
    /// # Errors
    /// Every file that is missing or altered, and external data that is not listed.
    pub fn verify(&self) -> Result<Verified, VersionError> {
        let mut damage = Vec::new();
        for (name, expected) in self.files() {
            damage.extend(self.damage_of(name, expected)?);
        }
        let mut unlisted = names_in(&self.path)?;
        unlisted.retain(|name| !self.files().contains_key(name) && !UNLISTED.contains(&name.as_str()));
        damage.extend(
            unlisted
                .iter()
                .filter(|name| is_external_data(name))
                .map(|name| Damage::UnlistedData { file: name.clone() }),
        );
        if damage.is_empty() {
            return Ok(Verified { unlisted });
        }
        Err(VersionError::Damaged { path: self.path.clone(), damage })
    }

    fn damage_of(&self, name: &str, expected: &FileDigest) -> Result<Option<Damage>, VersionError> {
        let path = self.path.join(name);
        let file = name.to_owned();
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Some(Damage::Missing { file, expected: expected.bytes }));
            }
            Err(cause) => return Err(VersionError::Io { path, cause }),
        };
        if !found.is_file() {
            return Ok(Some(Damage::NotAFile { file }));
        }
        // A length that differs is told without reading a large file.
        if found.len() != expected.bytes {
            return Ok(Some(Damage::Length { file, found: found.len(), expected: expected.bytes }));
        }
        let found = digest_of(&path)?;
        Ok((found != *expected).then(|| Damage::Altered {
            file,
            found: found.sha256,
            expected: expected.sha256.clone(),
        }))
    }
}

fn bare_variant(name: &str, file: &str) -> Variant {
    // A guess from the name; nothing but reports depends on it.
    let precision = match name {
        name if name.contains("int8") => Precision::Int8,
        name if name.contains("fp16") => Precision::Fp16,
        _ => Precision::Fp32,
    };
    Variant {
        name: name.to_owned(),
        file: file.to_owned(),
        precision,
        weight_bits: None,
        requires: Requires::default(),
    }
}

/// `cpu-int8` of `model.cpu-int8.onnx`.
fn variant_name(file: &str) -> Option<&str> {
    let name = file.strip_prefix("model.")?.strip_suffix(".onnx")?;
    (is_name(name) && name != "default").then_some(name)
}

fn is_external_data(file: &str) -> bool {
    file.ends_with(".data")
}

fn listing(files: &BTreeMap<String, FileDigest>) -> String {
    let mut text = "takt bare version 1\n".to_owned();
    for (name, FileDigest { sha256, bytes }) in files {
        text.push_str(&format!("{sha256} {bytes} {name}\n"));
    }
    text
}

/// Names in a directory, sorted; names that are not UTF-8 with their odd bytes replaced.
fn names_in(path: &Path) -> Result<Vec<String>, VersionError> {
    let io = |cause| VersionError::Io { path: path.to_owned(), cause };
    let mut names = fs::read_dir(path)
        .map_err(io)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(io)?;
    names.sort_unstable();
    Ok(names)
}

fn digest_of(path: &Path) -> Result<FileDigest, VersionError> {
    File::open(path).and_then(FileDigest::of_reader).map_err(|cause| VersionError::Io { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sample;

    fn bare(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, contents) in files {
            fs::write(dir.path().join(name), contents).unwrap();
        }
        dir
    }

    fn packaged() -> tempfile::TempDir {
        let manifest = sample::manifest();
        let names: Vec<_> = manifest.files.keys().map(|n| (n.as_str(), n.as_str())).collect();
        let dir = bare(&names);
        fs::write(dir.path().join(Manifest::FILE), manifest.to_bytes().unwrap()).unwrap();
        dir
    }

    fn damage(dir: &tempfile::TempDir) -> Vec<String> {
        match VersionDir::open(dir.path()).unwrap().verify() {
            Ok(_) => Vec::new(),
            Err(VersionError::Damaged { damage, .. }) => damage.iter().map(ToString::to_string).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_packaged_version_goes_by_the_digest_of_its_manifest() {
        let dir = packaged();
        let version = VersionDir::open(dir.path()).unwrap();
        let bytes = fs::read(dir.path().join(Manifest::FILE)).unwrap();
        assert_eq!(version.digest(), VersionDigest::of_manifest(&bytes));
        assert_eq!(version.manifest_bytes(), Some(&bytes[..]));
        assert_eq!(version.manifest(), Some(&sample::manifest()));
        assert_eq!(version.golden(), Some(dir.path().join(GOLDEN_FILE)));
        assert_eq!(version.profile(), None);
        let file = version.artefact(&version.variants()[1]);
        assert_eq!(file, dir.path().join(MODEL_FILE));
        assert_eq!(version.verify().unwrap(), Verified::default());
    }

    #[test]
    fn every_missing_and_altered_file_is_told_with_what_was_expected() {
        let dir = packaged();
        fs::remove_file(dir.path().join("golden.safetensors")).unwrap();
        fs::write(dir.path().join("model.onnx"), "model.onnX").unwrap();
        fs::write(dir.path().join("model.cpu-int8-avx2.onnx"), "short").unwrap();
        let found = damage(&dir);
        assert_eq!(found[0], "golden.safetensors: missing, expected 18 bytes");
        assert_eq!(found[1], "model.cpu-int8-avx2.onnx: found 5 bytes, expected 24");
        let expected = FileDigest::of_bytes(b"model.onnx").sha256;
        let altered = FileDigest::of_bytes(b"model.onnX").sha256;
        assert_eq!(found[2], format!("model.onnx: found sha256 {altered}, expected {expected}"));
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_damage() {
        let dir = packaged();
        fs::remove_file(dir.path().join("model.onnx")).unwrap();
        fs::create_dir(dir.path().join("model.onnx")).unwrap();
        assert_eq!(damage(&dir), ["model.onnx: found something other than a file"]);
    }

    #[test]
    fn unlisted_files_are_a_warning_and_unlisted_weights_are_not() {
        let dir = packaged();
        fs::write(dir.path().join("notes.txt"), "").unwrap();
        fs::write(dir.path().join(SIGNATURE_FILE), "").unwrap();
        let verified = VersionDir::open(dir.path()).unwrap().verify().unwrap();
        assert_eq!(verified.unlisted, ["notes.txt"]);
        fs::write(dir.path().join("model.onnx.data"), "").unwrap();
        assert_eq!(damage(&dir), ["model.onnx.data: external data that the version does not list"]);
    }

    #[test]
    fn a_bare_model_is_a_whole_version() {
        let dir =
            bare(&[("model.onnx", "a"), ("model.cpu-int8.onnx", "b"), ("model.onnx.data", "c"), ("notes.txt", "d")]);
        let version = VersionDir::open(dir.path()).unwrap();
        let names: Vec<_> = version.variants().iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["default", "cpu-int8"], "default first");
        assert_eq!(version.manifest(), None);
        let sha256 = |text: &str| FileDigest::of_bytes(text.as_bytes()).sha256;
        let listing = format!(
            "takt bare version 1\n{} 1 model.cpu-int8.onnx\n{} 1 model.onnx\n{} 1 model.onnx.data\n",
            sha256("b"),
            sha256("a"),
            sha256("c"),
        );
        assert_eq!(version.digest(), VersionDigest::of_manifest(listing.as_bytes()));
        assert_eq!(version.verify().unwrap().unlisted, ["notes.txt"]);
    }

    #[test]
    fn a_bare_version_changes_its_digest_with_any_byte_or_name() {
        let digest = |files: &[(&str, &str)]| VersionDir::open(bare(files).path()).unwrap().digest();
        let first = digest(&[("model.onnx", "a"), ("model.x.onnx", "b")]);
        assert_eq!(first, digest(&[("model.onnx", "a"), ("model.x.onnx", "b"), ("notes.txt", "")]));
        assert_ne!(first, digest(&[("model.onnx", "A"), ("model.x.onnx", "b")]));
        assert_ne!(first, digest(&[("model.onnx", "a"), ("model.y.onnx", "b")]));
        assert_ne!(first, digest(&[("model.onnx", "a")]));
        assert_ne!(first, digest(&[("model.onnx", "a"), ("model.x.onnx", "b"), ("w.data", "")]));
    }

    #[test]
    fn a_bare_version_that_changes_after_it_was_read_is_damaged() {
        let dir = bare(&[("model.onnx", "a")]);
        let version = VersionDir::open(dir.path()).unwrap();
        fs::write(dir.path().join("model.onnx"), "b").unwrap();
        assert_eq!(version.verify().unwrap_err().kind(), "damaged");
    }

    #[test]
    fn a_directory_without_a_model_says_what_it_found() {
        let dir = bare(&[("resnet.onnx", "a")]);
        let error = VersionDir::open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), "no_model");
        assert!(error.to_string().contains("found 'resnet.onnx'"), "{error}");
        let error = VersionDir::open(dir.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), "io");
        assert!(error.to_string().contains("none"), "{error}");
    }

    #[test]
    fn a_faulty_manifest_never_falls_back_to_the_bare_model() {
        let dir = packaged();
        fs::write(dir.path().join(Manifest::FILE), "{}").unwrap();
        let error = VersionDir::open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), "manifest");
    }
}
