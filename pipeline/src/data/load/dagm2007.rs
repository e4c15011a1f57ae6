//! DAGM 2007: ten textures, each with one kind of defect. `Class<n>/{Train,Test}/Label/Labels.txt` has a line per image:
//! number, 1 if defective, file, 1 if there is a mask, mask file, separated by tabs; its first line is a heading.

use std::fs;
use std::path::{Path, PathBuf};

use super::entries::entries;
use super::{Listing, Row};
use crate::data::error::DataError;
use crate::data::layout::{Layout, is_dagm};
use crate::data::split::Split;

/// Names of the two classes.
const LABELS: [&str; 2] = ["ok", "defect"];

/// Lists the images with the columns `texture` (`Class3`) and `mask`, a path where there is one.
pub(super) fn list(root: &Path) -> Result<Listing, DataError> {
    let columns = vec!["texture".to_owned(), "mask".to_owned()];
    let mut listing = Listing { source: root.to_owned(), columns, rows: Vec::new(), faults: Vec::new() };
    if is_dagm(root) {
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        texture(root, Path::new(""), &name, &mut listing)?;
    } else {
        for name in entries(root)?.folders.iter().filter(|name| is_dagm(&root.join(name))) {
            texture(root, Path::new(name), name, &mut listing)?;
        }
    }
    if listing.rows.is_empty() && listing.faults.is_empty() {
        let missing = "neither it nor a folder in it has Train/Label/Labels.txt".to_owned();
        return Err(DataError::OtherLayout { path: root.to_owned(), layout: Layout::Dagm2007, missing });
    }
    Ok(listing)
}

fn texture(root: &Path, folder: &Path, name: &str, listing: &mut Listing) -> Result<(), DataError> {
    for (split, part) in [(Split::Train, "Train"), (Split::Test, "Test")] {
        let folder = folder.join(part);
        let file = folder.join("Label/Labels.txt");
        if !root.join(&file).is_file() {
            // Some copies have one of the two only.
            if root.join(&folder).is_dir() {
                listing.faults.push(format!("{} is not there; copy it from the original data set", file.display()));
            }
            continue;
        }
        let text = fs::read_to_string(root.join(&file)).map_err(DataError::io(&root.join(&file)))?;
        for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate().skip(1) {
            if line.trim().is_empty() {
                continue;
            }
            match image(line) {
                Some((label, image, mask)) => {
                    let mask = mask.map(|mask| folder.join("Label").join(mask));
                    let mask = mask.filter(|mask| root.join(mask).is_file());
                    let mask = mask.map(|mask| mask.display().to_string()).unwrap_or_default();
                    listing.rows.push(Row {
                        place: None,
                        path: folder.join(image),
                        label: label.to_owned(),
                        split: Some(split),
                        metadata: vec![name.to_owned(), mask],
                    });
                }
                None => listing.faults.push(format!(
                    "{} line {}: found '{line}', expected number, 0 or 1, file, 0 or 1, mask, separated by tabs",
                    file.display(),
                    number + 1
                )),
            }
        }
    }
    Ok(())
}

/// Label, image and mask of a line.
fn image(line: &str) -> Option<(&'static str, PathBuf, Option<&str>)> {
    let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
    let [_, defective, image, rest @ ..] = fields.as_slice() else { return None };
    let label = *LABELS.get(defective.parse::<usize>().ok()?)?;
    if image.is_empty() {
        return None;
    }
    let mask = match rest {
        ["1", mask, ..] => Some(*mask),
        _ => None,
    };
    Some((label, PathBuf::from(image), mask))
}
