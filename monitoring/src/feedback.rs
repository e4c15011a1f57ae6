//! What parts really were, joined with what was said of them: false rejects, escapes, accuracy.
//!
//! **The join is a function, not a history.** The store keeps predictions and labels and joins them when asked, so labels
//! may come late, early, twice and in any order without any of that showing in a report.
//!
//! - *Unit.* A part, as one version saw it at one station: its views within `part_span_secs` of the first one. It is
//!   flagged if any view is, else uncertain if any view is, else passed. A prediction without a part id is a unit.
//! - *Which label counts.* The same inspector on the same subject: the newest `at`. Several labels for one prediction: the
//!   most closely addressed (prediction before part before time span), then the newest, as a re-inspection overrules the
//!   inspection before. At the very same time a defect wins. Units with labels that contradict each other are counted.
//! - *Truth of a unit.* A defect if any view is; good if all views are; else not labelled yet. A class is good or not by the
//!   decision of the version that predicted, see [`Feedback::declare`]; a class it does not know leaves the unit unresolved.
//!
//! **Memory and disk are bounded.** Records live in segments as those of the [prediction log](crate::log). The oldest
//! predictions are *settled*: their units are added to counts per hour and [`Cell`], kept in `settled.json`, and a label for
//! them comes too late. A segment whose predictions are all settled is removed; labels in it that may still find something
//! are written again first.

mod cells;
mod compact;
mod config;
mod labels;
mod record;
mod report;
mod settled;
mod shift;
mod store;
#[cfg(test)]
mod tests;
mod units;

#[cfg(test)]
pub(crate) use cells::Hours;
pub(crate) use cells::hour;
pub use cells::{Cell, Counts, Cube, Findings, OTHER};
pub use config::Config;
pub use labels::Received;
pub use report::{Estimate, ModelQuality, Quality, QualityReport, Standing, Unknown, VersionQuality};
pub use shift::{BadTime, Shifts, TimeOfDay};
pub use store::{Audited, Feedback, Recovery, Stats};
