//! From what is expected to what is asked of the table: nothing, where its columns decide; else aggregates.

use polars::prelude::{
    Column, DataType, Expr, Field, FillNullStrategy, IntoColumn, NamedFrom, QuantileMethod, Series, as_struct, col,
    is_in, lit,
};

use super::report::{Details, Outcome};
use super::rule::{Condition, Expect, Figure, Ignore, Limits};
use super::value::{Value, comparable, plain, series};
use crate::table::{ColumnInfo, Kind, Table};

/// What answers a rule.
pub(super) enum Plan {
    /// The table's columns did already.
    Known { success: bool, outcome: Outcome },
    /// Its number of rows.
    RowCount,
    /// Counts of rows.
    Rows(Rows),
    /// Aggregates, in the order in which they are judged.
    Figures { figures: Vec<Expr>, memory: Memory },
}

/// What an answer takes while the rows go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// The same for any number of rows.
    Constant,
    /// All values of its columns: what is the same, or in the middle, is known at the end.
    Columns,
}

/// Conditions on rows, each true, false or, for false, null.
pub(super) struct Rows {
    /// Rows that do not count. Nothing where all do.
    pub(super) missing: Option<Expr>,
    /// Rows that break the rule; never those that do not count.
    pub(super) unexpected: Expr,
    /// What to show of a row that breaks it.
    pub(super) show: Vec<(String, Expr)>,
    pub(super) form: Form,
    pub(super) memory: Memory,
}

/// How a row is shown that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Its one value.
    Value,
    /// Its values.
    List,
    /// Its values with the names of their columns.
    Record,
}

/// Why a rule cannot be asked of this table, for people.
type Refusal = String;

/// Finds out what to ask.
pub(super) fn compile(expect: &Expect, table: &Table) -> Result<Plan, Refusal> {
    let find = |name: &str| table.column(name).map_err(|error| error.to_string());
    Ok(match expect {
        Expect::ColumnExists { column, index } => {
            let found = table.columns().iter().position(|known| known.name == *column);
            let success = found.is_some() && index.is_none_or(|index| found == Some(index));
            Plan::Known { success, outcome: Outcome::Nothing {} }
        }
        Expect::ColumnSet { columns, exact } => column_set(columns, *exact, table),
        Expect::ColumnList { columns } => column_list(columns, table),
        Expect::ColumnCount { value } => {
            let found = own_columns(table).len();
            Plan::Known { success: found == *value, outcome: Outcome::observed(found) }
        }
        Expect::RowCount(_) => Plan::RowCount,
        Expect::Type { column, wanted } => {
            let column = find(column)?;
            Plan::Known { success: is_of_type(column, wanted), outcome: Outcome::observed(column.exact.as_str()) }
        }
        Expect::Rows { condition, .. } => Plan::Rows(rows(condition, table)?),
        Expect::Figure { column, figure, limits } => {
            let figures = figures(find(column)?, *figure, limits)?;
            let memory = if *figure == Figure::UniqueShare { Memory::Columns } else { Memory::Constant };
            Plan::Figures { figures, memory }
        }
        Expect::Quantiles { column, quantiles, .. } => {
            let column = numbers(find(column)?)?;
            let at = |quantile: &f64, method| column.clone().quantile(lit(*quantile), method);
            let both = |quantile| [at(quantile, QuantileMethod::Lower), at(quantile, QuantileMethod::Higher)];
            let figures = [column.clone().count()].into_iter().chain(quantiles.iter().flat_map(both)).collect();
            Plan::Figures { figures, memory: Memory::Columns }
        }
    })
}

/// Whether the column is of that type, by any of its names: coarse, exact, or `number` for both kinds of numbers.
fn is_of_type(column: &ColumnInfo, wanted: &str) -> bool {
    wanted == column.kind.name() || wanted == column.exact || (wanted == "number" && column.kind.is_number())
}

/// Columns of the file or folder itself.
fn own_columns(table: &Table) -> Vec<String> {
    table.columns().iter().filter(|column| !column.added).map(|column| column.name.clone()).collect()
}

