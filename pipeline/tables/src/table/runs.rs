//! Columns of Parquet files without the query engine, which reads some forty row groups ahead of who takes them: a run of
//! rows at a time, in the order of the files' rows.
//!
//! In memory are the compressed chunks of one row group, of the columns that were asked for, and one run. Files are read,
//! not mapped: pages of a mapping count as the process's memory, and a file that shrinks meanwhile is an error, not a signal.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use polars::prelude::{ArrowField, DataType, PlSmallStr, PolarsResult, Series};
use polars_buffer::Buffer;
use polars_parquet::read::{
    BasicDecompressor, ColumnChunkMetadata, FileMetadata, Filter, PageReader, RowGroupMetadata, column_iter_to_arrays,
    infer_schema, read_metadata,
};

use super::{ColumnInfo, guarded, kind};
use crate::error::TableError;

/// Rows of a run: 512 KiB per column of doubles.
const ROWS: usize = 1 << 16;

/// The runs of some columns; ends after an error.
#[derive(Debug)]
pub(super) struct Runs {
    files: VecDeque<PathBuf>,
    columns: Vec<ColumnInfo>,
    file: Option<Open>,
}

/// A file that is being read.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    length: u64,
    fields: Vec<ArrowField>,
    groups: std::vec::IntoIter<RowGroupMetadata>,
    group: Option<Group>,
}

/// A row group that is being read.
#[derive(Debug)]
struct Group {
    metadata: RowGroupMetadata,
    /// One per column.
    chunks: Vec<Buffer<u8>>,
    /// The row that is next.
    row: usize,
}

/// Rows of the files, by their footers.
pub(super) fn rows(files: &[PathBuf]) -> Result<u64, TableError> {
    let mut rows = 0;
    for path in files {
        let mut file = File::open(path).map_err(TableError::io("open", path))?;
        rows += guarded(path, || read_metadata(&mut file))?.num_rows as u64;
    }
    Ok(rows)
}

impl Runs {
    /// Of columns that hold a value per row, no lists or records.
    pub(super) fn new(files: &[PathBuf], columns: Vec<ColumnInfo>) -> Self {
        Self { files: files.iter().cloned().collect(), columns, file: None }
    }

    fn run(&mut self) -> Result<Option<Vec<Series>>, TableError> {
        loop {
            if let Some(file) = &mut self.file
                && let Some(run) = file.run()?
            {
                return Ok(Some(run));
            }
            let Some(path) = self.files.pop_front() else { return Ok(None) };
            self.file = Some(Open::new(path, &self.columns)?);
        }
    }
}

impl Iterator for Runs {
    type Item = Result<Vec<Series>, TableError>;

    /// As many rows of every column, in the order asked for.
    fn next(&mut self) -> Option<Self::Item> {
        let run = self.run().transpose();
        if let Some(Err(_)) = run {
            (self.files, self.file) = (VecDeque::new(), None);
        }
        run
    }
}

impl Open {
    fn new(path: PathBuf, columns: &[ColumnInfo]) -> Result<Self, TableError> {
        let mut file = File::open(&path).map_err(TableError::io("open", &path))?;
        let length = file.metadata().map_err(TableError::io("read", &path))?.len();
        let (metadata, schema) = guarded(&path, || {
            let metadata = read_metadata(&mut file)?;
            let schema = infer_schema(&metadata)?;
            Ok((metadata, schema))
        })?;
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            let Some(field) = schema.get(column.name.as_str()) else {
                let names: Vec<&str> = schema.iter_names().map(PlSmallStr::as_str).collect();
                return Err(TableError::no_column(&path, &column.name, names.iter().copied()));
            };
            // The first file says what a column holds.
            let found = kind::exact(&DataType::from_arrow_field(field));
            if found != column.exact {
                let reason =
                    format!("column '{}' is {found}, expected {} as in the files before", field.name, column.exact);
                return Err(TableError::Read { path, reason });
            }
            fields.push(field.clone());
        }
        let FileMetadata { row_groups, .. } = metadata;
        Ok(Self { path, file, length, fields, groups: row_groups.into_iter(), group: None })
    }

    fn run(&mut self) -> Result<Option<Vec<Series>>, TableError> {
        loop {
            if let Some(group) = self.group.as_mut().filter(|group| group.row < group.metadata.num_rows()) {
                return guarded(&self.path, || group.run(&self.fields)).map(Some);
            }
            // Before the next one's chunks are read.
            self.group = None;
            let Some(metadata) = self.groups.next() else { return Ok(None) };
            let mut chunks = Vec::with_capacity(self.fields.len());
            for field in &self.fields {
                let range = chunk(&metadata, field).map_err(TableError::read(&self.path))?.byte_range();
                chunks.push(read(&self.path, &mut self.file, self.length, range)?.into());
            }
            self.group = Some(Group { metadata, chunks, row: 0 });
        }
    }
}

impl Group {
    fn run(&mut self, fields: &[ArrowField]) -> PolarsResult<Vec<Series>> {
        let rows = self.row..(self.row + ROWS).min(self.metadata.num_rows());
        self.row = rows.end;
        let columns = fields.iter().zip(&self.chunks);
        columns.map(|(field, bytes)| decode(bytes, chunk(&self.metadata, field)?, field, rows.clone())).collect()
    }
}

/// The bytes of a file of that length.
fn read(path: &Path, file: &mut File, length: u64, range: Range<u64>) -> Result<Vec<u8>, TableError> {
    // A damaged footer may name any size, and memory for it is asked for before it is read.
    let within = usize::try_from(range.end.saturating_sub(range.start)).ok().filter(|_| range.end <= length);
    let Some(within) = within else {
        let reason = format!("its footer names the bytes {range:?} of {length}; the file is damaged");
        return Err(TableError::Read { path: path.to_owned(), reason });
    };
    let mut bytes = vec![0; within];
    let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut bytes));
    read.map_err(TableError::io("read", path))?;
    Ok(bytes)
}

/// Where the values of a column lie that holds one per row.
fn chunk<'a>(group: &'a RowGroupMetadata, field: &ArrowField) -> PolarsResult<&'a ColumnChunkMetadata> {
    let found = group.columns_under_root_iter(&field.name).and_then(|mut chunks| chunks.next());
    found.ok_or_else(|| polars::error::polars_err!(ComputeError: "a row group has no column '{}'", field.name))
}

/// Decodes some rows of a chunk; pages before them are passed over as they are.
fn decode(
    bytes: &Buffer<u8>,
    chunk: &ColumnChunkMetadata,
    field: &ArrowField,
    rows: Range<usize>,
) -> PolarsResult<Series> {
    let pages = PageReader::new(Cursor::new(bytes.clone()), chunk, Vec::new(), usize::MAX);
    let pages = BasicDecompressor::new(pages, Vec::new());
    let stored = &chunk.descriptor().descriptor.primitive_type;
    let wanted = Filter::new_ranged(rows.start, rows.end);
    let (arrays, _) = column_iter_to_arrays(vec![pages], vec![stored], field.clone(), Some(wanted))?;
    let values = Series::try_from((field, arrays))?;
    if values.len() != rows.len() {
        polars::error::polars_bail!(
            ComputeError: "column '{}' ends after {} rows of a group, expected {}",
            field.name, rows.start + values.len(), chunk.num_values()
        );
    }
    Ok(values)
}
