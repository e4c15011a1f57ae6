//! Small CSV files read whole: labels, annotations, decisions.

use std::fs;
use std::path::Path;

use ::csv::{Position, ReaderBuilder, Trim, WriterBuilder};

use super::error::{DataError, Faults};
use crate::file;

/// A CSV file in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csv {
    /// What separates fields: comma, semicolon or tab.
    pub(crate) separator: u8,
    pub(crate) header: Vec<String>,
    /// Each with its line, counted from 1. Their lengths may differ from the header's.
    pub(crate) rows: Vec<(u64, Vec<String>)>,
}

impl Csv {
    /// Reads a file; `,`, `;` and tab are told apart by the header, blanks around fields are not part of them.
    pub(crate) fn read(path: &Path) -> Result<Self, DataError> {
        let text = fs::read(path).map_err(DataError::io(path))?;
        // Spreadsheet programs put a byte order mark before the first name.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        if let Err(error) = std::str::from_utf8(text) {
            let before = text.iter().take(error.valid_up_to());
            let line = 1 + before.filter(|byte| **byte == b'\n').count();
            return Err(DataError::NotUtf8 { path: path.to_owned(), line });
        }
        let separator = separator(text);
        let mut reader = ReaderBuilder::new().delimiter(separator).trim(Trim::All).flexible(true).from_reader(text);
        let unreadable = |error| DataError::Io { path: path.to_owned(), source: std::io::Error::other(error) };
        let header = reader.headers().map_err(unreadable)?.iter().map(str::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(unreadable)?;
            rows.push((record.position().map_or(0, Position::line), record.iter().map(str::to_owned).collect()));
        }
        Ok(Self { separator, header, rows })
    }

    /// Reads a file in which every row has as many fields as the header.
    pub(crate) fn read_even(path: &Path) -> Result<Self, DataError> {
        let csv = Self::read(path)?;
        let width = csv.header.len();
        let odd = csv.rows.iter().filter(|(_, fields)| fields.len() != width);
        let faults: Vec<String> = odd
            .map(|(line, fields)| format!("line {line}: {} fields, expected {width} as in the header", fields.len()))
            .collect();
        if faults.is_empty() {
            Ok(csv)
        } else {
            Err(DataError::Faults { path: path.to_owned(), faults: Faults(faults) })
        }
    }

    /// Index of a column, in any case.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|known| known.eq_ignore_ascii_case(name))
    }

    /// Indices of columns that must be there.
    pub(crate) fn columns<const N: usize>(&self, path: &Path, names: [&str; N]) -> Result<[usize; N], DataError> {
        let missing: Vec<&str> = names.into_iter().filter(|name| self.column(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(names.map(|name| self.column(name).unwrap_or_default()));
        }
        let (found, expected) = (self.header.join(", "), names.join(", "));
        let fault = format!("the header has {found}, expected {expected}; add {}", missing.join(" and "));
        Err(DataError::Faults { path: path.to_owned(), faults: Faults(vec![fault]) })
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), DataError> {
        let mut writer = WriterBuilder::new().delimiter(self.separator).from_writer(Vec::new());
        let rows = self.rows.iter().map(|(_, fields)| fields);
        let written = std::iter::once(&self.header).chain(rows).try_for_each(|row| writer.write_record(row));
        let bytes = written.map_err(std::io::Error::other);
        let bytes = bytes.and_then(|()| writer.into_inner().map_err(|error| std::io::Error::other(error.to_string())));
        let replaced = bytes.and_then(|bytes| file::replace(path, &bytes));
        replaced.map_err(|source| DataError::Write { path: path.to_owned(), source })
    }
}

/// The separator that the header has most of.
fn separator(text: &[u8]) -> u8 {
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    // The first of those that are equal is the last that `max_by_key` sees.
    [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}
