//! `labels.csv`: a row per image.

use std::fs;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Listing, Row};
use crate::data::error::DataError;
use crate::data::layout::Layout;
use crate::data::split::Split;

/// Where the columns that mean something to us are.
struct Columns {
    file: usize,
    label: usize,
    split: Option<usize>,
    /// The others, with their names.
    metadata: Vec<(usize, String)>,
}

/// Lists the rows of `root/labels.csv`. Separators `,`, `;` and tab are told apart by the header.
pub(super) fn list(root: &Path) -> Result<Listing, DataError> {
    let source = root.join("labels.csv");
    if !source.is_file() {
        let missing = "there is no labels.csv (columns file,label and perhaps split, station, ...)".to_owned();
        return Err(DataError::OtherLayout { path: root.to_owned(), layout: Layout::Labels, missing });
    }
    let text = fs::read(&source).map_err(DataError::io(&source))?;
    // Spreadsheet programs put a byte order mark before the first name.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut reader = ReaderBuilder::new().delimiter(delimiter(text)).trim(Trim::All).flexible(true).from_reader(text);
    let header = reader.headers().map_err(|error| unreadable(&source, error))?.clone();
    let columns = Columns::of(&header, &source)?;
    let names = columns.metadata.iter().map(|(_, name)| name.clone()).collect();
    let mut listing = Listing { source: source.clone(), columns: names, rows: Vec::new(), faults: Vec::new() };
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(&source, error))?;
        let line = record.position().map_or(0, csv::Position::line);
        match columns.row(&record, header.len(), line) {
            Ok(row) => listing.rows.push(row),
            Err(fault) => listing.faults.push(format!("line {line}: {fault}")),
        }
    }
    Ok(listing)
}

impl Columns {
    fn of(header: &StringRecord, source: &Path) -> Result<Self, DataError> {
        let find = |wanted: &str| header.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let (file, label, split) = (find("file"), find("label"), find("split"));
        let (Some(file), Some(label)) = (file, label) else {
            let missing = [("file", file), ("label", label)].into_iter().filter(|(_, found)| found.is_none());
            return Err(DataError::Header {
                path: source.to_owned(),
                found: header.iter().collect::<Vec<_>>().join(", "),
                missing: missing.map(|(name, _)| name).collect::<Vec<_>>().join(" and "),
            });
        };
        let ours = |index: usize| index == file || index == label || Some(index) == split;
        let others = header.iter().enumerate().filter(|(index, name)| !ours(*index) && !name.is_empty());
        let metadata = others.map(|(index, name)| (index, name.to_owned())).collect();
        Ok(Self { file, label, split, metadata })
    }

    fn row(&self, record: &StringRecord, width: usize, line: u64) -> Result<Row, String> {
        if record.len() != width {
            return Err(format!("{} fields, expected {width} as in the header", record.len()));
        }
        let field = |index: usize| record.get(index).unwrap_or_default();
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
        Ok(Row { line: Some(line), path: PathBuf::from(file), label: label.to_owned(), split, metadata })
    }
}

/// The separator that the header has most of.
fn delimiter(text: &[u8]) -> u8 {
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    // The first of those that are equal is the last that `max_by_key` sees.
    [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

fn unreadable(source: &Path, error: csv::Error) -> DataError {
    DataError::Io { path: source.to_owned(), source: std::io::Error::other(error) }
}
