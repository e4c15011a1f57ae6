//! Every file below a folder, in the order of their names.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// A file below a folder.
pub(super) struct Found {
    /// Its path from that folder, with '/'; empty if the folder is the file itself.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

/// Which entries count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    Counts,
    IsLeftOut,
}

/// What could not be read, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(super) struct WalkError {
    pub(super) path: PathBuf,
    pub(super) source: io::Error,
}

impl WalkError {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// All files at or below `root`, sorted. Links are followed; one that leads back to a folder above it is an error.
pub(super) fn files(root: &Path, hidden: Hidden) -> Result<Vec<Found>, WalkError> {
    let mut found = Vec::new();
    visit(root, String::new(), hidden, &mut Vec::new(), &mut found)?;
    Ok(found)
}

fn visit(
    path: &Path,
    name: String,
    hidden: Hidden,
    above: &mut Vec<PathBuf>,
    found: &mut Vec<Found>,
) -> Result<(), WalkError> {
    let metadata = fs::metadata(path).map_err(WalkError::at(path))?;
    if metadata.is_file() {
        found.push(Found { name, path: path.to_owned(), metadata });
        return Ok(());
    }
    if !metadata.is_dir() {
        let source = io::Error::other("is neither file nor folder; remove it");
        return Err(WalkError { path: path.to_owned(), source });
    }
    let real = path.canonicalize().map_err(WalkError::at(path))?;
    if above.contains(&real) {
        let source = io::Error::other("is a link to a folder that it lies in; remove it");
        return Err(WalkError { path: path.to_owned(), source });
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(WalkError::at(path))? {
        let entry = entry.map_err(WalkError::at(path))?;
        let entry = entry.file_name().into_string().map_err(|name| WalkError {
            path: path.join(name),
            source: io::Error::other("the name is not UTF-8; rename it"),
        })?;
        if hidden == Hidden::Counts || !entry.starts_with('.') {
            entries.push(entry);
        }
    }
    entries.sort_unstable();
    above.push(real);
    for entry in entries {
        let below = if name.is_empty() { entry.clone() } else { format!("{name}/{entry}") };
        visit(&path.join(entry), below, hidden, above, found)?;
    }
    above.pop();
    Ok(())
}
