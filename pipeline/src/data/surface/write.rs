//! Images and rows as files. A file under its final name is always whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Serialize;

use super::scene::{Label, Scene, Shift};
use crate::data::split::Split;

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
pub(super) fn labels<'a>(scenes: impl IntoIterator<Item = &'a Scene>) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for scene in scenes {
        writer.serialize(Row::from(scene))?;
    }
    writer.into_inner().map_err(|full| full.into_error().into())
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
