//! A small table read whole, every value as text: label files.

use super::Table;
use crate::error::TableError;

/// All rows of a table as texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts {
    /// Names of the columns.
    pub header: Vec<String>,
    /// A text per column and row; empty where the value is missing.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads all rows as texts, as CSV would have them.
    ///
    /// # Errors
    /// Rows that cannot be read, or a column of lists or records.
    pub fn texts(&self) -> Result<Texts, TableError> {
        let columns: Vec<_> = self.columns.iter().map(super::ColumnInfo::as_text).collect();
        let frame = self.collect(self.frame().select(columns))?;
        let mut texts = Texts {
            header: self.names().map(str::to_owned).collect(),
            rows: vec![Vec::with_capacity(self.columns.len()); frame.height()],
        };
        for column in frame.columns() {
            let values = column.str().map_err(TableError::read(self.path()))?;
            for (row, value) in texts.rows.iter_mut().zip(values.iter()) {
                row.push(value.unwrap_or_default().to_owned());
            }
        }
        Ok(texts)
    }

    /// One column as texts.
    ///
    /// # Errors
    /// No such column, or rows that cannot be read.
    pub fn texts_of(&self, column: &str) -> Result<Vec<Option<String>>, TableError> {
        let values = self.column(column)?.as_text();
        let frame = self.collect(self.frame().select([values]))?;
        let texts = frame.columns().first().map(|column| column.str().cloned());
        let texts = texts.transpose().map_err(TableError::read(self.path()))?;
        Ok(texts.map(|texts| texts.iter().map(|text| text.map(str::to_owned)).collect()).unwrap_or_default())
    }
}
