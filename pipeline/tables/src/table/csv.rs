//! CSV: separators told apart, rows checked, types judged by enough of the file.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder};
use polars::prelude::{LazyCsvReader, LazyFileListReader, LazyFrame};

use super::{guarded, parquet};
use crate::error::TableError;

/// Files up to this size are read through before anything is asked of them. An odd field near the end of a file that a
/// person wrote is then a text column, not an error in the middle of a query, and a row with a field too many or too few is
/// found: polars fills what is missing, and does not look at what is left over unless its column is asked for.
const WHOLE: u64 = 64 << 20;

/// Rows that larger files are judged by.
const ROWS: usize = 100_000;

pub(super) fn scan(files: &[PathBuf]) -> Result<LazyFrame, TableError> {
    let Some(first) = files.first() else { return Ok(LazyFrame::default()) };
    let mut size = 0;
    for file in files {
        let found = file.metadata().map_err(TableError::io("read", file))?.len();
        if found == 0 {
            return Err(TableError::Empty { path: file.clone() });
        }
        size += found;
    }
    let separator = separator(&header(first)?);
    let rows = if size <= WHOLE { None } else { Some(ROWS) };
    if rows.is_none() {
        files.iter().try_for_each(|file| check(file, separator))?;
    }
    let paths = parquet::paths(files)?;
    guarded(first, || {
        LazyCsvReader::new_paths(paths.into_iter().collect())
            .with_separator(separator)
            .with_infer_schema_length(rows)
            .with_glob(false)
            .finish()
    })
}

/// Refuses rows with more or fewer fields than the header.
fn check(file: &Path, separator: u8) -> Result<(), TableError> {
    let opened = ReaderBuilder::new().delimiter(separator).flexible(true).from_path(file);
    let mut reader = opened.map_err(unreadable(file))?;
    let width = reader.byte_headers().map_err(unreadable(file))?.len();
    let (mut record, mut faults) = (ByteRecord::new(), Vec::new());
    while reader.read_byte_record(&mut record).map_err(unreadable(file))? {
        if record.len() != width {
            let line = record.position().map_or(0, csv::Position::line);
            faults.push(format!("line {line}: {} fields, expected {width} as in the header", record.len()));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(TableError::Rows { path: file.to_owned(), faults }) }
}

fn unreadable(file: &Path) -> impl FnOnce(csv::Error) -> TableError {
    let file = file.to_owned();
    move |error| TableError::Read { path: file, reason: error.to_string() }
}

/// The first line, as bytes.
fn header(file: &Path) -> Result<Vec<u8>, TableError> {
    let mut line = Vec::new();
    let opened = File::open(file).map_err(TableError::io("open", file))?;
    BufReader::new(opened).read_until(b'\n', &mut line).map_err(TableError::io("read", file))?;
    Ok(line)
}

/// The separator that the header has most of; a comma where it has none.
fn separator(header: &[u8]) -> u8 {
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    // Of those that are equal `max_by_key` takes the last.
    [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}
