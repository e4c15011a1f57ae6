//! `labels.csv` or `labels.parquet`: a row per image.

use std::path::{Path, PathBuf};

use super::{Listing, Place, Row};
use crate::data::csv::Csv;
use crate::data::error::DataError;
use crate::data::layout::{LABEL_FILES, Layout};
use crate::data::split::Split;

/// Where the columns that mean something to us are.
struct Columns {
    file: usize,
    label: usize,
    split: Option<usize>,
    /// The others, with their names.
    metadata: Vec<(usize, String)>,
}

/// Lists the rows of `root/labels.csv`, or, where there is none, of `root/labels.parquet`.
pub(super) fn list(root: &Path) -> Result<Listing, DataError> {
    let [csv, parquet] = LABEL_FILES.map(|name| root.join(name));
    match (csv.is_file(), parquet.is_file()) {
        (true, true) => Err(DataError::TwoLabelFiles { folder: root.to_owned() }),
        (true, false) => from_csv(csv),
        (false, true) => from_parquet(parquet),
        (false, false) => {
            let missing = "there is no labels.csv (columns file,label and perhaps split, station, ...)".to_owned();
            Err(DataError::OtherLayout { path: root.to_owned(), layout: Layout::Labels, missing })
        }
    }
}

fn from_csv(source: PathBuf) -> Result<Listing, DataError> {
    let Csv { header, rows, .. } = Csv::read(&source)?;
    let columns = Columns::of(&header, &source)?;
    let mut listing = columns.listing(source);
    for (line, fields) in &rows {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        columns.add(&fields, header.len(), Place::Line(*line), &mut listing);
    }
    Ok(listing)
}

#[cfg(feature = "tables")]
fn from_parquet(source: PathBuf) -> Result<Listing, DataError> {
    let texts = takt_tables::Table::open(&source)?.texts()?;
    let columns = Columns::of(&texts.header, &source)?;
    let mut listing = columns.listing(source);
    for (number, row) in (1..).zip(&texts.rows) {
        let fields: Vec<&str> = row.iter().map(|field| field.trim()).collect();
        columns.add(&fields, texts.header.len(), Place::Row(number), &mut listing);
    }
    Ok(listing)
}

#[cfg(not(feature = "tables"))]
fn from_parquet(source: PathBuf) -> Result<Listing, DataError> {
    Err(DataError::Parquet { path: source })
}

impl Columns {
    fn of(header: &[String], source: &Path) -> Result<Self, DataError> {
        let find = |wanted: &str| header.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let (file, label, split) = (find("file"), find("label"), find("split"));
        let (Some(file), Some(label)) = (file, label) else {
            let missing = [("file", file), ("label", label)].into_iter().filter(|(_, found)| found.is_none());
            return Err(DataError::Header {
                path: source.to_owned(),
                found: header.join(", "),
                missing: missing.map(|(name, _)| name).collect::<Vec<_>>().join(" and "),
            });
        };
        let ours = |index: usize| index == file || index == label || Some(index) == split;
        let others = header.iter().enumerate().filter(|(index, name)| !ours(*index) && !name.is_empty());
        let metadata = others.map(|(index, name)| (index, name.clone())).collect();
        Ok(Self { file, label, split, metadata })
    }

    fn listing(&self, source: PathBuf) -> Listing {
        let columns = self.metadata.iter().map(|(_, name)| name.clone()).collect();
        Listing { source, columns, rows: Vec::new(), faults: Vec::new() }
    }

    /// Adds a row to the list, or what is wrong with it.
    fn add(&self, fields: &[&str], width: usize, place: Place, to: &mut Listing) {
        match self.row(fields, width, place) {
            Ok(row) => to.rows.push(row),
            Err(fault) => to.faults.push(format!("{place}: {fault}")),
        }
    }

    fn row(&self, fields: &[&str], width: usize, place: Place) -> Result<Row, String> {
        if fields.len() != width {
            return Err(format!("{} fields, expected {width} as in the header", fields.len()));
        }
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        let (file, label) = (field(self.file), field(self.label));
        if file.is_empty() {
            return Err("no file is named".to_owned());
        }
        if label.is_empty() {
            return Err(format!("{file} has no label; give it one or remove the row"));
        }
        let split = match self.split.map(field) {
            None | Some("") => None,
            Some(name) => Some(Split::parse(name).ok_or_else(|| {
                format!("the split '{name}' is unknown, expected train, validation, calibration, test or reference")
            })?),
        };
        let metadata = self.metadata.iter().map(|(index, _)| field(*index).to_owned()).collect();
        Ok(Row { place: Some(place), path: PathBuf::from(file), label: label.to_owned(), split, metadata })
    }
}
