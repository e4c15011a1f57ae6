//! `takt drift root-cause`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args, ValueEnum};

/// Rank the elements of dimensions (station, product, shift, ...) that explain why a sum or a rate changed.
///
/// AMOUNT is `rows` (their number), a column of numbers (their sum) or COLUMN=VALUE (rows with that value). A rate is one
/// amount per another: `--measure verdict=defect --per rows`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("sides").required(true).args(["reference", "data"]))]
pub struct RootCause {
    /// What was expected: CSV or Parquet, a folder of such files, a prediction log or the state directory with it
    #[arg(long, value_name = "PATH", requires_all = ["current", "measure"])]
    reference: Option<PathBuf>,
    /// What came, of the same kind
    #[arg(long, value_name = "PATH", requires = "reference")]
    current: Option<PathBuf>,
    /// What is added up on either side
    #[arg(long, value_name = "AMOUNT", requires = "reference")]
    measure: Option<String>,
    /// What it is divided by
    #[arg(long, value_name = "AMOUNT", requires = "measure")]
    per: Option<String>,
    /// One table that has in columns what was expected and what came
    #[arg(long, value_name = "PATH", conflicts_with = "reference", requires_all = ["forecast", "actual"])]
    data: Option<PathBuf>,
    /// What was expected, in the one table
    #[arg(long, value_name = "AMOUNT", requires = "data")]
    forecast: Option<String>,
    /// What came, in the one table
    #[arg(long, value_name = "AMOUNT", requires = "data")]
    actual: Option<String>,
    /// What the expected is divided by
    #[arg(long, value_name = "AMOUNT", requires_all = ["data", "actual_per"])]
    forecast_per: Option<String>,
    /// What that which came is divided by
    #[arg(long, value_name = "AMOUNT", requires_all = ["data", "forecast_per"])]
    actual_per: Option<String>,
    /// Columns among whose values the cause is sought
    #[arg(long, value_name = "NAME", value_delimiter = ',', required = true)]
    dimensions: Vec<String>,
    /// How
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    method: Method,
    /// Print the ranking as JSON
    #[arg(long)]
    json: bool,
}

/// How causes are sought.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Method {
    /// Adtributor for rates and up to three dimensions, else RiskLoc
    Auto,
    /// One dimension at a time
    Adtributor,
    /// Combinations of dimensions
    Riskloc,
}

#[cfg(feature = "tables")]
impl RootCause {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        use std::io::Write;

        use anyhow::Context;
        use takt_pipeline::drift::{self, Sides};
        use takt_tables::Amount;

        use crate::commands::workshop::stop_flag;
        use crate::commands::write_json;

        let amount = |text: &Option<String>| text.as_deref().map(Amount::parse);
        let (measure, per) = (amount(&self.measure), amount(&self.per));
        let (forecast, actual) = (amount(&self.forecast), amount(&self.actual));
        let (before, now) = (amount(&self.forecast_per), amount(&self.actual_per));
        let sides = match (&self.reference, &self.current, &measure, &self.data, &forecast, &actual) {
            (Some(reference), Some(current), Some(measure), ..) => {
                Sides::Tables { reference, current, measure, per: per.as_ref() }
            }
            (.., Some(data), Some(forecast), Some(actual)) => Sides::Columns {
                data,
                measure: [forecast, actual],
                per: before.as_ref().zip(now.as_ref()).map(|(before, now)| [before, now]),
            },
            _ => anyhow::bail!("give --reference, --current and --measure, or --data, --forecast and --actual"),
        };
        let method = match self.method {
            Method::Auto => drift::Method::Auto,
            Method::Adtributor => drift::Method::Adtributor,
            Method::Riskloc => drift::Method::Riskloc,
        };
        let report = drift::root_cause(&sides, &self.dimensions, method, &*stop_flag()?)?;
        let report = report.context("interrupted before all was read")?;
        let mut out = std::io::stdout().lock();
        if self.json {
            write_json(&mut out, &report)?;
        } else {
            write!(out, "{}", report.render())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(not(feature = "tables"))]
impl RootCause {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        crate::commands::needs_tables()
    }
}