fn column_set(wanted: &[String], exact: bool, table: &Table) -> Plan {
    let mut found = own_columns(table);
    found.sort_unstable();
    let missing: Vec<String> = wanted.iter().filter(|name| !found.contains(name)).cloned().collect();
    let unexpected: Vec<String> = found.iter().filter(|name| !wanted.contains(name)).cloned().collect();
    let success = missing.is_empty() && (!exact || unexpected.is_empty());
    let details = (!missing.is_empty() || !unexpected.is_empty()).then_some(Details::Columns { unexpected, missing });
    Plan::Known { success, outcome: Outcome::Observed { observed_value: found.into(), details } }
}

fn column_list(wanted: &[String], table: &Table) -> Plan {
    let found = own_columns(table);
    let details = (found != wanted).then(|| {
        let longest = found.len().max(wanted.len());
        let pairs =
            (0..longest).map(|position| (position, wanted.get(position).cloned(), found.get(position).cloned()));
        Details::Positions(pairs.filter(|(_, wanted, found)| wanted != found).collect())
    });
    Plan::Known { success: details.is_none(), outcome: Outcome::Observed { observed_value: found.into(), details } }
}

fn rows(condition: &Condition, table: &Table) -> Result<Rows, Refusal> {
    let find = |name: &str| table.column(name).map_err(|error| error.to_string());
    // Missing values break no rule but that on missing values.
    let of = |column: &ColumnInfo, unexpected: Expr| Rows {
        missing: Some(column.values().is_null()),
        unexpected: column.values().is_not_null().and(unexpected),
        show: vec![shown(column)],
        form: Form::Value,
        memory: Memory::Constant,
    };
    Ok(match condition {
        Condition::NotNull { column } => {
            let column = find(column)?;
            let unexpected = column.values().is_null();
            Rows { missing: None, unexpected, show: vec![shown(column)], form: Form::Value, memory: Memory::Constant }
        }
        Condition::Null { column } => {
            let column = find(column)?;
            let unexpected = column.values().is_not_null();
            Rows { missing: None, unexpected, show: vec![shown(column)], form: Form::Value, memory: Memory::Constant }
        }
        Condition::Unique { column } => {
            let column = single(find(column)?)?;
            Rows { memory: Memory::Columns, ..of(column, column.values().is_duplicated()) }
        }
        Condition::CompoundUnique { columns, ignore } => {
            let columns = columns.iter().map(|name| single(find(name)?)).collect::<Result<Vec<_>, _>>()?;
            let together = as_struct(columns.iter().map(|column| column.values()).collect());
            let rows = several(&columns, Form::Record, *ignore, together.is_duplicated());
            Rows { memory: Memory::Columns, ..rows }
        }
        Condition::InSet { column, set } => {
            let column = find(column)?;
            of(column, member(column, set)?.not())
        }
        Condition::NotInSet { column, set } => {
            let column = find(column)?;
            of(column, member(column, set)?)
        }
        Condition::Between { column, limits } => {
            let column = find(column)?;
            of(column, outside(&comparable(column, limits.values())?, limits))
        }
        Condition::Matches { column, regex } => {
            let column = find(column)?;
            of(column, text(column)?.str().contains(lit(regex.as_str()), true).not())
        }
        Condition::Length { column, limits } => {
            let column = find(column)?;
            of(column, outside(&text(column)?.str().len_chars(), limits))
        }
        Condition::Greater { a, b, or_equal, ignore } => {
            let (a, b) = (find(a)?, find(b)?);
            let both = |wanted: fn(Kind) -> bool| wanted(a.kind) && wanted(b.kind);
            let times = |kind| matches!(kind, Kind::Date | Kind::Datetime);
            if !(both(Kind::is_number) || both(times) || both(|kind| kind == Kind::Text)) {
                return Err(format!(
                    "columns '{}' ({}) and '{}' ({}) cannot be compared",
                    a.name, a.exact, b.name, b.exact
                ));
            }
            let greater = if *or_equal { plain(a).gt_eq(plain(b)) } else { plain(a).gt(plain(b)) };
            several(&[a, b], Form::List, *ignore, greater.fill_null(lit(false)).not())
        }
        Condition::Increasing { column, strictly } => {
            let column = single(find(column)?)?;
            let values = plain(column);
            // The value before, passing over missing ones.
            let before = values.clone().fill_null_with_strategy(FillNullStrategy::Forward(None)).shift(lit(1));
            of(column, if *strictly { values.lt_eq(before) } else { values.lt(before) })
        }
        Condition::OneGroup { column, group } => {
            let (column, group) = (single(find(column)?)?, single(find(group)?)?);
            let groups = group.values().n_unique().over([col(column.name.as_str())]);
            let mut rows = of(column, groups.map_err(|error| error.to_string())?.gt(lit(1)));
            rows.show.push(shown(group));
            Rows { form: Form::Record, memory: Memory::Columns, ..rows }
        }
    })
}

