//! Images and rows as files. A file under its final name is always whole.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::scene::{Label, Scene, Shift};
use crate::data::layout::LABEL_FILES;
use crate::data::split::Split;
use crate::file;

/// The file that the rows of a data set go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LabelFile {
    /// `labels.csv`
    #[default]
    Csv,
    /// `labels.parquet`, with the illumination as a number.
    #[cfg(feature = "tables")]
    Parquet,
}

/// One row of `labels.csv`.
#[derive(Debug, Serialize)]
struct Row {
    file: String,
    label: Label,
    split: Split,
    station: String,
    line: String,
    product: String,
    shift: Shift,
    illumination: String,
    time: String,
}

impl From<&Scene> for Row {
    fn from(scene: &Scene) -> Self {
        Self {
            file: scene.file(),
            label: scene.label,
            split: scene.split,
            station: scene.station_name(),
            line: scene.line_name(),
            product: scene.product_name(),
            shift: scene.shift(),
            illumination: format!("{:.3}", scene.illumination),
            time: scene.timestamp(),
        }
    }
}

/// `labels.csv`: a header and one row per scene.
fn labels<'a>(scenes: impl IntoIterator<Item = &'a Scene>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for scene in scenes {
        writer.serialize(Row::from(scene))?;
    }
    writer.into_inner().map_err(|full| full.into_error().into())
}

impl LabelFile {
    /// Its name in the folder of the data set.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => LABEL_FILES[0],
            #[cfg(feature = "tables")]
            Self::Parquet => LABEL_FILES[1],
        }
    }

    /// Writes the rows into the folder, whole or not at all.
    pub(super) fn write(self, folder: &Path, scenes: &[Scene]) -> io::Result<PathBuf> {
        let path = folder.join(self.name());
        match self {
            Self::Csv => file::replace(&path, &labels(scenes).map_err(io::Error::other)?)?,
            #[cfg(feature = "tables")]
            Self::Parquet => {
                takt_tables::write_parquet(&path, &columns(scenes)).map_err(io::Error::other)?;
            }
        }
        // The other one would be out of date sooner or later.
        for other in LABEL_FILES.into_iter().filter(|other| *other != self.name()) {
            match fs::remove_file(folder.join(other)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(path)
    }
}

/// The same rows as columns.
#[cfg(feature = "tables")]
fn columns(scenes: &[Scene]) -> Vec<takt_tables::Column> {
    use takt_tables::{Column, Values};

    let rows: Vec<Row> = scenes.iter().map(Row::from).collect();
    let texts = |name: &str, text: fn(&Row) -> String| {
        Column::new(name, Values::Texts(rows.iter().map(|row| Some(text(row))).collect()))
    };
    vec![
        texts("file", |row| row.file.clone()),
        texts("label", |row| row.label.name().to_owned()),
        texts("split", |row| row.split.name().to_owned()),
        texts("station", |row| row.station.clone()),
        texts("line", |row| row.line.clone()),
        texts("product", |row| row.product.clone()),
        texts("shift", |row| row.shift.name().to_owned()),
        Column::new("illumination", Values::Numbers(rows.iter().map(|row| row.illumination.parse().ok()).collect())),
        texts("time", |row| row.time.clone()),
    ]
}

/// Whether the file begins and ends as a JPEG does: false where it is missing, or was lost in a power cut.
pub(super) fn is_whole_jpeg(path: &Path) -> bool {
    let ends = || -> io::Result<[u8; 4]> {
        let mut file = File::open(path)?;
        let mut ends = [0; 4];
        file.read_exact(&mut ends[..2])?;
        file.seek(SeekFrom::End(-2))?;
        file.read_exact(&mut ends[2..])?;
        Ok(ends)
    };
    matches!(ends(), Ok([0xff, 0xd8, 0xff, 0xd9]))
}
