//! A table: where its rows come from, which columns it has, and what runs over them.

mod batches;
mod categories;
mod csv;
mod kind;
mod parquet;
mod runs;
mod source;
#[cfg(test)]
mod tests;
mod texts;
mod totals;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::prelude::{DataFrame, DataType, Engine, Expr, IntoLazy, LazyFrame, NULL, PolarsResult, col, lit};

pub use batches::{Batch, Numbers};
pub use categories::Categories;
pub use kind::Kind;
pub use texts::Texts;
pub use totals::{Amount, Total};

use self::source::Source;
use crate::column::{Column, frame};
use crate::error::TableError;

/// Rows of CSV or Parquet files, or of memory. Opening one reads the columns' names and types, no more.
#[derive(Clone)]
pub struct Table {
    path: PathBuf,
    frame: LazyFrame,
    /// The files, where the table is Parquet and no more. They are read without the engine wherever that is all it takes.
    parquet: Option<Arc<[PathBuf]>>,
    columns: Vec<ColumnInfo>,
}

/// A column as the table declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Its exact type, such as `int64`.
    pub exact: String,
    /// Whether [`Table::with`] added it, so that the file or folder has no such column.
    pub added: bool,
}

impl Table {
    /// Opens a file that ends in `.csv` or `.parquet`, or a folder of such files of one kind and with the same columns.
    /// The rows of a folder come in the order of its files' names.
    ///
    /// Columns of CSV are separated by what the header has most of: comma, semicolon or tab. Their types are those that all
    /// fields fit. An empty field is missing. Up to 64 MiB the file is read through for types and for rows that do not fit
    /// the header; above, its first 100,000 rows are for types.
    ///
    /// # Errors
    /// Nothing is there, the ending is another, or the file cannot be understood.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let source = Source::find(path)?;
        match source {
            Source::Csv(files) => Self::of_frame(path, csv::scan(&files)?),
            Source::Parquet(files) => {
                let (frame, types) = parquet::scan(&files)?;
                let columns = ColumnInfo::all(types.iter().map(|(name, dtype)| (name.as_str(), dtype)));
                Ok(Self { path: path.to_owned(), frame, parquet: Some(files.into()), columns })
            }
        }
    }

    /// A table of columns in memory; `name` stands for its path in messages.
    ///
    /// # Errors
    /// Columns of different lengths or of the same name.
    pub fn of_columns(name: &str, columns: &[Column]) -> Result<Self, TableError> {
        Self::of_frame(Path::new(name), frame(columns)?.lazy())
    }

    fn of_frame(path: &Path, mut frame: LazyFrame) -> Result<Self, TableError> {
        let schema = guarded(path, || frame.collect_schema())?;
        let columns = ColumnInfo::all(schema.iter().map(|(name, dtype)| (name.as_str(), dtype)));
        Ok(Self { path: path.to_owned(), columns, parquet: None, frame })
    }

    /// The table with more columns, of as many values as it has rows. Its own rows are read into memory.
    ///
    /// # Errors
    /// Another number of rows, a name that is taken, or rows that cannot be read.
    pub fn with(&self, columns: &[Column]) -> Result<Self, TableError> {
        let mut rows = self.collect(self.frame.clone())?;
        let more = frame(columns)?;
        if more.height() != rows.height() {
            let (found, expected, path) = (more.height(), rows.height(), self.path.display());
            let reason = format!("found {found} values, expected one for each of the {expected} rows of {path}");
            return Err(TableError::Columns { reason });
        }
        let taken = |error: polars::error::PolarsError| TableError::Columns { reason: error.to_string() };
        rows.hstack_mut(more.columns()).map_err(taken)?;
        let mut table = Self::of_frame(&self.path, rows.lazy())?;
        for column in &mut table.columns {
            column.added = self.columns.iter().find(|old| old.name == column.name).is_none_or(|old| old.added);
        }
        Ok(table)
    }

    /// The table under another name in messages: what it was made of.
    #[must_use]
    pub fn named(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// What messages call it: the file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its columns, in their order.
    #[must_use]
    pub fn columns(&self) -> &[ColumnInfo] {
        &self.columns
    }

    /// The column of that name.
    ///
    /// # Errors
    /// There is none; the message names the one that is most like it.
    pub fn column(&self, name: &str) -> Result<&ColumnInfo, TableError> {
        let found = self.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| TableError::no_column(&self.path, name, self.names()))
    }

    /// Number of rows. Parquet says it; CSV is read through.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn rows(&self) -> Result<u64, TableError> {
        if let Some(files) = &self.parquet {
            return runs::rows(files);
        }
        let counted = self.collect(self.frame.clone().select([polars::prelude::len()]))?;
        let first = counted.columns().first().and_then(|count| count.get(0).ok()?.extract::<u64>());
        Ok(first.unwrap_or(0))
    }

    /// Whether reading one column costs no more than that column: Parquet, not CSV.
    #[must_use]
    pub const fn is_columnar(&self) -> bool {
        self.parquet.is_some()
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The rows, to be queried.
    pub(crate) fn frame(&self) -> LazyFrame {
        self.frame.clone()
    }

    /// Runs a query over the table's rows.
    pub(crate) fn collect(&self, query: LazyFrame) -> Result<DataFrame, TableError> {
        // A query has several results only if it was made of several.
        guarded(&self.path, || Ok(query.collect_with_engine(Engine::Streaming)?.unwrap_single()))
    }
}

impl ColumnInfo {
    fn all<'a>(types: impl Iterator<Item = (&'a str, &'a DataType)>) -> Vec<Self> {
        let column = |(name, dtype): (&str, &DataType)| Self {
            name: name.to_owned(),
            kind: Kind::of(dtype),
            exact: kind::exact(dtype),
            added: false,
        };
        types.map(column).collect()
    }

    /// The column's values, with NaN as missing.
    pub(crate) fn values(&self) -> Expr {
        let values = col(self.name.as_str());
        match self.kind {
            // Where a float says that it is no number, nobody measured.
            Kind::Float => values.fill_nan(lit(NULL)),
            // Of a type that everything can be compared with.
            Kind::Null => values.cast(DataType::String),
            _ => values,
        }
    }

    /// The same as texts, numbers in their shortest form.
    pub(crate) fn as_text(&self) -> Expr {
        self.values().cast(DataType::String)
    }
}

/// Runs polars, which panics on some files where it should refuse them; a stranger's file must not end the program.
fn guarded<T>(path: &Path, work: impl FnOnce() -> PolarsResult<T>) -> Result<T, TableError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(TableError::read(path)),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            let reason = said.unwrap_or("it panicked without a word").replace('\n', " ");
            Err(TableError::Engine { path: path.to_owned(), reason })
        }
    }
}
