//! From the keys of a rule to what it expects: a function per family of rules, and one list of names.

use super::keys::Keys;
use super::rule::{Condition, Expect, Figure, Ignore, Limits};
use super::value::{Value, mixed};

/// Reads what a rule of that name expects; the faults stay with the keys.
type Reader = fn(&mut Keys) -> Option<Expect>;

/// Every rule by its name.
pub(super) const RULES: [(&str, Reader); 23] = [
    ("column_to_exist", column_to_exist),
    ("table_columns_to_match_set", columns_to_match_set),
    ("table_columns_to_match_ordered_list", columns_to_match_list),
    ("table_row_count_to_be_between", |keys| Some(Expect::RowCount(counts(keys)?))),
    ("table_column_count_to_equal", |keys| Some(Expect::ColumnCount { value: keys.count("value")? })),
    ("column_values_to_not_be_null", |keys| of_column(keys, |_, column| Some(Condition::NotNull { column }))),
    ("column_values_to_be_null", |keys| of_column(keys, |_, column| Some(Condition::Null { column }))),
    ("column_values_to_be_unique", |keys| of_column(keys, |_, column| Some(Condition::Unique { column }))),
    ("compound_columns_to_be_unique", compound_unique),
    ("column_values_to_be_in_set", |keys| {
        of_column(keys, |keys, column| Some(Condition::InSet { column, set: set(keys)? }))
    }),
    ("column_values_to_not_be_in_set", |keys| {
        of_column(keys, |keys, column| Some(Condition::NotInSet { column, set: set(keys)? }))
    }),
    ("column_values_to_be_between", |keys| {
        of_column(keys, |keys, column| Some(Condition::Between { column, limits: values(keys)? }))
    }),
    ("column_values_to_be_of_type", of_type),
    ("column_values_to_match_regex", |keys| {
        of_column(keys, |keys, column| Some(Condition::Matches { column, regex: regex(keys)? }))
    }),
    ("column_value_lengths_to_be_between", |keys| {
        of_column(keys, |keys, column| Some(Condition::Length { column, limits: counts(keys)? }))
    }),
    ("column_min_to_be_between", |keys| figure(keys, Figure::Min)),
    ("column_max_to_be_between", |keys| figure(keys, Figure::Max)),
    ("column_mean_to_be_between", |keys| figure(keys, Figure::Mean)),
    ("column_stdev_to_be_between", |keys| figure(keys, Figure::Stdev)),
    ("column_quantile_values_to_be_between", quantiles),
    ("column_pair_values_a_to_be_greater_than_b", pair),
    ("column_proportion_of_unique_values_to_be_between", |keys| figure(keys, Figure::UniqueShare)),
    ("column_values_to_be_increasing", |keys| {
        of_column(keys, |keys, column| Some(Condition::Increasing { column, strictly: keys.flag("strictly") }))
    }),
];

/// A rule of our own: what is the same must be in the same group, as a part's pictures in the same split.
pub(super) const OWN_RULES: [(&str, Reader); 1] = [("column_values_to_be_in_one_group", |keys| {
    of_column(keys, |keys, column| Some(Condition::OneGroup { column, group: keys.text("group")? }))
})];

/// A condition on the rows of one column.
fn of_column(keys: &mut Keys, condition: fn(&mut Keys, String) -> Option<Condition>) -> Option<Expect> {
    let column = keys.text("column");
    // Looked at without a column too, so that all faults come at once.
    let condition = condition(keys, column.clone().unwrap_or_default());
    rows(keys, condition.filter(|_| column.is_some()))
}

fn rows(keys: &mut Keys, condition: Option<Condition>) -> Option<Expect> {
    let share = |value: &toml::Value| Value::of(value)?.number().filter(|share| (0.0..=1.0).contains(share));
    let mostly = keys.optional("mostly", "a share from 0 to 1", share).unwrap_or(1.0);
    Some(Expect::Rows { condition: condition?, mostly })
}

fn column_to_exist(keys: &mut Keys) -> Option<Expect> {
    let column = keys.text("column");
    let position = |value: &toml::Value| usize::try_from(value.as_integer()?).ok();
    let index = keys.optional("column_index", "a position, the first is 0", position);
    Some(Expect::ColumnExists { column: column?, index })
}

fn columns_to_match_set(keys: &mut Keys) -> Option<Expect> {
    let columns = keys.texts("column_set");
    let exact = keys.optional("exact_match", "true or false", toml::Value::as_bool).unwrap_or(true);
    Some(Expect::ColumnSet { columns: columns?, exact })
}

fn columns_to_match_list(keys: &mut Keys) -> Option<Expect> {
    Some(Expect::ColumnList { columns: keys.texts("column_list")? })
}

