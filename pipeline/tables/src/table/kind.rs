//! What columns hold: coarse kinds for rules, exact types for people.

use std::fmt;

use polars::prelude::{DataType, TimeUnit};

/// What a column holds, as far as rules care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named by what they hold")]
pub enum Kind {
    Boolean,
    Integer,
    Float,
    Text,
    Date,
    Datetime,
    /// Nothing but missing values.
    Null,
    /// Lists, records, bytes, durations and times of day.
    Other,
}

impl Kind {
    pub(super) fn of(dtype: &DataType) -> Self {
        match dtype {
            DataType::Boolean => Self::Boolean,
            dtype if dtype.is_integer() => Self::Integer,
            dtype if dtype.is_float() => Self::Float,
            DataType::String | DataType::Categorical(..) | DataType::Enum(..) => Self::Text,
            DataType::Date => Self::Date,
            DataType::Datetime(..) => Self::Datetime,
            DataType::Null => Self::Null,
            _ => Self::Other,
        }
    }

    /// Whether its values are numbers.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Float)
    }

    /// Its name, as rules and messages write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Text => "string",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::Null => "null",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The exact type, in the words that Arrow and NumPy share.
pub(super) fn exact(dtype: &DataType) -> String {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Nanoseconds => "ns",
        TimeUnit::Microseconds => "us",
        TimeUnit::Milliseconds => "ms",
    };
    match dtype {
        DataType::Boolean => "bool".to_owned(),
        DataType::UInt8 => "uint8".to_owned(),
        DataType::UInt16 => "uint16".to_owned(),
        DataType::UInt32 => "uint32".to_owned(),
        DataType::UInt64 => "uint64".to_owned(),
        DataType::Int8 => "int8".to_owned(),
        DataType::Int16 => "int16".to_owned(),
        DataType::Int32 => "int32".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::Float32 => "float32".to_owned(),
        DataType::Float64 => "float64".to_owned(),
        DataType::String => "string".to_owned(),
        DataType::Categorical(..) | DataType::Enum(..) => "dictionary".to_owned(),
        DataType::Binary | DataType::BinaryOffset => "binary".to_owned(),
        DataType::Date => "date".to_owned(),
        DataType::Datetime(resolution, None) => format!("datetime[{}]", unit(resolution)),
        DataType::Datetime(resolution, Some(zone)) => format!("datetime[{}, {zone}]", unit(resolution)),
        DataType::Duration(resolution) => format!("duration[{}]", unit(resolution)),
        DataType::Time => "time".to_owned(),
        DataType::List(inner) => format!("list[{}]", exact(inner)),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::Null => "null".to_owned(),
        other => other.to_string(),
    }
}
