//! Numbers of a table, batch by batch, so that any length of table takes the same memory.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use polars::prelude::{DataFrame, DataType, Expr, LazyFrame, PlanCallback};

use super::Table;
use crate::error::TableError;

/// Rows of a batch: 512 KiB per column.
const ROWS: NonZeroUsize = NonZeroUsize::new(1 << 16).unwrap();

/// A run of rows of the columns that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// One vector per column, in the order asked for, all of the same length; NaN is missing.
    pub columns: Vec<Vec<f64>>,
}

/// The batches of a table, in the order of its rows; ends after an error. A thread of its own reads one batch ahead.
#[derive(Debug)]
pub struct Numbers {
    /// `None` once it is dropped, which stops the thread.
    receiver: Option<Receiver<Result<Batch, TableError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Table {
    /// The columns as batches of at most 65,536 rows in double precision. The engine reads ahead, more than one batch.
    ///
    /// # Errors
    /// A column that is not there or holds no numbers; while reading, rows that cannot be read.
    pub fn numbers(&self, names: &[&str]) -> Result<Numbers, TableError> {
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let column = self.column(name)?;
            if !column.kind.is_number() {
                return Err(TableError::ColumnKind {
                    path: self.path.clone(),
                    column: column.name.clone(),
                    found: column.exact.clone(),
                    expected: "numbers",
                });
            }
            columns.push(column.values().cast(DataType::Float64));
        }
        self.batches(columns)
    }

    fn batches(&self, columns: Vec<Expr>) -> Result<Numbers, TableError> {
        let (sender, receiver) = sync_channel(1);
        let query = self.frame().select(columns);
        let table = self.clone();
        let thread = thread::Builder::new().name("takt-table".to_owned());
        let thread = thread.spawn(move || send(&table, query, &sender)).map_err(TableError::io("read", self.path()))?;
        Ok(Numbers { receiver: Some(receiver), thread: Some(thread) })
    }
}

/// Runs the query, handing over each batch until nobody takes it any more.
fn send(table: &Table, query: LazyFrame, to: &SyncSender<Result<Batch, TableError>>) {
    let sender = to.clone();
    let stop = PlanCallback::new(move |frame: DataFrame| Ok(sender.send(Ok(batch(&frame)?)).is_err()));
    let ran = query.sink_batches(stop, true, Some(ROWS)).map_err(TableError::read(table.path()));
    if let Err(error) = ran.and_then(|query| table.collect(query)) {
        // Who has gone does not want to know.
        let _ = to.send(Err(error));
    }
}

fn batch(frame: &DataFrame) -> Result<Batch, polars::error::PolarsError> {
    let columns = frame.columns().iter().map(|column| {
        let values = column.f64()?;
        Ok(match values.null_count() {
            0 => values.into_no_null_iter().collect(),
            _ => values.iter().map(|value| value.unwrap_or(f64::NAN)).collect(),
        })
    });
    Ok(Batch { columns: columns.collect::<Result<_, polars::error::PolarsError>>()? })
}

impl Batch {
    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, Vec::len)
    }
}

impl Iterator for Numbers {
    type Item = Result<Batch, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.as_ref()?.recv().ok()
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // Its errors went through the channel.
            let _ = thread.join();
        }
    }
}
