//! Holding data against a suite of rules: any table, and folders of labelled images, whose files are looked at too.
//!
//! What an image tells becomes columns of its row, so that one kind of rule, `mostly` and severity hold for pictures and
//! labels alike:
//!
//! | column | holds |
//! |---|---|
//! | `image_error` | why the file cannot be decoded; missing where it can |
//! | `image_width`, `image_height` | pixels |
//! | `image_brightness` | mean luma, 0 black to 255 white |
//! | `image_bytes` | size of the file |
//! | `image_sha256` | digest of the file: the same for the same picture |

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use takt_tables::validate::{Report, Suite, validate as hold};
use takt_tables::{Column, Table, TableError, Values};

use super::dataset::{Dataset, LoadOptions};
use super::error::DataError;
use super::inspect::{ImageFacts, inspect};
use super::layout::LABEL_FILES;
use super::split::Split;
use crate::progress::Progress;

/// The column that names the image of a row.
const FILE: &str = "file";

/// Columns that are made of the images where a rule names one of them.
const OF_IMAGES: [&str; 6] =
    ["image_error", "image_width", "image_height", "image_brightness", "image_bytes", "image_sha256"];

/// Holds `data` against the suite; nothing where `stop` was set meanwhile. `data` is a CSV or Parquet file, a folder of
/// them, or a folder of labelled images of any layout. Images are read where a rule names a column made of them.
///
/// # Errors
/// Data that cannot be read as a table.
pub fn validate(
    suite: &Suite,
    data: &Path,
    threads: NonZeroUsize,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<Report>, DataError> {
    let (table, root) = open(data)?;
    let wanted = |name: &&str| OF_IMAGES.contains(name) && table.column(name).is_err();
    if !suite.columns().any(|name| wanted(&name)) {
        return Ok(Some(hold(&table, suite)?));
    }
    let files = files(&table, &root)?;
    let Some(facts) = inspect(&files, threads, progress, stop)? else { return Ok(None) };
    let table = table.with(&columns(&facts, |name| table.column(name).is_err()))?;
    Ok(Some(hold(&table, suite)?))
}

/// The rows, and the folder that their paths begin from.
fn open(data: &Path) -> Result<(Table, PathBuf), DataError> {
    if !data.is_dir() {
        let root = data.parent().map(Path::to_owned).unwrap_or_default();
        return Ok((Table::open(data)?, root));
    }
    let there: Vec<PathBuf> =
        LABEL_FILES.map(|name| data.join(name)).into_iter().filter(|file| file.is_file()).collect();
    match there.as_slice() {
        [file] => Ok((Table::open(file)?, data.to_owned())),
        [] => match Table::open(data) {
            // No table, so it may be images below folders that say what they are.
            Err(TableError::NoFile { .. }) => {
                let images = Dataset::open(data, &LoadOptions::default())?;
                Ok((of_images(&images)?, data.to_owned()))
            }
            opened => Ok((opened?, data.to_owned())),
        },
        _ => Err(DataError::TwoLabelFiles { folder: data.to_owned() }),
    }
}

/// A row per image, as a label file would have it.
fn of_images(images: &Dataset) -> Result<Table, DataError> {
    let texts = |text: &dyn Fn(&super::dataset::Sample) -> Option<String>| {
        Values::Texts(images.samples.iter().map(text).collect())
    };
    let mut columns = vec![
        Column::new(FILE, texts(&|sample| Some(sample.path.display().to_string()))),
        Column::new("label", texts(&|sample| images.classes.get(sample.label).cloned())),
        Column::new("split", texts(&|sample| sample.split.map(Split::name).map(str::to_owned))),
    ];
    for (index, name) in images.columns.iter().enumerate() {
        let values = texts(&|sample| sample.metadata.get(index).filter(|value| !value.is_empty()).cloned());
        columns.push(Column::new(name, values));
    }
    Ok(Table::of_columns(&images.root.display().to_string(), &columns)?)
}

fn files(table: &Table, root: &Path) -> Result<Vec<PathBuf>, DataError> {
    // As the loader reads label files: in any case, with blanks around.
    let named = table.columns().iter().find(|column| column.name.eq_ignore_ascii_case(FILE));
    let column = match named {
        Some(column) => column,
        None => table.column(FILE)?,
    };
    let texts = table.texts_of(&column.name)?;
    Ok(texts.into_iter().map(|text| root.join(text.unwrap_or_default().trim())).collect())
}

fn columns(facts: &[ImageFacts], wanted: impl Fn(&str) -> bool) -> Vec<Column> {
    let texts = |of: fn(&ImageFacts) -> &Option<String>| Values::Texts(facts.iter().map(|f| of(f).clone()).collect());
    let integers =
        |of: fn(&ImageFacts) -> Option<u32>| Values::Integers(facts.iter().map(|f| of(f).map(i64::from)).collect());
    let bytes = facts.iter().map(|facts| facts.bytes.and_then(|bytes| i64::try_from(bytes).ok())).collect();
    let values = [
        texts(|facts| &facts.error),
        integers(|facts| facts.width),
        integers(|facts| facts.height),
        Values::Numbers(facts.iter().map(|facts| facts.brightness).collect()),
        Values::Integers(bytes),
        texts(|facts| &facts.sha256),
    ];
    let columns = OF_IMAGES.into_iter().zip(values).filter(|(name, _)| wanted(name));
    columns.map(|(name, values)| Column::new(name, values)).collect()
}
