//! From a folder to a [`Dataset`]: each layout lists what it finds, and one place checks the list.

mod dagm2007;
pub(super) mod entries;
mod image_folder;
mod labels;
mod mvtec_ad;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::dataset::{Dataset, LoadOptions, Sample};
use super::error::{DataError, Faults, quoted};
use super::layout::Layout;
use super::split::Split;

/// What a layout's loader found.
struct Listing {
    /// What messages name: the label file, or the folder.
    source: PathBuf,
    columns: Vec<String>,
    rows: Vec<Row>,
    /// What was wrong already.
    faults: Vec<String>,
}

/// One image as it was listed.
struct Row {
    /// Where in the label file, where there is one.
    place: Option<Place>,
    path: PathBuf,
    label: String,
    split: Option<Split>,
    metadata: Vec<String>,
}

/// A place in a label file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Of a text.
    Line(u64),
    /// Of a table without lines.
    #[cfg_attr(not(feature = "tables"), expect(dead_code, reason = "Parquet is read with the feature"))]
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

pub(super) fn open(root: &Path, options: &LoadOptions) -> Result<Dataset, DataError> {
    if cfg!(not(feature = "tables")) && root.extension().is_some_and(|ending| ending == "parquet") {
        return Err(DataError::Parquet { path: root.to_owned() });
    }
    let layout = match options.layout {
        Some(layout) => layout,
        None => Layout::detect(root)?,
    };
    let listing = match layout {
        Layout::Labels => labels::list(root),
        Layout::ImageFolder => image_folder::list(root),
        Layout::MvtecAd => mvtec_ad::list(root),
        Layout::Dagm2007 => dagm2007::list(root),
    }?;
    check(root, layout, listing, options.classes.as_deref())
}

/// Turns names of labels into indices, and refuses what could not be used later, all at once.
fn check(root: &Path, layout: Layout, listing: Listing, classes: Option<&[String]>) -> Result<Dataset, DataError> {
    let Listing { source, columns, rows, mut faults } = listing;
    let classes: Vec<String> = match classes {
        Some(classes) => classes.to_vec(),
        None => rows.iter().map(|row| row.label.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
    };
    let index: HashMap<&str, usize> = classes.iter().enumerate().map(|(i, class)| (class.as_str(), i)).collect();
    let mut seen: HashMap<PathBuf, Option<Place>> = HashMap::with_capacity(rows.len());
    let mut samples = Vec::with_capacity(rows.len());
    for row in rows {
        let place = row.place.map(|place| format!("{place}: ")).unwrap_or_default();
        let shown = row.path.display();
        if let Some(first) = seen.insert(plain(&row.path), row.place) {
            let first = first.map(|place| format!(", first in {place}")).unwrap_or_default();
            faults.push(format!("{place}{shown} is listed twice{first}; leave one row, an image has one label"));
            continue;
        }
        let Some(&label) = index.get(row.label.as_str()) else {
            let expected = quoted(&classes);
            faults.push(format!("{place}the label '{}' of {shown} is unknown, expected one of {expected}", row.label));
            continue;
        };
        if let Some(fault) = absent(root, &row.path) {
            faults.push(format!("{place}{fault}"));
            continue;
        }
        samples.push(Sample { path: row.path, label, split: row.split, metadata: row.metadata });
    }
    if !faults.is_empty() {
        return Err(DataError::Faults { path: source, faults: Faults(faults) });
    }
    if samples.is_empty() {
        return Err(DataError::NoImages { path: source });
    }
    Ok(Dataset { root: root.to_owned(), layout, classes, columns, samples })
}

/// Why the file cannot be opened as listed.
fn absent(root: &Path, path: &Path) -> Option<String> {
    match std::fs::metadata(root.join(path)) {
        Ok(found) if found.is_file() && found.len() > 0 => None,
        Ok(found) if found.is_file() => Some(format!("{} is empty (0 bytes)", path.display())),
        Ok(_) => Some(format!("{} is a folder, expected an image", path.display())),
        Err(_) if path.to_string_lossy().contains('\\') => {
            Some(format!("{} is not there; write paths with / instead of \\", path.display()))
        }
        Err(error) => Some(format!(
            "{} is listed and cannot be opened ({error}); paths begin from {}",
            path.display(),
            root.display()
        )),
    }
}

/// The path without `.`, so that two ways to write one file are found out.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
