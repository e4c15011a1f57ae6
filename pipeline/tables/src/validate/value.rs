//! Values that rules name: bounds and members of sets.

use polars::prelude::{DataType, Expr, NamedFrom, Series, TimeUnit, lit};
use takt_artifact::Fault;

use crate::table::{ColumnInfo, Kind};
use crate::time::microseconds;

/// A value as a suite writes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(String),
    /// Microseconds since 1970, in UTC where it says no other offset.
    Time(i64),
}

impl Value {
    /// The value; nothing for what is no single value, or no number at all.
    pub(super) fn of(value: &toml::Value) -> Option<Self> {
        Some(match value {
            toml::Value::Boolean(value) => Self::Boolean(*value),
            toml::Value::Integer(value) => Self::Integer(*value),
            toml::Value::Float(value) if !value.is_nan() => Self::Number(*value),
            toml::Value::String(value) => Self::Text(value.clone()),
            toml::Value::Datetime(time) => Self::Time(microseconds(time)?),
            _ => return None,
        })
    }

    const fn what(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Time(_) => "a time",
        }
    }

    /// Whether it comes after another; nothing where they cannot be compared.
    pub(super) fn exceeds(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a > b),
            (Self::Time(a), Self::Time(b)) => Some(a > b),
            (a, b) => Some(a.number()? > b.number()?),
        }
    }

    pub(super) const fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            _ => None,
        }
    }

    const fn dtype(&self) -> DataType {
        match self {
            Self::Boolean(_) => DataType::Boolean,
            Self::Integer(_) | Self::Time(_) => DataType::Int64,
            Self::Number(_) => DataType::Float64,
            Self::Text(_) => DataType::String,
        }
    }

    /// Where a number or a time lies among its like; microseconds are exact up to the year 2255.
    pub(super) const fn position(&self) -> Option<f64> {
        match self {
            Self::Time(value) => Some(*value as f64),
            other => other.number(),
        }
    }

    /// As a literal that can be compared with what [`comparable`] makes of the column.
    pub(super) fn literal(&self) -> Expr {
        match self {
            Self::Boolean(value) => lit(*value),
            Self::Integer(value) | Self::Time(value) => lit(*value),
            Self::Number(value) => lit(*value),
            Self::Text(value) => lit(value.as_str()),
        }
    }
}

/// The column's values in a form that can be compared with `values`, or why they cannot be.
pub(super) fn comparable<'a>(column: &ColumnInfo, values: impl IntoIterator<Item = &'a Value>) -> Result<Expr, String> {
    for value in values {
        if column.kind == Kind::Null {
            // Nothing is there, so anything may be asked of it.
            return Ok(column.values().cast(value.dtype()));
        }
        let fits = match value {
            Value::Boolean(_) => column.kind == Kind::Boolean,
            Value::Integer(_) | Value::Number(_) => column.kind.is_number(),
            Value::Text(_) => column.kind == Kind::Text,
            Value::Time(_) => matches!(column.kind, Kind::Date | Kind::Datetime),
        };
        if !fits {
            let ColumnInfo { name, exact, .. } = column;
            return Err(format!("column '{name}' is {exact} and cannot be compared with {}", value.what()));
        }
    }
    Ok(plain(column))
}

/// The column's values as numbers, texts or booleans: times as microseconds.
pub(super) fn plain(column: &ColumnInfo) -> Expr {
    match column.kind {
        Kind::Date | Kind::Datetime => {
            column.values().cast(DataType::Datetime(TimeUnit::Microseconds, None)).cast(DataType::Int64)
        }
        Kind::Text => column.as_text(),
        _ => column.values(),
    }
}

/// The members of a set as a series; numbers of both kinds become double precision.
pub(super) fn series(values: &[Value]) -> Series {
    let name = "set".into();
    let integers: Option<Vec<i64>> = values
        .iter()
        .map(|value| match value {
            Value::Integer(value) | Value::Time(value) => Some(*value),
            _ => None,
        })
        .collect();
    let texts: Option<Vec<&str>> = values
        .iter()
        .map(|value| match value {
            Value::Text(value) => Some(value.as_str()),
            _ => None,
        })
        .collect();
    let booleans: Option<Vec<bool>> = values
        .iter()
        .map(|value| match value {
            Value::Boolean(value) => Some(*value),
            _ => None,
        })
        .collect();
    match (integers, texts, booleans) {
        (Some(integers), _, _) => Series::new(name, integers),
        (_, Some(texts), _) => Series::new(name, texts),
        (_, _, Some(booleans)) => Series::new(name, booleans),
        _ => Series::new(name, values.iter().filter_map(Value::number).collect::<Vec<f64>>()),
    }
}

/// The fault of a set whose members are not of one kind.
pub(super) fn mixed(values: &[Value], place: String) -> Option<Fault> {
    let first = values.first()?.what();
    let other = values.iter().find(|value| value.what() != first)?.what();
    let found = format!("{first} and {other}");
    Some(Fault::new(place, found, "values of one kind", "quote them all, or none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_two_kinds_are_faults() {
        let set = [Value::Integer(1), Value::Number(2.5)];
        assert_eq!(mixed(&set, "value_set".to_owned()), None);
        let set = [Value::Integer(1), Value::Text("2".to_owned())];
        assert_eq!(mixed(&set, "value_set".to_owned()).unwrap().found, "a number and a string");
    }
}
