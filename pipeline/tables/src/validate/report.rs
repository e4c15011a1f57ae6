//! What became of a suite, in the form of Great Expectations' validation results.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use super::rule::Severity;

/// What became of a suite. `success` is false where a rule of severity `error` is broken.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether the data may be used: no rule of severity `error` is broken.
    pub success: bool,
    /// What became of each rule, in the order of the suite.
    pub results: Vec<RuleResult>,
    /// The suite.
    pub suite_name: String,
    /// Always empty; there for the form's sake.
    pub suite_parameters: BTreeMap<String, Json>,
    /// Numbers of rules.
    pub statistics: Statistics,
    /// What was looked at.
    pub meta: Meta,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Meta {
    /// Version of Takt.
    pub takt_version: &'static str,
    /// File or folder.
    pub data: String,
    /// Number of its rows.
    pub rows: u64,
}

/// Numbers of rules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Statistics {
    /// All.
    pub evaluated_expectations: usize,
    /// Those that hold.
    pub successful_expectations: usize,
    /// Those that do not, warnings too.
    pub unsuccessful_expectations: usize,
    /// Share of those that hold, in percent.
    pub success_percent: Option<f64>,
}

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleResult {
    /// Whether it holds.
    pub success: bool,
    /// The rule.
    pub expectation_config: Config,
    /// What was found.
    pub result: Outcome,
    /// Always empty; there for the form's sake.
    pub meta: BTreeMap<String, Json>,
    /// Why it could not be asked of this table, where that is so.
    pub exception_info: Exception,
}

/// A rule as it was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// Its name, with `expect_`.
    #[serde(rename = "type")]
    pub name: String,
    /// Its parameters.
    pub kwargs: Map<String, Json>,
    /// Always empty; there for the form's sake.
    pub meta: BTreeMap<String, Json>,
    /// What it means where it is broken.
    pub severity: Severity,
}

/// Why a rule could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Exception {
    /// Whether that is so.
    pub raised_exception: bool,
    /// Why.
    pub exception_message: Option<String>,
    /// Always empty; there for the form's sake.
    pub exception_traceback: Option<String>,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Of a rule on rows.
    Counts(Counts),
    /// Of a rule on a figure.
    Observed {
        /// The figure.
        observed_value: Json,
        /// More about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<Details>,
    },
    /// It says all by holding or not.
    Nothing {},
}

/// Rows, those that do not count and those that break the rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Counts {
    /// Rows.
    pub element_count: u64,
    /// Those that break the rule.
    pub unexpected_count: u64,
    /// The same, in percent of the rows that count; nothing where none does.
    pub unexpected_percent: Option<f64>,
    /// Values of the first 20 that do, where the rule is broken.
    pub partial_unexpected_list: Vec<Json>,
    /// Positions of those rows; the first row of the table is 0.
    pub partial_unexpected_index_list: Vec<u64>,
    /// Rows that do not count, for want of a value. Nothing for rules on missing values.
    #[serde(flatten)]
    pub missing: Option<Missing>,
}

/// Rows that do not count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Missing {
    /// How many.
    pub missing_count: u64,
    /// In percent of all rows; nothing where there are none.
    pub missing_percent: Option<f64>,
    /// Rows that break the rule, in percent of all rows.
    pub unexpected_percent_total: Option<f64>,
    /// Rows that break the rule, in percent of those that count.
    pub unexpected_percent_nonmissing: Option<f64>,
}

/// More about a figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Details {
    /// Columns that nobody asked for, and those that are not there.
    Columns {
        /// Nobody asked for them.
        unexpected: Vec<String>,
        /// They are not there.
        missing: Vec<String>,
    },
    /// Positions with the column that was expected there and the one that is.
    Positions(Vec<(usize, Option<String>, Option<String>)>),
    /// Whether each quantile lies in its range.
    Quantiles(Vec<bool>),
}

impl Report {
    pub(super) fn new(suite: &str, data: String, rows: u64, results: Vec<RuleResult>) -> Self {
        let evaluated = results.len();
        let successful = results.iter().filter(|result| result.success).count();
        let broken = |result: &RuleResult| !result.success && result.expectation_config.severity == Severity::Error;
        Self {
            success: !results.iter().any(broken),
            suite_name: suite.to_owned(),
            suite_parameters: BTreeMap::new(),
            statistics: Statistics {
                evaluated_expectations: evaluated,
                successful_expectations: successful,
                unsuccessful_expectations: evaluated - successful,
                success_percent: percent(successful as u64, evaluated as u64),
            },
            meta: Meta { takt_version: env!("CARGO_PKG_VERSION"), data, rows },
            results,
        }
    }

    /// The report as text for a terminal.
    #[must_use]
    pub fn render_table(&self) -> String {
        super::render::table(self)
    }

    /// Each broken rule of severity `error` in a line.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let error = |result: &&RuleResult| result.expectation_config.severity == Severity::Error;
        self.results.iter().filter(|result| !result.success).filter(error).map(super::render::line).collect()
    }

    /// Numbers of broken rules of severity `error` and `warning`.
    #[must_use]
    pub fn broken(&self) -> (usize, usize) {
        let count = |severity: Severity| {
            let broken = |result: &&RuleResult| !result.success && result.expectation_config.severity == severity;
            self.results.iter().filter(broken).count()
        };
        (count(Severity::Error), count(Severity::Warning))
    }
}

impl Outcome {
    pub(super) fn observed(value: impl Into<Json>) -> Self {
        Self::Observed { observed_value: value.into(), details: None }
    }
}

impl Counts {
    /// Counts of a rule on rows. `missing` is `None` where rows without a value count too.
    pub(super) fn new(rows: u64, missing: Option<u64>, unexpected: u64) -> Self {
        let counting = rows - missing.unwrap_or(0);
        let unexpected_percent = percent(unexpected, counting);
        let missing = missing.map(|missing| Missing {
            missing_count: missing,
            missing_percent: percent(missing, rows),
            unexpected_percent_total: percent(unexpected, rows),
            unexpected_percent_nonmissing: unexpected_percent,
        });
        Self { element_count: rows, unexpected_count: unexpected, unexpected_percent, missing, ..Self::default() }
    }

    /// Rows that count.
    pub(super) fn counting(&self) -> u64 {
        self.element_count - self.missing.map_or(0, |missing| missing.missing_count)
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = match self {
            Self::Columns { unexpected, missing } => {
                let there = [("unexpected", unexpected), ("missing", missing)].into_iter();
                let mismatched: BTreeMap<_, _> = there.filter(|(_, names)| !names.is_empty()).collect();
                json!({ "mismatched": mismatched })
            }
            Self::Positions(pairs) => {
                let pair = |(position, expected, found): &(usize, Option<String>, Option<String>)| json!({ "Expected Column Position": position, "Expected": expected, "Found": found });
                json!({ "mismatched": pairs.iter().map(pair).collect::<Vec<_>>() })
            }
            Self::Quantiles(success) => json!({ "success_details": success }),
        };
        json.serialize(serializer)
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}
