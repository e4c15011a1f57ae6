//! What a comparison found: the form of its JSON.

use serde::Serialize;
use takt_stats::verdict::Verdict;

use super::settings::Settings;

/// Schema of the report's JSON.
const SCHEMA: u32 = 1;

/// A comparison of two tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Schema of the report's JSON: 1.
    pub schema: u32,
    /// The worst of the columns: `drift`, `undetermined` or `ok`.
    pub verdict: &'static str,
    /// What was compared with.
    pub reference: Side,
    /// What was compared.
    pub current: Side,
    /// How.
    pub settings: Settings,
    /// One per column that both have, in the order of the reference.
    pub columns: Vec<ColumnReport>,
    /// Columns that only the reference has. Each is drift.
    pub gone: Vec<String>,
    /// Columns that only the current table has.
    pub new: Vec<String>,
}

/// One of the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// File or folder.
    pub path: String,
    /// Its rows.
    pub rows: u64,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub column: String,
    /// The worst of its figures: `drift`, `undetermined`, `ok` or `skipped`.
    pub verdict: &'static str,
    /// Values on either side.
    pub values: [u64; 2],
    /// Shares of rows without a value on either side.
    pub missing: [f64; 2],
    /// What the rise of that share means; nothing where it was not compared.
    pub missing_verdict: Option<Judgement>,
    /// The figures.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// The figures of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Comparison {
    /// Of numbers.
    Numbers(Numbers),
    /// Of categories.
    Categories(Classes),
    /// None.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// Figures of numbers. Nothing where a side has no value.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Numbers {
    /// Whether they are exact, or counted on a grid.
    pub exact: bool,
    /// Population stability index.
    pub psi: Option<Psi>,
    /// Kolmogorov-Smirnov distance.
    pub ks: Option<Ks>,
    /// Wasserstein distance of order 1, in the column's unit; to a grid's resolution where not exact.
    pub wasserstein: Option<f64>,
    /// Jensen-Shannon distance over PSI's bins, in nats.
    pub jensen_shannon: Option<f64>,
    /// Means on either side.
    pub mean: [Option<f64>; 2],
    /// For a plot.
    pub histogram: Option<Histogram>,
}

/// Figures of categories. Nothing where a side has no value.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Classes {
    /// Population stability index.
    pub psi: Option<Psi>,
    /// Jensen-Shannon distance, in nats.
    pub jensen_shannon: Option<f64>,
    /// Pearson's chi-square test.
    pub chi_square: Option<Chi>,
    /// The categories, the most frequent of the reference first; the rest together as the last one.
    pub categories: Vec<Category>,
}

/// A population stability index.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Psi {
    /// The index.
    pub psi: f64,
    /// Less what chance alone makes of it.
    pub debiased: f64,
    /// Number of bins.
    pub bins: usize,
    /// What it means.
    pub verdict: Judgement,
}

/// A Kolmogorov-Smirnov distance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ks {
    /// It is at least this.
    pub lo: f64,
    /// And at most this; the same where it is exact.
    pub hi: f64,
    /// Probability of as much between samples of one distribution of continuous values, from `lo`.
    pub p: f64,
    /// What it means.
    pub verdict: Judgement,
}

/// Pearson's chi-square test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Chi {
    /// X^2.
    pub statistic: f64,
    /// Degrees of freedom.
    pub degrees: usize,
    /// Probability of as much between samples of one distribution.
    pub p: f64,
}

/// A category with its share of the values on either side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Category {
    /// Its name; nothing for all that are not named.
    pub name: Option<String>,
    /// Share of the reference's values.
    pub reference: f64,
    /// Share of the current values.
    pub current: f64,
}

/// Shares of values between edges, of a plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// Inner edges; the first and the last bin are open.
    pub edges: Vec<f64>,
    /// Shares of the reference's values, one more than there are edges.
    pub reference: Vec<f64>,
    /// Shares of the current values.
    pub current: Vec<f64>,
}

/// A verdict with what decided it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Judgement {
    /// `drift`, `undetermined` or `ok`.
    pub verdict: &'static str,
    /// Why.
    pub reason: &'static str,
    /// The limit.
    pub limit: f64,
    /// Estimates up to here are ok; nothing where none would be.
    pub ok_to: Option<f64>,
    /// Estimates from here on are drift; nothing where none would be.
    pub drift_from: Option<f64>,
}

impl Report {
    pub(super) fn new(
        [reference, current]: [Side; 2],
        settings: &Settings,
        columns: Vec<ColumnReport>,
        gone: Vec<String>,
        new: Vec<String>,
    ) -> Self {
        let lost = (!gone.is_empty()).then_some(Verdict::Drift.as_str());
        let verdict = worst(columns.iter().map(|column| column.verdict).chain(lost));
        Self { schema: SCHEMA, verdict, reference, current, settings: settings.clone(), columns, gone, new }
    }

    /// Whether any column drifted.
    #[must_use]
    pub fn drifted(&self) -> bool {
        self.verdict == Verdict::Drift.as_str()
    }

    /// The report as text for a terminal.
    #[must_use]
    pub fn render_table(&self) -> String {
        super::render::table(self)
    }
}

impl ColumnReport {
    pub(super) fn skipped(column: &str, reason: &str) -> Self {
        Self {
            column: column.to_owned(),
            verdict: "skipped",
            values: [0, 0],
            missing: [0.0, 0.0],
            missing_verdict: None,
            comparison: Comparison::Skipped { reason: reason.to_owned() },
        }
    }
}

/// Drift before undetermined before ok.
pub(super) fn worst(verdicts: impl IntoIterator<Item = &'static str>) -> &'static str {
    let order = [Verdict::Drift, Verdict::Undetermined, Verdict::Ok].map(Verdict::as_str);
    let verdicts: Vec<&str> = verdicts.into_iter().collect();
    order.into_iter().find(|verdict| verdicts.contains(verdict)).unwrap_or(order[2])
}
