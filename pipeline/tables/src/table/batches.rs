//! Numbers of a table, batch by batch, so that any length of table takes the same memory.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use polars::prelude::{DataFrame, DataType, Float64Chunked, LazyFrame, PlanCallback, PolarsError, Series};

use super::Table;
use super::runs::Runs;
use crate::error::TableError;

/// Rows of a batch: 512 KiB per column.
const ROWS: NonZeroUsize = NonZeroUsize::new(1 << 16).unwrap();

/// A run of rows of the columns that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// One vector per column, in the order asked for, all of the same length; NaN is missing.
    pub columns: Vec<Vec<f64>>,
}

/// The batches of a table, in the order of its rows; ends after an error.
#[derive(Debug)]
pub struct Numbers(Feed);

/// Where batches come from.
#[derive(Debug)]
enum Feed {
    /// Parquet: each is read when it is asked for.
    Runs { path: PathBuf, runs: Box<Runs> },
    /// All else: a thread of its own runs a query.
    Query(Query),
}

/// A thread that runs a query and reads one batch ahead.
#[derive(Debug)]
struct Query {
    /// `None` once it is dropped, which stops the thread.
    receiver: Option<Receiver<Result<Batch, TableError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Table {
    /// The columns as batches of at most 65,536 rows in double precision. Of Parquet one batch is in memory, and the
    /// compressed chunks of its row group; of CSV the engine reads ahead, more than one batch.
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
            columns.push(column);
        }
        if let Some(files) = &self.parquet {
            let runs = Box::new(Runs::new(files, columns.into_iter().cloned().collect()));
            return Ok(Numbers(Feed::Runs { path: self.path.clone(), runs }));
        }
        let (sender, receiver) = sync_channel(1);
        let query = self
            .frame()
            .select(columns.iter().map(|column| column.values().cast(DataType::Float64)).collect::<Vec<_>>());
        let table = self.clone();
        let thread = thread::Builder::new().name("takt-table".to_owned());
        let thread = thread.spawn(move || send(&table, query, &sender)).map_err(TableError::io("read", self.path()))?;
        Ok(Numbers(Feed::Query(Query { receiver: Some(receiver), thread: Some(thread) })))
    }
}

/// Runs the query, handing over each batch until nobody takes it any more.
fn send(table: &Table, query: LazyFrame, to: &SyncSender<Result<Batch, TableError>>) {
    let sender = to.clone();
    let stop = PlanCallback::new(move |frame: DataFrame| {
        let columns = frame.columns().iter().map(|column| Ok(doubles(column.f64()?)));
        let columns = columns.collect::<Result<_, PolarsError>>()?;
        Ok(sender.send(Ok(Batch { columns })).is_err())
    });
    let ran = query.sink_batches(stop, true, Some(ROWS)).map_err(TableError::read(table.path()));
    if let Err(error) = ran.and_then(|query| table.collect(query)) {
        // Who has gone does not want to know.
        let _ = to.send(Err(error));
    }
}

/// The values, NaN where one is missing.
fn doubles(values: &Float64Chunked) -> Vec<f64> {
    match (values.null_count(), values.cont_slice()) {
        (0, Ok(values)) => values.to_vec(),
        _ => values.iter().map(|value| value.unwrap_or(f64::NAN)).collect(),
    }
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
        let (path, run) = match &mut self.0 {
            Feed::Query(query) => return query.receiver.as_ref()?.recv().ok(),
            Feed::Runs { path, runs } => (path, runs.next()?),
        };
        let doubled = |column: &Series| Ok(doubles(column.cast(&DataType::Float64)?.f64()?));
        let batch =
            |run: Vec<Series>| Ok(Batch { columns: run.iter().map(doubled).collect::<Result<_, PolarsError>>()? });
        Some(run.and_then(|run| batch(run).map_err(TableError::read(path))))
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            // Its errors went through the channel.
            let _ = thread.join();
        }
    }
}
