//! The schema number that every line carries.

use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use serde::{Serialize, Serializer};

/// Schema number of events that this code reads and writes.
pub const SCHEMA: u32 = 1;

/// Stands for [`SCHEMA`] in a value, so that no event can be made with another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Schema;

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(SCHEMA)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            SCHEMA => Ok(Self),
            other => Err(D::Error::invalid_value(Unexpected::Unsigned(u64::from(other)), &"schema 1")),
        }
    }
}
