//! What lies in a store's folder, for whoever reads it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use takt_artifact::fault;
use takt_artifact::manifest::FileDigest;

use super::CaptureError;
use super::sidecar::Captured;
use crate::disk::DiskError;

/// A file of the store that was not understood.
#[derive(Debug)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub error: CaptureError,
}

/// Everything in a store's folder, oldest first, and the descriptions that are of no use: not understood, or their image is
/// gone or has another size. May run beside the writer.
///
/// # Errors
/// The folder cannot be listed.
pub fn list(dir: &Path) -> Result<(Vec<Captured>, Vec<Unreadable>), CaptureError> {
    let (mut captured, mut unreadable) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(DiskError::at("list", dir))? {
        let path = entry.map_err(DiskError::at("list", dir))?.path();
        if parts(&path).is_none_or(|(_, ending)| ending != "json") {
            continue;
        }
        match describe(dir, &path) {
            Ok(Some(image)) => captured.push(image),
            // Removed since it was listed.
            Ok(None) => {}
            Err(error) => unreadable.push(Unreadable { path, error }),
        }
    }
    captured.sort_by(|a, b| (a.at, &a.image.sha256).cmp(&(b.at, &b.image.sha256)));
    Ok((captured, unreadable))
}

fn describe(dir: &Path, path: &Path) -> Result<Option<Captured>, CaptureError> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(DiskError::at("read", path))?,
    };
    let captured: Captured = fault::read(&bytes)?;
    let image = dir.join(&captured.image.file);
    let whole = fs::metadata(&image).map_err(DiskError::at("look at", &image))?.len() == captured.image.bytes;
    if whole { Ok(Some(captured)) } else { Err(CaptureError::Damaged { path: image }) }
}

/// The bytes of a captured image, checked against its name.
///
/// # Errors
/// They cannot be read or are others.
pub fn read(dir: &Path, captured: &Captured) -> Result<Vec<u8>, CaptureError> {
    let path = dir.join(&captured.image.file);
    let bytes = fs::read(&path).map_err(DiskError::at("read", &path))?;
    if FileDigest::of_bytes(&bytes).sha256 == captured.image.sha256 {
        Ok(bytes)
    } else {
        Err(CaptureError::Damaged { path })
    }
}

/// The sha256 and the ending of a file name that is one of ours.
pub(super) fn parts(path: &Path) -> Option<(&str, &str)> {
    let (sha256, ending) = path.file_name()?.to_str()?.split_once('.')?;
    let hex = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then_some((sha256, ending))
}
