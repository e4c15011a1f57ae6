//! MVTec AD: `train/good`, `test/good`, `test/<defect>` and masks in `ground_truth/<defect>`, for one category or several.

use std::path::{Path, PathBuf};

use super::entries::{entries, images_below};
use super::{Listing, Row};
use crate::data::error::DataError;
use crate::data::layout::{Layout, is_mvtec};
use crate::data::split::Split;

/// Lists the images with the columns `category` and `mask`, a path where there is one. A defect of the same name is the
/// same class in every category.
pub(super) fn list(root: &Path) -> Result<Listing, DataError> {
    let columns = vec!["category".to_owned(), "mask".to_owned()];
    let mut listing = Listing { source: root.to_owned(), columns, rows: Vec::new(), faults: Vec::new() };
    if is_mvtec(root) {
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        category(root, Path::new(""), &name, &mut listing)?;
        return Ok(listing);
    }
    let folders = entries(root)?.folders;
    let categories: Vec<&String> = folders.iter().filter(|name| is_mvtec(&root.join(name))).collect();
    if categories.is_empty() {
        let missing = "neither it nor a folder in it has train/good and test".to_owned();
        return Err(DataError::OtherLayout { path: root.to_owned(), layout: Layout::MvtecAd, missing });
    }
    for name in categories {
        category(root, Path::new(name), name, &mut listing)?;
    }
    Ok(listing)
}

fn category(root: &Path, folder: &Path, name: &str, listing: &mut Listing) -> Result<(), DataError> {
    for (split, part) in [(Split::Train, "train"), (Split::Test, "test")] {
        for label in entries(&root.join(folder).join(part))?.folders {
            let images = images_below(root, &folder.join(part).join(&label), &mut listing.faults)?;
            if images.is_empty() {
                let place = folder.join(part).join(&label);
                listing.faults.push(format!("{} has no image; put some there or remove it", place.display()));
            }
            for path in images {
                let mask = mask(root, folder, &label, &path).map(|mask| mask.display().to_string());
                let metadata = vec![name.to_owned(), mask.unwrap_or_default()];
                listing.rows.push(Row { place: None, path, label: label.clone(), split: Some(split), metadata });
            }
        }
    }
    Ok(())
}

/// `ground_truth/<defect>/<name>_mask.png`, where it is there.
fn mask(root: &Path, folder: &Path, label: &str, image: &Path) -> Option<PathBuf> {
    let stem = image.file_stem()?.to_str()?;
    let mask = folder.join("ground_truth").join(label).join(format!("{stem}_mask.png"));
    root.join(&mask).is_file().then_some(mask)
}
