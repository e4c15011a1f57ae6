//! Data as a table: any table, prediction logs, and folders of labelled images, whose files are looked at too.
//!
//! What an image tells becomes columns of its row, so that rules and figures hold for pictures and labels alike:
//!
//! | column | holds |
//! |---|---|
//! | `image_error` | why the file cannot be decoded; missing where it can |
//! | `image_width`, `image_height` | pixels |
//! | `image_bytes` | size of the file |
//! | `image_sha256` | digest of the file: the same for the same picture |
//! | `image_brightness`, `image_contrast`, ... | the figures of [`ImageStatistics`], at 256 by 256 pixels |

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use takt_image::ImageStatistics;
use takt_tables::{Column, Table, TableError, Values};
use tempfile::TempDir;

use super::dataset::{Dataset, LoadOptions, Sample};
use super::error::DataError;
use super::inspect::{ImageFacts, inspect};
use super::layout::LABEL_FILES;
use super::split::Split;
use crate::outcomes::{Detail, Exported, Filter, OutcomesError, export, find};
use crate::progress::{Progress, Silent};

/// The column that names the image of a row.
const FILE: &str = "file";

/// What the names of columns made of images begin with.
const PREFIX: &str = "image_";

/// Columns that are made of the files; after them the figures, by their names.
const OF_FILES: [&str; 5] = ["image_error", "image_width", "image_height", "image_bytes", "image_sha256"];

/// What is wanted of a prediction log.
pub(crate) struct Wanted<'a> {
    pub(crate) detail: Detail,
    /// Predictions of this model.
    pub(crate) model: Option<&'a str>,
    /// Set from outside to end soon.
    pub(crate) stop: &'a AtomicBool,
}

/// Rows, and where the images lie that they name.
pub(crate) struct Rows {
    pub(crate) table: Table,
    /// The folder that paths begin from.
    root: PathBuf,
    /// Whether the rows are those of a folder of labelled images.
    pub(crate) of_images: bool,
    /// What of a prediction log could not be read.
    pub(crate) skipped: Vec<String>,
    /// Of a prediction log, as long as its rows are needed: its table.
    _log: Option<TempDir>,
}

impl Rows {
    /// Opens a CSV or Parquet file, a folder of them, a folder of labelled images of any layout, or a prediction log;
    /// nothing where the log was being read when it was stopped.
    pub(crate) fn open(data: &Path, wanted: &Wanted<'_>) -> Result<Option<Self>, DataError> {
        let rows =
            |table, root: PathBuf, of_images| Some(Self { table, root, of_images, skipped: Vec::new(), _log: None });
        if !data.is_dir() {
            return Ok(rows(Table::open(data)?, data.parent().map(Path::to_owned).unwrap_or_default(), false));
        }
        if find(data).is_some() {
            return Self::of_log(data, wanted);
        }
        let root = data.to_owned();
        let labels = LABEL_FILES.map(|name| data.join(name)).into_iter().filter(|file| file.is_file());
        match labels.collect::<Vec<_>>().as_slice() {
            [file] => Ok(rows(Table::open(file)?, root, true)),
            [] => match Table::open(data) {
                // No table, so it may be images below folders that say what they are.
                Err(TableError::NoFile { .. }) => {
                    let images = Dataset::open(data, &LoadOptions::default())?;
                    Ok(rows(of_dataset(&images)?, root, true))
                }
                opened => Ok(rows(opened?, root, false)),
            },
            _ => Err(DataError::TwoLabelFiles { folder: root }),
        }
    }

    /// A prediction log is read once into a table beside, which takes as many passes as one wants in constant memory.
    fn of_log(data: &Path, wanted: &Wanted<'_>) -> Result<Option<Self>, DataError> {
        let folder = TempDir::new().map_err(OutcomesError::Temporary)?;
        let file = folder.path().join("predictions.parquet");
        let filter = Filter { model: wanted.model.map(str::to_owned), ..Filter::default() };
        let exported = export(data, filter, wanted.detail, &file, &Silent, wanted.stop)?;
        let Some(Exported { models, skipped, .. }) = exported else { return Ok(None) };
        if models.len() > 1 && wanted.detail == Detail::Distributions {
            let (path, what, flag) = (data.to_owned(), "models", "--model");
            return Err(OutcomesError::Several { path, what, found: models, flag }.into());
        }
        let table = Table::open(&file)?.named(data);
        Ok(Some(Self { table, root: data.to_owned(), of_images: false, skipped, _log: Some(folder) }))
    }

    /// Whether it is the name of a column that can be made of the images, and is not there yet.
    pub(crate) fn can_make(&self, name: &str) -> bool {
        name.starts_with(PREFIX) && image_columns().any(|known| known == name) && self.table.column(name).is_err()
    }

    /// The table with every column that can be made of the images; nothing where `stop` was set meanwhile.
    pub(crate) fn with_images(
        &self,
        threads: NonZeroUsize,
        progress: &dyn Progress,
        stop: &AtomicBool,
    ) -> Result<Option<Table>, DataError> {
        let Some(facts) = inspect(&self.files()?, threads, progress, stop)? else { return Ok(None) };
        let columns: Vec<Column> = columns(&facts).filter(|column| self.can_make(&column.name)).collect();
        Ok(Some(self.table.with(&columns)?))
    }

    fn files(&self) -> Result<Vec<PathBuf>, DataError> {
        // As the loader reads label files: in any case, with blanks around.
        let named = self.table.columns().iter().find(|column| column.name.eq_ignore_ascii_case(FILE));
        let column = match named {
            Some(column) => column,
            None => self.table.column(FILE)?,
        };
        let texts = self.table.texts_of(&column.name)?;
        Ok(texts.into_iter().map(|text| self.root.join(text.unwrap_or_default().trim())).collect())
    }
}

/// A row per image, as a label file would have it.
fn of_dataset(images: &Dataset) -> Result<Table, DataError> {
    let texts = |text: &dyn Fn(&Sample) -> Option<String>| Values::Texts(images.samples.iter().map(text).collect());
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

/// Names of all columns that are made of images.
fn image_columns() -> impl Iterator<Item = String> {
    let figures = ImageStatistics::NAMES.into_iter().map(|name| match name.strip_prefix(PREFIX) {
        Some(_) => name.to_owned(),
        None => format!("{PREFIX}{name}"),
    });
    OF_FILES.into_iter().map(str::to_owned).chain(figures)
}

/// The same with their values.
fn columns(facts: &[ImageFacts]) -> impl Iterator<Item = Column> {
    let texts = |of: fn(&ImageFacts) -> &Option<String>| Values::Texts(facts.iter().map(|f| of(f).clone()).collect());
    let integers =
        |of: fn(&ImageFacts) -> Option<u64>| Values::Integers(facts.iter().map(|f| of(f)?.try_into().ok()).collect());
    let files = [
        texts(|facts| &facts.error),
        integers(|facts| facts.width.map(u64::from)),
        integers(|facts| facts.height.map(u64::from)),
        integers(|facts| facts.bytes),
        texts(|facts| &facts.sha256),
    ];
    let figure = |index: usize| {
        let of = |facts: &ImageFacts| facts.statistics?.values().get(index).copied();
        Values::Singles(facts.iter().map(of).collect())
    };
    let values = files.into_iter().chain((0..ImageStatistics::NAMES.len()).map(figure));
    image_columns().zip(values).map(|(name, values)| Column::new(name, values))
}
