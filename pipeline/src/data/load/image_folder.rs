//! A folder per class, perhaps below a folder per split.

use std::path::{Path, PathBuf};

use super::entries::{entries, images_below};
use super::{Listing, Row};
use crate::data::error::DataError;
use crate::data::split::Split;

/// Lists every image below the class folders; a class folder without any is a fault.
pub(super) fn list(root: &Path) -> Result<Listing, DataError> {
    let mut listing = Listing { source: root.to_owned(), columns: Vec::new(), rows: Vec::new(), faults: Vec::new() };
    let top = entries(root)?;
    let splits: Vec<(Split, &String)> =
        top.folders.iter().filter_map(|name| Some((Split::parse(name)?, name))).collect();
    // Only where every folder is a split's: `test` may well be the name of a class among others.
    if !splits.is_empty() && splits.len() == top.folders.len() {
        for (split, name) in splits {
            classes(root, Path::new(name), Some(split), &mut listing)?;
        }
    } else {
        classes(root, Path::new(""), None, &mut listing)?;
    }
    Ok(listing)
}

fn classes(root: &Path, folder: &Path, split: Option<Split>, listing: &mut Listing) -> Result<(), DataError> {
    let inside = entries(&root.join(folder))?;
    for class in inside.folders {
        let images: Vec<PathBuf> = images_below(root, &folder.join(&class), &mut listing.faults)?;
        if images.is_empty() {
            let place = folder.join(&class);
            listing.faults.push(format!(
                "the class folder {} has no image; put JPEG, PNG or BMP files there or remove it",
                place.display()
            ));
        }
        let row = |path| Row { place: None, path, label: class.clone(), split, metadata: Vec::new() };
        listing.rows.extend(images.into_iter().map(row));
    }
    Ok(())
}
