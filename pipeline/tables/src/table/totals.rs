//! Sums over the rows that have the same elements in some columns.

use std::fmt;

use polars::prelude::{DataType, Expr, col, len, lit};

use super::Table;
use crate::error::TableError;

/// What is added up over rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amount {
    /// One for each row.
    Rows,
    /// A column's numbers; a missing one adds nothing.
    Sum(String),
    /// One for each row that has this value.
    Equal {
        /// The column.
        column: String,
        /// The value as text.
        value: String,
    },
}

/// The sums of one combination of elements.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    /// One per column that was grouped by; `None` where the value is missing.
    pub elements: Vec<Option<String>>,
    /// One per amount.
    pub amounts: Vec<f64>,
}

impl Amount {
    /// Reads `rows`, `COLUMN` or `COLUMN=VALUE`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.split_once('=') {
            None if text == "rows" => Self::Rows,
            None => Self::Sum(text.to_owned()),
            Some((column, value)) => Self::Equal { column: column.to_owned(), value: value.to_owned() },
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows => f.write_str("rows"),
            Self::Sum(column) => f.write_str(column),
            Self::Equal { column, value } => write!(f, "{column}={value}"),
        }
    }
}

impl Table {
    /// Adds up `amounts` by the values of `columns`, in the order of these. Takes memory for the different combinations,
    /// not for the rows.
    ///
    /// # Errors
    /// A column that is not there, one that holds no numbers to add, or rows that cannot be read.
    pub fn totals(&self, columns: &[&str], amounts: &[Amount]) -> Result<Vec<Total>, TableError> {
        let keys: Vec<String> = (0..columns.len()).map(|at| format!("key {at}")).collect();
        let sums: Vec<String> = (0..amounts.len()).map(|at| format!("sum {at}")).collect();
        let mut selected = Vec::with_capacity(columns.len() + amounts.len());
        for (name, key) in columns.iter().zip(&keys) {
            selected.push(self.column(name)?.as_text().alias(key.as_str()));
        }
        let mut added: Vec<Expr> = Vec::with_capacity(amounts.len());
        for (amount, name) in amounts.iter().zip(&sums) {
            added.push(match self.addends(amount)? {
                None => len().cast(DataType::Float64).alias(name.as_str()),
                Some(addends) => {
                    selected.push(addends.cast(DataType::Float64).alias(name.as_str()));
                    col(name.as_str()).sum()
                }
            });
        }
        let by: Vec<Expr> = keys.iter().map(|key| col(key.as_str())).collect();
        let frame = self.collect(self.frame().select(selected).group_by(by).agg(added))?;
        let mut totals = vec![Total { elements: Vec::new(), amounts: Vec::new() }; frame.height()];
        let read = |error| TableError::read(self.path())(error);
        for key in &keys {
            let texts = frame.column(key).and_then(|column| column.str().cloned()).map_err(read)?;
            totals.iter_mut().zip(texts.iter()).for_each(|(total, text)| total.elements.push(text.map(str::to_owned)));
        }
        for sum in &sums {
            let numbers = frame.column(sum).and_then(|column| column.f64().cloned()).map_err(read)?;
            totals.iter_mut().zip(numbers.iter()).for_each(|(total, sum)| total.amounts.push(sum.unwrap_or(0.0)));
        }
        totals.sort_by(|a, b| a.elements.cmp(&b.elements));
        Ok(totals)
    }

    /// What each row adds; `None` where it is one.
    fn addends(&self, amount: &Amount) -> Result<Option<Expr>, TableError> {
        match amount {
            Amount::Rows => Ok(None),
            Amount::Sum(name) => {
                let column = self.column(name)?;
                if column.kind.is_number() {
                    return Ok(Some(column.values()));
                }
                let (column, found) = (column.name.clone(), column.exact.clone());
                let expected = "numbers to add up; to count a value write column=value";
                Err(TableError::ColumnKind { path: self.path.clone(), column, found, expected })
            }
            Amount::Equal { column, value } => Ok(Some(self.column(column)?.as_text().eq(lit(value.as_str())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Values};

    fn table() -> Table {
        let texts = |texts: [Option<&str>; 4]| Values::Texts(texts.map(|text| text.map(str::to_owned)).into());
        let columns = [
            Column::new("station", texts([Some("b"), Some("a"), None, Some("a")])),
            Column::new("verdict", texts([Some("defect"), Some("good"), Some("defect"), None])),
            Column::new("cost", Values::Numbers(vec![Some(1.0), Some(2.0), None, Some(4.0)])),
        ];
        Table::of_columns("parts", &columns).unwrap()
    }

    #[test]
    fn rows_numbers_and_values_are_added_up_by_element() {
        let amounts = ["rows", "cost", "verdict=defect"].map(Amount::parse);
        let totals = table().totals(&["station"], &amounts).unwrap();
        let told: Vec<_> = totals.iter().map(|total| (total.elements[0].as_deref(), &total.amounts[..])).collect();
        let expected: [(Option<&str>, &[f64]); 3] =
            [(None, &[1.0, 0.0, 1.0]), (Some("a"), &[2.0, 6.0, 0.0]), (Some("b"), &[1.0, 1.0, 1.0])];
        assert_eq!(told, expected);
    }

    #[test]
    fn what_cannot_be_added_says_how_it_is_counted() {
        let error = table().totals(&["station"], &[Amount::parse("verdict")]).unwrap_err().to_string();
        assert!(error.contains("'verdict'") && error.contains("write column=value"), "{error}");
        let error = table().totals(&["sation"], &[Amount::Rows]).unwrap_err().to_string();
        assert!(error.contains("did you mean 'station'?"), "{error}");
    }
}
