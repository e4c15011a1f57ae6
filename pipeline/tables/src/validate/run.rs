//! Holding a table against a suite: one query for all rules that pass by, one for those that hold columns, then one for
//! each rule whose rows are to be shown.

use std::collections::BTreeMap;

use polars::prelude::{AnyValue, DataFrame, Expr, IdxSize, col, len};
use serde_json::Value as Json;

use super::compile::{Form, Memory, Plan, Rows, compile};
use super::report::{Config, Counts, Details, Exception, Outcome, Report, RuleResult};
use super::rule::{Expect, Figure, Limits, Rule};
use super::suite::Suite;
use crate::error::TableError;
use crate::table::Table;

/// Rows that are shown of a broken rule.
const SHOWN: IdxSize = 20;

/// Name of the column that counts rows; no column of a table is called so.
const ROW: &str = "__takt_row";

/// Holds every rule of the suite against the table. A rule that cannot be asked of it, for want of a column or because
/// of a column's type, is broken and says why.
///
/// # Errors
/// Rows that cannot be read.
pub fn validate(table: &Table, suite: &Suite) -> Result<Report, TableError> {
    let plans: Vec<Result<Plan, String>> = suite.rules.iter().map(|rule| compile(&rule.expect, table)).collect();
    let answers = Answers::of(table, &plans)?;
    let mut results = Vec::with_capacity(plans.len());
    for (number, (rule, plan)) in suite.rules.iter().zip(plans).enumerate() {
        results.push(match plan {
            Err(reason) => result(rule, false, Outcome::Nothing {}, Some(reason)),
            Ok(plan) => {
                let (success, outcome) = judge(table, &rule.expect, plan, number, &answers)?;
                result(rule, success, outcome, None)
            }
        });
    }
    Ok(Report::new(&suite.name, table.path().display().to_string(), answers.rows(), results))
}

fn result(rule: &Rule, success: bool, outcome: Outcome, exception: Option<String>) -> RuleResult {
    RuleResult {
        success,
        expectation_config: Config {
            name: format!("expect_{}", rule.name),
            kwargs: rule.arguments.clone(),
            meta: BTreeMap::new(),
            severity: rule.severity,
        },
        result: outcome,
        meta: BTreeMap::new(),
        exception_info: Exception {
            raised_exception: exception.is_some(),
            exception_message: exception,
            exception_traceback: None,
        },
    }
}

/// The one row that the query gives.
struct Answers(DataFrame);

impl Answers {
    /// Asks everything that takes constant memory in one query, and what does not in another over its columns alone: in one
    /// query the streaming engine would hold the columns of all.
    fn of(table: &Table, plans: &[Result<Plan, String>]) -> Result<Self, TableError> {
        let (mut passing, mut holding) = (vec![len().alias(ROW)], Vec::new());
        for (number, plan) in plans.iter().enumerate() {
            let (asked, memory): (Vec<Expr>, Memory) = match plan {
                Ok(Plan::Figures { figures, memory }) => (figures.clone(), *memory),
                Ok(Plan::Rows(rows)) => {
                    let conditions = [Some(&rows.unexpected), rows.missing.as_ref()].into_iter().flatten();
                    (conditions.map(|rows| rows.clone().sum()).collect(), rows.memory)
                }
                Ok(Plan::Known { .. } | Plan::RowCount) | Err(_) => continue,
            };
            let to = match memory {
                Memory::Constant => &mut passing,
                Memory::Columns => &mut holding,
            };
            to.extend(asked.into_iter().enumerate().map(|(place, expr)| expr.alias(name(number, place))));
        }
        let mut answers = table.collect(table.frame().select(passing))?;
        if !holding.is_empty() {
            let more = table.collect(table.frame().select(holding))?;
            answers.hstack_mut(more.columns()).map_err(TableError::read(table.path()))?;
        }
        Ok(Self(answers))
    }

    fn value(&self, name: &str) -> AnyValue<'_> {
        let value = self.0.column(name).ok().and_then(|column| column.get(0).ok());
        value.unwrap_or(AnyValue::Null)
    }

    fn at(&self, rule: usize, place: usize) -> AnyValue<'_> {
        self.value(&name(rule, place))
    }

    fn number(&self, rule: usize, place: usize) -> Option<f64> {
        self.at(rule, place).extract::<f64>()
    }

    fn count(&self, rule: usize, place: usize) -> u64 {
        self.at(rule, place).extract::<u64>().unwrap_or(0)
    }

    fn rows(&self) -> u64 {
        self.value(ROW).extract::<u64>().unwrap_or(0)
    }
}

fn name(rule: usize, place: usize) -> String {
    format!("{rule}.{place}")
}

