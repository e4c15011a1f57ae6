//! Writing Parquet: row group by row group in constant memory, under its name only when it is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use polars::io::parquet::write::BatchedWriter;
use polars::prelude::{DataFrame, ParquetWriter, Schema};

use crate::column::{Column, Values, frame};
use crate::error::TableError;

/// Most rows of a row group. Readers hold one group of each column in memory.
const ROW_GROUP: usize = 1 << 17;

/// A Parquet file in the making. Dropped unfinished, it leaves nothing; killed, a hidden file `.<name>.writing-...` that
/// may be deleted.
pub struct ParquetFile {
    target: PathBuf,
    aside: PathBuf,
    file: File,
    writer: BatchedWriter<File>,
    schema: Schema,
    rows: u64,
    finished: bool,
}

/// Writes columns as one Parquet file.
///
/// # Errors
/// Columns that are no table, or the file system refuses; nothing lies under the name then, except what lay there before.
pub fn write_parquet(path: &Path, columns: &[Column]) -> Result<u64, TableError> {
    let mut file = ParquetFile::create(path, columns)?;
    file.write(columns)?;
    file.finish()
}

impl ParquetFile {
    /// Begins a file with columns of these names and kinds; their values are not written and may be none.
    ///
    /// # Errors
    /// Two columns of the same name, or the file system refuses.
    pub fn create(path: &Path, columns: &[Column]) -> Result<Self, TableError> {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        let Some(name) = path.file_name() else {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path names no file");
            return Err(TableError::Io { action: "write", path: path.to_owned(), source });
        };
        let none: Vec<Column> =
            columns.iter().map(|column| Column::new(&column.name, column.values.none_of_its_kind())).collect();
        let schema = frame(&none)?.schema().as_ref().clone();
        let (process, number) = (std::process::id(), UNIQUE.fetch_add(1, Ordering::Relaxed));
        let aside = path.with_file_name(format!(".{}.writing-{process}-{number}", name.to_string_lossy()));
        let file = File::create_new(&aside).map_err(TableError::io("write", path))?;
        let made = file.try_clone().map_err(TableError::io("write", path)).and_then(|handle| {
            let writer = ParquetWriter::new(handle).set_parallel(false).batched(&schema);
            writer.map_err(TableError::read(path))
        });
        match made {
            Ok(writer) => Ok(Self { target: path.to_owned(), aside, file, writer, schema, rows: 0, finished: false }),
            Err(error) => {
                let _ = fs::remove_file(&aside);
                Err(error)
            }
        }
    }

    /// Adds rows, as one row group or, above 131,072 rows, as several.
    ///
    /// # Errors
    /// Columns of other names or kinds than it began with, or the file system refuses.
    pub fn write(&mut self, columns: &[Column]) -> Result<(), TableError> {
        let rows = frame(columns)?;
        if **rows.schema() != self.schema {
            let told = |names: Vec<&str>| names.join(", ");
            let found = told(rows.schema().iter_names().map(polars::prelude::PlSmallStr::as_str).collect());
            let expected = told(self.schema.iter_names().map(polars::prelude::PlSmallStr::as_str).collect());
            let reason = format!("found {found}, expected {expected}, each of the kind it began with");
            return Err(TableError::Columns { reason });
        }
        let mut begin = 0;
        while begin < rows.height() {
            self.group(&rows.slice(begin as i64, ROW_GROUP))?;
            begin += ROW_GROUP;
        }
        self.rows += rows.height() as u64;
        Ok(())
    }

    fn group(&mut self, rows: &DataFrame) -> Result<(), TableError> {
        self.writer.write_batch(rows).map_err(|error| self.refused(&error))
    }

    /// Completes the file on the disk, gives it its name, and says how many rows it has.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn finish(mut self) -> Result<u64, TableError> {
        self.writer.finish().map_err(|error| self.refused(&error))?;
        self.file.sync_all().map_err(TableError::io("write", &self.target))?;
        fs::rename(&self.aside, &self.target).map_err(TableError::io("write", &self.target))?;
        self.finished = true;
        // Without it the rename may not survive a power cut.
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flushed = File::open(folder).and_then(|folder| folder.sync_all());
        flushed.map_err(TableError::io("write", folder))?;
        Ok(self.rows)
    }

    fn refused(&self, error: &polars::error::PolarsError) -> TableError {
        let source = std::io::Error::other(error.to_string());
        TableError::Io { action: "write", path: self.target.clone(), source }
    }
}

impl Drop for ParquetFile {
    fn drop(&mut self) {
        if !self.finished {
            // There is nobody left to tell of a failure.
            let _ = fs::remove_file(&self.aside);
        }
    }
}

impl Values {
    const fn none_of_its_kind(&self) -> Self {
        match self {
            Self::Booleans(_) => Self::Booleans(Vec::new()),
            Self::Integers(_) => Self::Integers(Vec::new()),
            Self::Singles(_) => Self::Singles(Vec::new()),
            Self::Numbers(_) => Self::Numbers(Vec::new()),
            Self::Texts(_) => Self::Texts(Vec::new()),
            Self::Times(_) => Self::Times(Vec::new()),
        }
    }
}
