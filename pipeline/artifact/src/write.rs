//! Writes a version directory whole or not at all: aside first, every file and directory flushed to the disk, the
//! manifest last, then one rename. Whoever looks at the final name, after a kill or a power cut too, finds the complete
//! version or nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::VersionDigest;
use crate::check::UNLISTED;
use crate::manifest::{FileDigest, Manifest, ManifestErrors};
use crate::names::{FILE_RULE, is_plain_file};

/// A version directory in the making. Dropped unfinished, it leaves nothing; killed, a hidden directory
/// `.<n>.writing-...` that no reader takes for a version and that may be deleted.
#[derive(Debug)]
pub struct VersionWriter {
    target: PathBuf,
    aside: PathBuf,
    /// Directories whose entries changed for the target to appear: parents that had to be made, and their parent.
    parents: Vec<PathBuf>,
    files: BTreeMap<String, FileDigest>,
}

/// Why a version was not written. Nothing lies under its final name then, except what lay there before.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is something already.
    #[error(
        "{}: exists already; versions are never overwritten, take the next number or remove it first",
        path.display()
    )]
    Exists {
        /// The version's directory.
        path: PathBuf,
    },
    /// The path does not name a directory inside another.
    #[error("{}: found no name for a version, expected <model>/<n>", path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A file's name is not allowed.
    #[error("file {file:?}: expected {FILE_RULE}, other than the manifest and its signature; rename the file")]
    FileName {
        /// The name.
        file: String,
    },
    /// A file was added before.
    #[error("file '{file}': added a second time; add each file once")]
    Duplicate {
        /// The name.
        file: String,
    },
    /// The manifest does not hold.
    #[error("{0}")]
    Manifest(ManifestErrors),
    /// The file system refused.
    #[error("cannot write {}: {cause}", path.display())]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
}

impl WriteError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "exists",
            Self::NoName { .. } => "no_name",
            Self::FileName { .. } => "file_name",
            Self::Duplicate { .. } => "duplicate_file",
            Self::Manifest(_) => "manifest",
            Self::Io { .. } => "io",
        }
    }
}

impl VersionWriter {
    /// Begins the version at `target`, `<repository>/<model>/<n>`; parents are made as needed.
    ///
    /// # Errors
    /// Something is there already, or the file system refuses.
    pub fn create(target: impl Into<PathBuf>) -> Result<Self, WriteError> {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        let target = target.into();
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(WriteError::NoName { path: target });
        };
        refuse_existing(&target)?;
        let parent = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        let parents = make(parent)?;
        let aside = parent.join(format!(
            ".{}.writing-{}-{}",
            name.to_string_lossy(),
            std::process::id(),
            UNIQUE.fetch_add(1, Ordering::Relaxed)
        ));
        fs::create_dir(&aside).map_err(io_at(&aside))?;
        Ok(Self { target, aside, parents, files: BTreeMap::new() })
    }

    /// Adds a file from its bytes; on the disk when this returns.
    ///
    /// # Errors
    /// A name that is not allowed or was used before, or the file system refuses.
    pub fn add(&mut self, file: &str, bytes: &[u8]) -> Result<(), WriteError> {
        self.add_from(file, bytes)
    }

    /// Adds a file from what `reader` gives, without holding it in memory.
    ///
    /// # Errors
    /// A name that is not allowed or was used before, or the file system refuses.
    pub fn add_from(&mut self, file: &str, reader: impl Read) -> Result<(), WriteError> {
        if !is_plain_file(file) || UNLISTED.contains(&file) {
            return Err(WriteError::FileName { file: file.to_owned() });
        }
        if self.files.contains_key(file) {
            return Err(WriteError::Duplicate { file: file.to_owned() });
        }
        let digest = self.put(file, reader)?;
        self.files.insert(file.to_owned(), digest);
        Ok(())
    }

    /// Adds a copy of the file at `from`.
    ///
    /// # Errors
    /// A name that is not allowed or was used before, or the file system refuses.
    pub fn add_copy(&mut self, file: &str, from: &Path) -> Result<(), WriteError> {
        let source = File::open(from).map_err(io_at(from))?;
        self.add_from(file, source)
    }

    /// Adds a copy of a file that no manifest lists, such as its signature.
    pub(crate) fn add_unlisted(&mut self, file: &str, from: &Path) -> Result<(), WriteError> {
        let source = File::open(from).map_err(io_at(from))?;
        self.put(file, source).map(drop)
    }

    /// Sizes and digests of the files added so far.
    #[must_use]
    pub const fn files(&self) -> &BTreeMap<String, FileDigest> {
        &self.files
    }

    /// Fills in the manifest's `files`, writes it, and gives the version its name.
    ///
    /// # Errors
    /// All faults of the manifest, somebody else took the name meanwhile, or the file system refuses.
    pub fn finish(self, mut manifest: Manifest) -> Result<VersionDigest, WriteError> {
        manifest.files.clone_from(&self.files);
        let bytes = manifest.to_bytes().map_err(WriteError::Manifest)?;
        self.finish_with(&bytes)
    }

    /// Writes the manifest as it is and gives the version its name.
    pub(crate) fn finish_with(self, manifest: &[u8]) -> Result<VersionDigest, WriteError> {
        self.put(Manifest::FILE, manifest)?;
        sync_dir(&self.aside)?;
        refuse_existing(&self.target)?;
        // A directory cannot be renamed over one with files in it, so a race with another writer overwrites nothing.
        fs::rename(&self.aside, &self.target).map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                WriteError::Exists { path: self.target.clone() }
            }
            _ => io_at(&self.target)(cause),
        })?;
        self.parents.iter().try_for_each(|parent| sync_dir(parent))?;
        Ok(VersionDigest::of_manifest(manifest))
    }

    fn put(&self, file: &str, reader: impl Read) -> Result<FileDigest, WriteError> {
        let path = self.aside.join(file);
        let write = || {
            let to = File::create_new(&path)?;
            let digest = FileDigest::of_reader(Tee { reader, to: &to })?;
            to.sync_all()?;
            Ok(digest)
        };
        write().map_err(io_at(&path))
    }
}

