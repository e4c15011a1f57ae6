//! Predictions as a server logged them: the log found, read within a time and of a model, and as a table.
//!
//! ```text
//! folder --find--> segments --Outcomes--> one outcome after another --export--> Parquet
//! ```

#[cfg(feature = "tables")]
mod columns;
mod error;
#[cfg(feature = "tables")]
mod export;
mod find;
mod read;

#[cfg(feature = "tables")]
pub use columns::Detail;
pub use error::OutcomesError;
#[cfg(feature = "tables")]
pub use export::{Exported, export};
pub use find::find;
pub use read::{Filter, Found, Outcomes};
