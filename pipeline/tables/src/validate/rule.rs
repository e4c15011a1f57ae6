//! Rules as types: what is expected of which columns.

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::value::Value;

/// A rule of a suite.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Its name: Great Expectations' without `expect_`.
    pub(super) name: &'static str,
    pub(super) expect: Expect,
    pub(super) severity: Severity,
    /// Its parameters as they were written, for the result.
    pub(super) arguments: Map<String, Json>,
}

/// What a broken rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The data is not fit for use.
    #[default]
    Error,
    /// Somebody should look at it.
    Warning,
}

/// What is expected.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expect {
    ColumnExists {
        column: String,
        index: Option<usize>,
    },
    /// With `exact`, no other columns.
    ColumnSet {
        columns: Vec<String>,
        exact: bool,
    },
    ColumnList {
        columns: Vec<String>,
    },
    ColumnCount {
        value: usize,
    },
    RowCount(Limits),
    Type {
        column: String,
        wanted: String,
    },
    /// Every row, or `mostly` of those that have a value.
    Rows {
        condition: Condition,
        mostly: f64,
    },
    /// A figure of a whole column.
    Figure {
        column: String,
        figure: Figure,
        limits: Limits,
    },
    Quantiles {
        column: String,
        quantiles: Vec<f64>,
        limits: Vec<Limits>,
    },
}

/// What is expected of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    NotNull {
        column: String,
    },
    Null {
        column: String,
    },
    Unique {
        column: String,
    },
    CompoundUnique {
        columns: Vec<String>,
        ignore: Ignore,
    },
    InSet {
        column: String,
        set: Vec<Value>,
    },
    NotInSet {
        column: String,
        set: Vec<Value>,
    },
    Between {
        column: String,
        limits: Limits,
    },
    Matches {
        column: String,
        regex: String,
    },
    Length {
        column: String,
        limits: Limits,
    },
    Greater {
        a: String,
        b: String,
        or_equal: bool,
        ignore: Ignore,
    },
    Increasing {
        column: String,
        strictly: bool,
    },
    /// Rows with the same value have the same group: not in Great Expectations.
    OneGroup {
        column: String,
        group: String,
    },
}

/// A figure of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Min,
    Max,
    Mean,
    /// Of the sample: divided by n - 1.
    Stdev,
    /// Number of different values, of those that are there.
    UniqueShare,
}

/// Which rows of several columns do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ignore {
    AllMissing,
    AnyMissing,
    Never,
}

/// Between which values; at least one of the two is there.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Limits {
    pub(super) min: Option<Value>,
    pub(super) max: Option<Value>,
    pub(super) strict_min: bool,
    pub(super) strict_max: bool,
}

impl Expect {
    /// Columns that it names, those that may be missing too.
    pub(super) fn columns(&self) -> Vec<&str> {
        match self {
            Self::ColumnExists { column, .. }
            | Self::Type { column, .. }
            | Self::Figure { column, .. }
            | Self::Quantiles { column, .. } => vec![column],
            Self::ColumnSet { columns, .. } | Self::ColumnList { columns } => {
                columns.iter().map(String::as_str).collect()
            }
            Self::ColumnCount { .. } | Self::RowCount(_) => Vec::new(),
            Self::Rows { condition, .. } => condition.columns(),
        }
    }
}

impl Condition {
    fn columns(&self) -> Vec<&str> {
        match self {
            Self::NotNull { column }
            | Self::Null { column }
            | Self::Unique { column }
            | Self::InSet { column, .. }
            | Self::NotInSet { column, .. }
            | Self::Between { column, .. }
            | Self::Matches { column, .. }
            | Self::Length { column, .. }
            | Self::Increasing { column, .. } => vec![column],
            Self::CompoundUnique { columns, .. } => columns.iter().map(String::as_str).collect(),
            Self::Greater { a, b, .. } => vec![a, b],
            Self::OneGroup { column, group } => vec![column, group],
        }
    }
}

impl Limits {
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.min.iter().chain(&self.max)
    }

    /// Whether a number, or a time in microseconds, lies between them.
    pub(super) fn hold(&self, number: f64) -> bool {
        let above = self.min.as_ref().and_then(Value::position).is_none_or(|min| match self.strict_min {
            true => number > min,
            false => number >= min,
        });
        above
            && self.max.as_ref().and_then(Value::position).is_none_or(|max| match self.strict_max {
                true => number < max,
                false => number <= max,
            })
    }

    /// The same for a text, in the order of its bytes.
    pub(super) fn hold_text(&self, text: &str) -> bool {
        let bound = |value: &Option<Value>| match value {
            Some(Value::Text(bound)) => Some(bound.clone()),
            _ => None,
        };
        let above = bound(&self.min).is_none_or(|min| if self.strict_min { text > &*min } else { text >= &*min });
        above && bound(&self.max).is_none_or(|max| if self.strict_max { text < &*max } else { text <= &*max })
    }
}

impl Severity {
    /// Its name, as suites write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