fn compound_unique(keys: &mut Keys) -> Option<Expect> {
    let columns = keys.texts("column_list");
    let several = columns.as_ref().is_none_or(|columns| columns.len() > 1);
    if !several {
        keys.fault("column_list", "one column", "two or more", "take column_values_to_be_unique for one");
    }
    let ignore = ignore(keys, ["all_values_are_missing", "any_value_is_missing", "never"]);
    let condition = columns.map(|columns| Condition::CompoundUnique { columns, ignore });
    rows(keys, condition)
}

fn pair(keys: &mut Keys) -> Option<Expect> {
    let (a, b, or_equal) = (keys.text("column_A"), keys.text("column_B"), keys.flag("or_equal"));
    let ignore = ignore(keys, ["both_values_are_missing", "either_value_is_missing", "neither"]);
    let condition = a.zip(b).map(|(a, b)| Condition::Greater { a, b, or_equal, ignore });
    rows(keys, condition)
}

/// `ignore_row_if`; the words for all, any and never differ from rule to rule.
fn ignore(keys: &mut Keys, words: [&str; 3]) -> Ignore {
    const MEANINGS: [Ignore; 3] = [Ignore::AllMissing, Ignore::AnyMissing, Ignore::Never];
    let meaning = |value: &toml::Value| {
        let found = value.as_str()?;
        words.into_iter().zip(MEANINGS).find(|(word, _)| *word == found).map(|(_, meaning)| meaning)
    };
    let expected = format!("one of {}", words.join(", "));
    keys.optional("ignore_row_if", &expected, meaning).unwrap_or(Ignore::AllMissing)
}

fn of_type(keys: &mut Keys) -> Option<Expect> {
    let (column, wanted) = (keys.text("column"), keys.text("type_"));
    Some(Expect::Type { column: column?, wanted: wanted? })
}

fn figure(keys: &mut Keys, figure: Figure) -> Option<Expect> {
    let column = keys.text("column");
    let limits = match figure {
        Figure::Min | Figure::Max => values(keys),
        Figure::Mean | Figure::Stdev | Figure::UniqueShare => numbers(keys),
    };
    Some(Expect::Figure { column: column?, figure, limits: limits? })
}

fn quantiles(keys: &mut Keys) -> Option<Expect> {
    const EXPECTED: &str =
        "{ quantiles = [0.05, ...], value_ranges = [[low, high], ...] }, as many of one as of the other";
    let column = keys.text("column");
    let ranges = keys.required("quantile_ranges", EXPECTED, |value| {
        let (quantiles, ranges) = (value.get("quantiles")?.as_array()?, value.get("value_ranges")?.as_array()?);
        let share = |value: &toml::Value| Value::of(value)?.number().filter(|share| (0.0..=1.0).contains(share));
        let quantiles = quantiles.iter().map(share).collect::<Option<Vec<f64>>>()?;
        let limits = ranges.iter().map(range).collect::<Option<Vec<Limits>>>()?;
        (quantiles.len() == limits.len() && !limits.is_empty()).then_some((quantiles, limits))
    });
    let (quantiles, limits) = ranges?;
    Some(Expect::Quantiles { column: column?, quantiles, limits })
}

/// `[low, high]`; an infinite one leaves that side open, for TOML has no null.
fn range(value: &toml::Value) -> Option<Limits> {
    let [low, high] = value.as_array()?.as_slice() else { return None };
    let (low, high) = (Value::of(low)?, Value::of(high)?);
    let ordered = low.number()? <= high.number()?;
    ordered.then(|| Limits { min: Some(low), max: Some(high), ..Limits::default() })
}

fn set(keys: &mut Keys) -> Option<Vec<Value>> {
    let set = keys.required("value_set", "a list of values", |value| {
        value.as_array().filter(|list| !list.is_empty())?.iter().map(Value::of).collect::<Option<Vec<_>>>()
    })?;
    keys.faults.extend(mixed(&set, keys.at("value_set")));
    Some(set)
}

fn regex(keys: &mut Keys) -> Option<String> {
    let regex = keys.text("regex")?;
    if let Err(error) = regex::Regex::new(&regex) {
        let found = format!("'{regex}' ({})", error.to_string().lines().last().unwrap_or_default().trim());
        keys.fault("regex", found, "a regular expression", "see the syntax of Rust's regex; it does not look around");
    }
    Some(regex)
}

fn values(keys: &mut Keys) -> Option<Limits> {
    keys.limits("a number, a string or a time", |value| !matches!(value, Value::Boolean(_)))
}

fn numbers(keys: &mut Keys) -> Option<Limits> {
    keys.limits("a number", |value| value.number().is_some())
}

fn counts(keys: &mut Keys) -> Option<Limits> {
    keys.limits("a whole number, 0 or more", |value| matches!(value, Value::Integer(0..)))
}
