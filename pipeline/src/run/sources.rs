//! Digests of what comes from outside the pipeline, without reading it twice.
//!
//! A file's digest is remembered with its size, times and inode, as git's index does it. A file that was written moments
//! ago is not: it could change once more within the resolution of the clock and look the same.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use takt_artifact::manifest::FileDigest;

use super::walk::{Found, Hidden, WalkError, files};

/// Coarsest resolution of a file system's times that is met (FAT: 2 s).
const SETTLED: Duration = Duration::from_secs(2);
const SCHEMA: u32 = 1;

/// Digests of files that were read before.
#[derive(Debug)]
pub(super) struct Memo {
    path: PathBuf,
    kept: Kept,
    /// Files that had to be read.
    pub(super) read: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    schema: u32,
    files: BTreeMap<String, Remembered>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    stamp: String,
    sha256: String,
}

impl Memo {
    /// What `path` remembers; nothing where it cannot be read, which costs time and is no error.
    pub(super) fn open(path: PathBuf) -> Self {
        let kept = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let kept = kept.filter(|kept| kept.schema == SCHEMA).unwrap_or_default();
        Self { path, kept, read: 0 }
    }

    /// sha256 of a file, or over names and digests of the files below a folder.
    pub(super) fn digest(&mut self, source: &Path) -> Result<String, WalkError> {
        let found = files(source, Hidden::IsLeftOut).map_err(|error| match error.source.kind() {
            io::ErrorKind::NotFound => WalkError {
                source: io::Error::other("is not there; put it there or correct its path"),
                path: error.path,
            },
            _ => error,
        })?;
        if let [file] = found.as_slice()
            && file.name.is_empty()
        {
            return self.file(file);
        }
        let mut listing = String::new();
        for file in &found {
            listing.push_str(&format!("{} {:?}\n", self.file(file)?, file.name));
        }
        Ok(FileDigest::of_bytes(listing.as_bytes()).sha256)
    }

    fn file(&mut self, file: &Found) -> Result<String, WalkError> {
        let name = std::path::absolute(&file.path).map_err(WalkError::at(&file.path))?.to_string_lossy().into_owned();
        let stamp = stamp(&file.metadata);
        if let Some(known) = self.kept.files.get(&name).filter(|known| known.stamp == stamp) {
            return Ok(known.sha256.clone());
        }
        let opened = File::open(&file.path).and_then(FileDigest::of_reader);
        let sha256 = opened.map_err(WalkError::at(&file.path))?.sha256;
        self.read += 1;
        if is_settled(&file.metadata) {
            self.kept.files.insert(name, Remembered { stamp, sha256: sha256.clone() });
        }
        Ok(sha256)
    }

    /// Keeps what was learnt, where that can be written.
    pub(super) fn save(&mut self) {
        if self.read == 0 {
            return;
        }
        self.kept.schema = SCHEMA;
        let written = serde_json::to_vec(&self.kept)
            .map_err(io::Error::other)
            .and_then(|bytes| crate::file::replace(&self.path, &bytes));
        if let Err(error) = written {
            tracing::debug!(path = %self.path.display(), %error, "digests of sources are not remembered");
        }
    }
}

/// What changes when a file does.
fn stamp(metadata: &Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |time| time.as_nanos());
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (changed, nanos, inode) = (metadata.ctime(), metadata.ctime_nsec(), metadata.ino());
        format!("{} {modified} {changed}.{nanos:09} {inode}", metadata.len())
    }
    #[cfg(not(unix))]
    format!("{} {modified}", metadata.len())
}

fn is_settled(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > SETTLED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str, age: Duration) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    const OLD: Duration = Duration::from_secs(3600);

    #[test]
    fn settled_files_are_read_once_and_changes_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (images, memo) = (dir.path().join("images"), dir.path().join("sources.json"));
        write(&images.join("ok/1.png"), "one", OLD);
        write(&images.join("ok/2.png"), "two", OLD);
        let mut first = Memo::open(memo.clone());
        let digest = first.digest(&images).unwrap();
        first.save();
        assert_eq!(first.read, 2);

        let mut second = Memo::open(memo.clone());
        assert_eq!(second.digest(&images).unwrap(), digest);
        assert_eq!(second.read, 0);

        // As long and as old as before.
        write(&images.join("ok/2.png"), "TWO", OLD);
        let mut third = Memo::open(memo);
        assert_ne!(third.digest(&images).unwrap(), digest);
        assert_eq!(third.read, 1);
    }

    #[test]
    fn a_file_written_just_now_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("model.onnx");
        write(&source, "weights", Duration::ZERO);
        let mut memo = Memo::open(dir.path().join("sources.json"));
        let digest = memo.digest(&source).unwrap();
        assert_eq!(digest, FileDigest::of_bytes(b"weights").sha256);
        assert_eq!(memo.digest(&source).unwrap(), digest);
        assert_eq!(memo.read, 2);
    }

    #[test]
    fn names_count_and_hidden_files_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut memo = Memo::open(dir.path().join("sources.json"));
        let images = dir.path().join("images");
        write(&images.join("a/1.png"), "one", OLD);
        let before = memo.digest(&images).unwrap();
        write(&images.join("a/.thumbnail"), "small", OLD);
        assert_eq!(memo.digest(&images).unwrap(), before);
        fs::rename(images.join("a"), images.join("b")).unwrap();
        assert_ne!(memo.digest(&images).unwrap(), before);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let images = dir.path().join("images");
        write(&images.join("1.png"), "one", OLD);
        std::os::unix::fs::symlink(&images, images.join("again")).unwrap();
        let error = Memo::open(dir.path().join("sources.json")).digest(&images).unwrap_err().to_string();
        assert!(error.contains("again: is a link to a folder that it lies in"), "{error}");
    }
}
