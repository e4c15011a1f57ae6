//! Runs a plan of stages so that nothing is done twice and nothing done is lost.
//!
//! ```text
//! Plan: stages as a graph ---> Keyed: a key each ---> decide: cached, or run and why ---> run ---> Summary
//!                                     ^                          |                         |
//!                 sources, by content (memo)                     +----> show ---> Overview |
//!                                                                                          v
//! <work>/lock                         one run at a time                     stage writes here, and goes on here
//! <work>/sources.json                 digests of sources, by name, size and times          |
//! <work>/running/<stage>-<key>/       what an interrupted run left  <----------------------+
//! <work>/results/<stage>-<key>/       complete: files and result.json, moved here by one rename
//! ```
//!
//! A key is the sha256 of everything that decides a result: the stage's kind and identity, the keys of its inputs, the
//! contents of its sources. So a second run finds every result, a changed stage has a new key and gives one to whatever
//! depends on it, and plans that agree on a stage share its result. A result also remembers the contents of the inputs it
//! was made from: one that was made again with other bytes under the same key makes its dependants run too.

mod decide;
mod drive;
mod error;
mod key;
mod observe;
mod plan;
mod record;
mod show;
mod sources;
mod stage;
mod store;
mod summary;
#[cfg(test)]
mod tests;
mod walk;

pub use decide::Why;
pub use drive::{Options, run};
pub use error::RunError;
pub use key::Key;
pub use observe::{Context, Observer, Unobserved};
pub use plan::{Plan, PlanErrors, PlanFault};
pub use record::{InputRecord, Record, RecordError, SourceRecord};
pub use show::{Overview, Shown, Standing, show};
pub use stage::{Stage, StageReport, Unfinished};
pub use store::{Pruned, prune_results};
pub use summary::{Ended, Happened, Row, Summary};
