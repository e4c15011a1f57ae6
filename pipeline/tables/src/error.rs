//! What can be wrong with a table, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use polars::error::PolarsError;
use takt_artifact::fault::closest;

/// Why a table cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// There is nothing at the path.
    #[error("{} is not there; give a file that ends in .csv or .parquet, or a folder of them", path.display())]
    NotThere {
        /// What was given.
        path: PathBuf,
    },
    /// The file is of no kind that is read.
    #[error("{} ends in {found}, expected .csv or .parquet; rename the file or convert it", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
        /// Its ending, quoted, or `no ending`.
        found: String,
    },
    /// The folder has no table in it.
    #[error("{} has no file that ends in .csv or .parquet directly in it; give the folder that has", path.display())]
    NoFile {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has tables of both kinds.
    #[error(
        "{} has {csv} files that end in .csv and {parquet} in .parquet, expected one kind; give one of the files, or divide them into folders",
        path.display()
    )]
    Mixed {
        /// The folder.
        path: PathBuf,
        /// Number of CSV files.
        csv: usize,
        /// Number of Parquet files.
        parquet: usize,
    },
    /// A file without a header.
    #[error("{} is empty, expected at least a line with the names of the columns", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Rows that do not fit the header; all of them.
    #[error("{}: {}; quote fields that have the separator in them", path.display(), listed(faults))]
    Rows {
        /// The file.
        path: PathBuf,
        /// Each with its line.
        faults: Vec<String>,
    },
    /// Columns of types that this build does not read.
    #[error(
        "{}: {}; save them as numbers, texts, booleans or times, or leave them out",
        path.display(),
        columns.join(", ")
    )]
    Unread {
        /// The file.
        path: PathBuf,
        /// Each column with its type.
        columns: Vec<String>,
    },
    /// A file that cannot be understood.
    #[error("{} cannot be read as a table: {reason}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A column that is not there.
    #[error("{} has no column '{column}'{}; it has {}", path.display(), did_you_mean(like.as_deref()), columns.join(", "))]
    NoColumn {
        /// File or folder.
        path: PathBuf,
        /// What was asked for.
        column: String,
        /// The column that is most like it.
        like: Option<String>,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// A column that holds something else.
    #[error("column '{column}' of {} holds {found}, expected {expected}", path.display())]
    ColumnKind {
        /// File or folder.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it holds.
        found: String,
        /// What was needed.
        expected: &'static str,
    },
    /// Columns that are no table together. A fault of the caller.
    #[error("columns that are no table: {reason}")]
    Columns {
        /// What was found and what was expected.
        reason: String,
    },
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The table engine gave up. A fault of ours or of polars.
    #[error("{}: the table engine failed: {reason}; report it with the table's columns and types", path.display())]
    Engine {
        /// File or folder.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
}

impl TableError {
    /// Stable label of the kind of error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotThere { .. } => "not_there",
            Self::Ending { .. } => "ending",
            Self::NoFile { .. } => "no_file",
            Self::Mixed { .. } => "mixed",
            Self::Empty { .. } => "empty",
            Self::Rows { .. } => "rows",
            Self::Unread { .. } => "unread_type",
            Self::Read { .. } => "read",
            Self::NoColumn { .. } => "no_column",
            Self::ColumnKind { .. } => "column_kind",
            Self::Columns { .. } => "columns",
            Self::Io { .. } => "io",
            Self::Engine { .. } => "engine",
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn read(path: &Path) -> impl FnOnce(PolarsError) -> Self {
        let path = path.to_owned();
        move |error| Self::Read { path, reason: plain(&error) }
    }

    pub(crate) fn no_column<'a>(path: &Path, column: &str, columns: impl Iterator<Item = &'a str> + Clone) -> Self {
        Self::NoColumn {
            path: path.to_owned(),
            column: column.to_owned(),
            like: closest(column, columns.clone()).map(str::to_owned),
            columns: columns.map(str::to_owned).collect(),
        }
    }
}

/// The first of many.
fn listed(faults: &[String]) -> String {
    /// As many as fit on a screen.
    const SHOWN: usize = 12;
    let shown = faults.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n  ");
    match faults.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}\n  and {more} more"),
    }
}

/// `; did you mean 'x'?`, where there is such an `x`.
pub(crate) fn did_you_mean(like: Option<&str>) -> String {
    like.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default()
}

/// What polars said, without the advice for its Python users that follows an empty line.
fn plain(error: &PolarsError) -> String {
    let text = error.to_string();
    text.split("\n\n").next().unwrap_or_default().replace('\n', " ").trim().to_owned()
}