impl Drop for VersionWriter {
    fn drop(&mut self) {
        // After the rename there is nothing of that name; before it, there is nobody left to tell of a failure.
        let _ = fs::remove_dir_all(&self.aside);
    }
}

/// Makes `dir` and its missing parents; gives those whose entries change, `dir` first.
fn make(dir: &Path) -> Result<Vec<PathBuf>, WriteError> {
    let mut changed = Vec::new();
    for ancestor in dir.ancestors() {
        let ancestor = match ancestor.as_os_str().is_empty() {
            true => Path::new("."),
            false => ancestor,
        };
        changed.push(ancestor.to_owned());
        if ancestor.exists() {
            break;
        }
    }
    fs::create_dir_all(dir).map_err(io_at(dir))?;
    Ok(changed)
}

fn refuse_existing(path: &Path) -> Result<(), WriteError> {
    match path.symlink_metadata() {
        Ok(_) => Err(WriteError::Exists { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_at(path)(error)),
    }
}

/// Flushes a directory's entries, without which a rename may not survive a power cut.
fn sync_dir(path: &Path) -> Result<(), WriteError> {
    if cfg!(unix) {
        let flush = File::open(path).and_then(|dir| dir.sync_all());
        flush.map_err(io_at(path))?;
    }
    Ok(())
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |cause| WriteError::Io { path, cause }
}

/// Hands on what it reads, having written it.
struct Tee<'a, R> {
    reader: R,
    to: &'a File,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.to.write_all(&buffer[..n])?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::version::{Verified, VersionDir};

    const FILES: [&str; 3] = ["golden.safetensors", "model.cpu-int8-avx2.onnx", "model.onnx"];

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn filled(target: &Path) -> VersionWriter {
        let mut writer = VersionWriter::create(target).unwrap();
        for file in FILES {
            writer.add(file, file.as_bytes()).unwrap();
        }
        writer
    }

    #[test]
    fn what_is_written_opens_and_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("surface/1");
        let digest = filled(&target).finish(sample::manifest()).unwrap();
        let version = VersionDir::open(&target).unwrap();
        assert_eq!(version.digest(), digest);
        assert_eq!(version.verify().unwrap(), Verified::default());
        assert_eq!(names(&dir.path().join("surface")), ["1"], "nothing is left aside");
    }

    #[test]
    fn a_copy_has_the_digest_of_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("weights");
        fs::write(&source, vec![3; 150_000]).unwrap();
        let mut writer = VersionWriter::create(dir.path().join("1")).unwrap();
        writer.add_copy("model.onnx.data", &source).unwrap();
        assert_eq!(writer.files()["model.onnx.data"], FileDigest::of_bytes(&vec![3; 150_000]));
        let error = writer.add_copy("other", &dir.path().join("none")).unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }

    #[test]
    fn until_it_is_finished_nothing_lies_under_the_final_name() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("1");
        let writer = filled(&target);
        assert!(!target.exists());
        // As a kill would: no destructor runs.
        std::mem::forget(writer);
        assert!(names(dir.path()).iter().all(|name| name.starts_with('.')));
        filled(&target).finish(sample::manifest()).unwrap();
        assert!(target.exists(), "a leftover does not stand in the way");
    }

    #[test]
    fn dropped_unfinished_it_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(filled(&dir.path().join("1")));
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_faulty_manifest_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = VersionWriter::create(dir.path().join("1")).unwrap();
        writer.add("model.onnx", b"").unwrap();
        let error = writer.finish(sample::manifest()).unwrap_err();
        assert_eq!(error.kind(), "manifest");
        assert!(error.to_string().contains("variants[0].file"), "{error}");
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_version_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("1");
        let late = filled(&target);
        let first = filled(&target).finish(sample::manifest()).unwrap();
        let error = late.finish(sample::manifest()).unwrap_err();
        assert_eq!(error.kind(), "exists");
        assert_eq!(VersionWriter::create(&target).unwrap_err().kind(), "exists");
        assert_eq!(VersionDir::open(&target).unwrap().digest(), first);
        assert_eq!(names(dir.path()), ["1"]);
    }

    #[test]
    fn files_have_plain_names_and_come_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = VersionWriter::create(dir.path().join("1")).unwrap();
        for bad in ["../model.onnx", "/model.onnx", "manifest.json", "manifest.sig", ""] {
            assert_eq!(writer.add(bad, b"").unwrap_err().kind(), "file_name", "{bad}");
        }
        writer.add("model.onnx", b"").unwrap();
        assert_eq!(writer.add("model.onnx", b"").unwrap_err().kind(), "duplicate_file");
        assert_eq!(VersionWriter::create("/").unwrap_err().kind(), "no_name");
    }
}