fn several(columns: &[&ColumnInfo], form: Form, ignore: Ignore, unexpected: Expr) -> Rows {
    let missing = columns.iter().map(|column| column.values().is_null()).reduce(|a, b| match ignore {
        Ignore::AnyMissing => a.or(b),
        Ignore::AllMissing | Ignore::Never => a.and(b),
    });
    let missing = missing.filter(|_| ignore != Ignore::Never);
    let unexpected = match &missing {
        Some(missing) => missing.clone().not().and(unexpected),
        None => unexpected,
    };
    Rows {
        missing,
        unexpected,
        show: columns.iter().map(|column| shown(column)).collect(),
        form,
        memory: Memory::Constant,
    }
}

fn figures(column: &ColumnInfo, figure: Figure, limits: &Limits) -> Result<Vec<Expr>, Refusal> {
    Ok(match figure {
        Figure::Min => vec![comparable(column, limits.values())?.min(), shown(column).1.min()],
        Figure::Max => vec![comparable(column, limits.values())?.max(), shown(column).1.max()],
        Figure::Mean => vec![numbers(column)?.mean()],
        Figure::Stdev => vec![numbers(column)?.std(1)],
        Figure::UniqueShare => {
            let values = single(column)?.values();
            vec![values.clone().n_unique(), values.clone().null_count(), values.count()]
        }
    })
}

/// True where the value lies outside; null where it is missing.
fn outside(values: &Expr, limits: &Limits) -> Expr {
    let below = limits.min.as_ref().map(|min| match limits.strict_min {
        true => values.clone().lt_eq(min.literal()),
        false => values.clone().lt(min.literal()),
    });
    let above = limits.max.as_ref().map(|max| match limits.strict_max {
        true => values.clone().gt_eq(max.literal()),
        false => values.clone().gt(max.literal()),
    });
    match (below, above) {
        (Some(below), Some(above)) => below.or(above),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => lit(false),
    }
}

fn member(column: &ColumnInfo, set: &[Value]) -> Result<Expr, Refusal> {
    let (values, set) = (comparable(column, set)?, series(set));
    // Both sides of one type, which holds every member: 300 is in no column of eight bits, and no error.
    let wide = match (column.kind, set.dtype()) {
        (Kind::Float, _) => DataType::Float64,
        (_, dtype) => dtype.clone(),
    };
    let set = set.cast(&wide).map_err(|error| error.to_string())?;
    // As a function on chunks: the expression of this name is a join to the streaming engine, which would hold every row.
    let list = Series::new("set".into(), [set]);
    let member = move |column: Column| {
        let members = is_in(column.as_materialized_series(), &list, false)?;
        Ok(members.with_name(column.name().clone()).into_column())
    };
    Ok(values.cast(wide).map(member, |_, field| Ok(Field::new(field.name().clone(), DataType::Boolean))))
}

fn numbers(column: &ColumnInfo) -> Result<Expr, Refusal> {
    let ColumnInfo { name, exact, kind, .. } = column;
    if kind.is_number() { Ok(column.values()) } else { Err(format!("column '{name}' is {exact}, expected numbers")) }
}

fn text(column: &ColumnInfo) -> Result<Expr, Refusal> {
    let ColumnInfo { name, exact, kind, .. } = column;
    let fits = matches!(kind, Kind::Text | Kind::Null);
    if fits { Ok(column.as_text()) } else { Err(format!("column '{name}' is {exact}, expected strings")) }
}

/// A column whose values can be told apart and put in order.
fn single(column: &ColumnInfo) -> Result<&ColumnInfo, Refusal> {
    let ColumnInfo { name, exact, kind, .. } = column;
    let fits = *kind != Kind::Other;
    if fits { Ok(column) } else { Err(format!("column '{name}' is {exact}, expected numbers, strings or times")) }
}

/// The column as results show it, with its name.
fn shown(column: &ColumnInfo) -> (String, Expr) {
    let values = match column.kind {
        Kind::Date | Kind::Datetime | Kind::Text => column.as_text(),
        _ => column.values(),
    };
    (column.name.clone(), values)
}
