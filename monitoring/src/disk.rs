//! Files that are there whole or not at all, and what the disk may say instead.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The file system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}; {}", path.display(), advice(source))]
pub struct DiskError {
    /// What was tried, such as `write`.
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    pub(crate) fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }

    /// Stable label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if is_full(&self.source) { "disk_full" } else { "io" }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if is_full(error) => "free some space or lower the limits",
        io::ErrorKind::PermissionDenied => "let the server's user write there",
        _ => "look at the disk",
    }
}

/// Replaces `dir/name`: a reader, now or after a power cut, sees the old bytes or the new ones.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    put(dir, name, bytes, File::sync_all)?;
    sync_dir(dir)
}

/// The same without waiting for the disk: after a power cut the file may be missing or empty.
pub(crate) fn place(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
    put(dir, name, bytes, |_| Ok(()))
}

/// What a file is called until it is whole.
pub(crate) const TEMPORARY: &str = "tmp";

fn put(dir: &Path, name: &str, bytes: &[u8], sync: fn(&File) -> io::Result<()>) -> Result<(), DiskError> {
    let temporary = dir.join(format!("{name}.{TEMPORARY}"));
    let written = fs::write(&temporary, bytes).and_then(|()| sync(&File::open(&temporary)?));
    let placed = written
        .map_err(DiskError::at("write", &temporary))
        .and_then(|()| fs::rename(&temporary, dir.join(name)).map_err(DiskError::at("replace", &dir.join(name))));
    if placed.is_err() {
        // Half a file on a full disk helps nobody.
        let _ = fs::remove_file(&temporary);
    }
    placed
}

/// Makes renames and removals in `dir` outlive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), DiskError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(DiskError::at("sync the folder", dir))
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::at("remove", path)(error)),
        _ => Ok(()),
    }
}
