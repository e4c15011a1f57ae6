//! Validation: a suite of rules against a table, in one pass.
//!
//! ```toml
//! name = "labels"
//!
//! [[rule]]
//! expect = "column_values_to_be_in_set"
//! column = "split"
//! value_set = ["train", "validation", "test"]
//! mostly = 0.99                 # share of rows that must hold, of those with a value; 1 when not given
//! severity = "warning"          # or error, when not given
//! ```
//!
//! Rules are those of Great Expectations without `expect_`, with its parameters and its meaning; results have the form of
//! its JSON. Each rule becomes aggregates of one `select`, which takes constant memory; those of uniqueness, groups and
//! quantiles, which cannot, are a `select` of their own over their columns. Rows that break a rule are looked up only
//! where one is broken. Missing is what is empty, null or NaN.

mod compile;
mod keys;
mod parse;
mod render;
mod report;
mod rule;
mod run;
mod suite;
#[cfg(test)]
mod tests;
mod value;

pub use report::{Config, Counts, Details, Exception, Outcome, Report, RuleResult, Statistics};
pub use rule::Severity;
pub use run::validate;
pub use suite::{Suite, SuiteError};
