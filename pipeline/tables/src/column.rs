//! Columns as plain vectors: what goes into a table and into a file, without a type of polars.

use polars::prelude::{DataFrame, DataType, NamedFrom, Series, TimeUnit, TimeZone};

use crate::error::TableError;

/// A named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its values, one per row.
    pub values: Values,
}

/// Values of one kind; `None` is missing.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// True or false.
    Booleans(Vec<Option<bool>>),
    /// Whole numbers.
    Integers(Vec<Option<i64>>),
    /// Numbers in single precision.
    Singles(Vec<Option<f32>>),
    /// Numbers in double precision.
    Numbers(Vec<Option<f64>>),
    /// Texts.
    Texts(Vec<Option<String>>),
    /// Microseconds since 1970 in UTC.
    Times(Vec<Option<i64>>),
}

impl Column {
    /// A column of that name.
    pub fn new(name: impl Into<String>, values: Values) -> Self {
        Self { name: name.into(), values }
    }

    fn series(&self) -> Result<Series, TableError> {
        let name = self.name.as_str().into();
        Ok(match &self.values {
            Values::Booleans(values) => Series::new(name, values),
            Values::Integers(values) => Series::new(name, values),
            Values::Singles(values) => Series::new(name, values),
            Values::Numbers(values) => Series::new(name, values),
            Values::Texts(values) => Series::new(name, values),
            Values::Times(values) => {
                let utc = DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC));
                let cast = Series::new(name, values).cast(&utc);
                cast.map_err(|error| TableError::Columns { reason: error.to_string() })?
            }
        })
    }
}

impl Values {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Booleans(values) => values.len(),
            Self::Integers(values) | Self::Times(values) => values.len(),
            Self::Singles(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The columns as one frame.
pub(crate) fn frame(columns: &[Column]) -> Result<DataFrame, TableError> {
    let rows = columns.first().map_or(0, |column| column.values.len());
    for column in columns {
        let (name, found) = (&column.name, column.values.len());
        if found != rows {
            let reason = format!("'{name}' has {found} values, expected {rows} as '{}' has", columns[0].name);
            return Err(TableError::Columns { reason });
        }
    }
    let series = columns.iter().map(|column| column.series().map(Into::into)).collect::<Result<Vec<_>, _>>()?;
    DataFrame::new(rows, series).map_err(|error| TableError::Columns { reason: error.to_string() })
}
