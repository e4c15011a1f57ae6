//! Folders, listed in the order of their names: the order of a file system is nobody's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::error::DataError;

/// Endings of the formats that are read; in any case.
const IMAGES: [&str; 4] = ["jpg", "jpeg", "png", "bmp"];

/// Endings of images that are not read, so that they are not passed over in silence.
const OTHER_IMAGES: [&str; 6] = ["tif", "tiff", "webp", "gif", "pgm", "ppm"];

/// What is directly in a folder, hidden things left out; sorted.
pub(crate) struct Entries {
    pub(crate) folders: Vec<String>,
    pub(crate) files: Vec<String>,
}

impl Entries {
    /// Files that are images by their names.
    pub(crate) fn images(&self) -> impl Iterator<Item = &String> {
        self.files.iter().filter(|file| has_ending(file, &IMAGES))
    }
}

/// Lists a folder.
pub(crate) fn entries(folder: &Path) -> Result<Entries, DataError> {
    if !folder.is_dir() {
        return Err(DataError::NotAFolder { path: folder.to_owned() });
    }
    let mut found = Entries { folders: Vec::new(), files: Vec::new() };
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let entry = entry.map_err(DataError::io(folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            let name = entry.file_name().to_string_lossy().into_owned();
            let source = std::io::Error::other(format!("the name of '{name}' is not UTF-8; rename it"));
            return Err(DataError::Io { path: folder.to_owned(), source });
        };
        if !name.starts_with('.') {
            let is_folder = entry.path().is_dir();
            if is_folder { &mut found.folders } else { &mut found.files }.push(name);
        }
    }
    found.folders.sort_unstable();
    found.files.sort_unstable();
    Ok(found)
}

/// Every image below `root/folder`, however deep, as paths from `root`; faults for images that cannot be read.
pub(super) fn images_below(root: &Path, folder: &Path, faults: &mut Vec<String>) -> Result<Vec<PathBuf>, DataError> {
    let mut images = Vec::new();
    let inside = entries(&root.join(folder))?;
    for file in &inside.files {
        let path = folder.join(file);
        if has_ending(file, &IMAGES) {
            images.push(path);
        } else if has_ending(file, &OTHER_IMAGES) {
            faults.push(format!("{} is an image of a kind that is not read; save it as PNG or JPEG", path.display()));
        }
    }
    for name in &inside.folders {
        images.extend(images_below(root, &folder.join(name), faults)?);
    }
    Ok(images)
}

fn has_ending(file: &str, endings: &[&str]) -> bool {
    let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}
