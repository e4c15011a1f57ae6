//! Tables of CSV and Parquet: reading batch by batch, validation against suites of rules, writing.
//!
//! ```text
//! file or folder --Table::open--> Table --validate--> Report
//!                                   |  \--numbers--> batches of f64
//! Columns --ParquetFile--> file     \--categories, texts--> counts, rows
//! ```
//!
//! The only crate that knows polars; none of its types leave it.

mod column;
pub mod drift;
mod error;
mod table;
mod time;
pub mod validate;
mod write;

pub use column::{Column, Values};
pub use error::TableError;
pub use table::{Amount, Batch, Categories, ColumnInfo, Kind, Numbers, Table, Texts, Total};
pub use time::parse_time;
pub use write::{ParquetFile, write_parquet};