fn judge(
    table: &Table,
    expect: &Expect,
    plan: Plan,
    number: usize,
    answers: &Answers,
) -> Result<(bool, Outcome), TableError> {
    Ok(match (expect, plan) {
        (_, Plan::Known { success, outcome }) => (success, outcome),
        (Expect::RowCount(limits), _) => (limits.hold(answers.rows() as f64), Outcome::observed(answers.rows())),
        (Expect::Rows { mostly, .. }, Plan::Rows(rows)) => {
            let mut counts = counts(&rows, number, answers);
            let counting = counts.counting() as f64;
            let success = counting == 0.0 || (counting - counts.unexpected_count as f64) / counting >= *mostly;
            if !success {
                show(table, rows, &mut counts)?;
            }
            (success, Outcome::Counts(counts))
        }
        (Expect::Figure { figure, limits, .. }, _) => figure_of(*figure, limits, number, answers),
        (Expect::Quantiles { quantiles, limits, .. }, _) => quantiles_of(quantiles, limits, number, answers),
        // Compiled from the expectation beside it.
        _ => (false, Outcome::Nothing {}),
    })
}

fn counts(rows: &Rows, number: usize, answers: &Answers) -> Counts {
    let missing = rows.missing.as_ref().map(|_| answers.count(number, 1));
    Counts::new(answers.rows(), missing, answers.count(number, 0))
}

/// Looks up the first rows that break a rule.
fn show(table: &Table, rows: Rows, counts: &mut Counts) -> Result<(), TableError> {
    let (names, values): (Vec<String>, Vec<Expr>) = rows.show.into_iter().unzip();
    let named = values.into_iter().enumerate().map(|(place, expr)| expr.alias(name(0, place)));
    let wanted: Vec<Expr> = [col(ROW)].into_iter().chain(named).collect();
    let query = table.frame().with_row_index(ROW, None).filter(rows.unexpected).limit(SHOWN).select(wanted);
    let found = table.collect(query)?;
    for row in 0..found.height() {
        let mut cells = found.columns().iter().map(|column| column.get(row).unwrap_or(AnyValue::Null));
        counts.partial_unexpected_index_list.extend(cells.next().and_then(|index| index.extract::<u64>()));
        let cells = cells.map(|cell| json(&cell));
        counts.partial_unexpected_list.push(match rows.form {
            Form::Value => cells.collect::<Vec<_>>().pop().unwrap_or_default(),
            Form::List => cells.collect(),
            Form::Record => Json::Object(names.iter().cloned().zip(cells).collect()),
        });
    }
    Ok(())
}

fn figure_of(figure: Figure, limits: &Limits, number: usize, answers: &Answers) -> (bool, Outcome) {
    match figure {
        Figure::Mean | Figure::Stdev => {
            let found = answers.number(number, 0);
            (found.is_some_and(|found| limits.hold(found)), Outcome::observed(found))
        }
        Figure::Min | Figure::Max => {
            let success = match answers.at(number, 0) {
                AnyValue::String(text) => limits.hold_text(text),
                AnyValue::StringOwned(text) => limits.hold_text(&text),
                found => found.extract::<f64>().is_some_and(|found| limits.hold(found)),
            };
            (success, Outcome::observed(json(&answers.at(number, 1))))
        }
        Figure::UniqueShare => {
            // A missing value is one more different value to polars, none to the rule.
            let missing = answers.count(number, 1).min(1);
            let (different, there) = (answers.count(number, 0) - missing, answers.count(number, 2));
            let share = (there > 0).then(|| different as f64 / there as f64);
            (share.is_some_and(|share| limits.hold(share)), Outcome::observed(share))
        }
    }
}

/// Quantiles as pandas' `nearest` has them: the value at the position nearest to (n - 1) q, of two the even one.
fn quantiles_of(quantiles: &[f64], limits: &[Limits], number: usize, answers: &Answers) -> (bool, Outcome) {
    let last = answers.count(number, 0).saturating_sub(1) as f64;
    let (mut values, mut holds) = (Vec::new(), Vec::new());
    for (place, (quantile, limits)) in quantiles.iter().zip(limits).enumerate() {
        let position = last * quantile;
        let higher = position.round_ties_even() > position.floor();
        let value = answers.number(number, 1 + 2 * place + usize::from(higher));
        values.push(value);
        holds.push(value.is_some_and(|value| limits.hold(value)));
    }
    let success = holds.iter().all(|holds| *holds);
    let observed_value = serde_json::json!({ "quantiles": quantiles, "values": values });
    (success, Outcome::Observed { observed_value, details: Some(Details::Quantiles(holds)) })
}

/// A cell as JSON; what JSON cannot say becomes text.
fn json(value: &AnyValue<'_>) -> Json {
    match value {
        AnyValue::Null => Json::Null,
        AnyValue::Boolean(flag) => (*flag).into(),
        AnyValue::String(text) => (*text).into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::UInt64(number) => (*number).into(),
        value if value.is_integer() => value.extract::<i64>().into(),
        AnyValue::Float32(number) if number.is_finite() => short(*number),
        AnyValue::Float64(number) if number.is_finite() => (*number).into(),
        value => value.to_string().into(),
    }
}

/// Single precision in its own shortest form: 0.1, not 0.10000000149.
fn short(number: f32) -> Json {
    number.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(number)).into()
}
