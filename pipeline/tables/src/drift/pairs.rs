//! Which column is compared with which, and as what.

use super::settings::Settings;
use crate::error::TableError;
use crate::table::{ColumnInfo, Kind, Table};

/// A column of both tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) class: Class,
}

/// As what a column is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Class {
    Numbers,
    Categories,
    /// Not at all.
    Skipped(String),
}

/// The columns that both have, in the order of the reference; or those that were asked for.
pub(super) fn pairs(reference: &Table, current: &Table, settings: &Settings) -> Result<Vec<Pair>, TableError> {
    let pair = |a: &ColumnInfo, b: &ColumnInfo| Pair { name: a.name.clone(), class: class(a, b) };
    if settings.columns.is_empty() {
        let both = reference.columns().iter().filter_map(|a| Some(pair(a, current.column(&a.name).ok()?)));
        return Ok(both.collect());
    }
    settings.columns.iter().map(|name| Ok(pair(reference.column(name)?, current.column(name)?))).collect()
}

fn class(a: &ColumnInfo, b: &ColumnInfo) -> Class {
    let categories = |kind| matches!(kind, Kind::Text | Kind::Boolean);
    match (a.kind, b.kind) {
        (a, b) if a.is_number() && b.is_number() => Class::Numbers,
        (a, b) if categories(a) && categories(b) => Class::Categories,
        (Kind::Null, Kind::Null) => Class::Skipped("it has no value on either side".to_owned()),
        // What has no value on one side is compared as what it is on the other: all of it is missing.
        (Kind::Null, kind) | (kind, Kind::Null) if categories(kind) => Class::Categories,
        _ if a.exact == b.exact => Class::Skipped(format!("{} is not compared", a.exact)),
        _ => Class::Skipped(format!("it is {} in the reference and {} now", a.exact, b.exact)),
    }
}
