//! `takt drift report`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

/// Compare each column of a table, or what images look like, with a reference.
#[derive(Debug, Args)]
pub struct Report {
    /// CSV or Parquet file, a folder of such files, a prediction log (or the state directory with it), or a folder of
    /// labelled images, to compare with
    #[arg(long, value_name = "PATH")]
    reference: PathBuf,
    /// The same, to be compared
    #[arg(long, value_name = "PATH")]
    current: PathBuf,
    /// Columns to compare; all that both have when not given
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    columns: Vec<String>,
    /// Of prediction logs: of this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// How numbers are binned for PSI [default: reference-quantile]
    #[arg(long, value_enum)]
    binning: Option<Binning>,
    /// TOML file with settings, such as `[column.light] psi = 0.3`; what is given on the command line goes before it
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Page for people, self-contained
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Exit code 3 where a column drifted
    #[arg(long)]
    fail_on_drift: bool,
    /// Threads that decode images [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// How numbers are binned.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Binning {
    /// Deciles of the reference
    ReferenceQuantile,
    /// As Evidently does
    SturgesUnion,
}

#[cfg(feature = "tables")]
impl Report {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        use std::io::Write;

        use anyhow::Context;
        use takt_pipeline::drift;

        use crate::commands::workshop::{Bar, stop_flag};
        use crate::commands::{REFUSED, warn_skipped, write_json};

        let settings = self.settings()?;
        let stop = stop_flag()?;
        let threads = self.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        let bar = Bar::new("{bar:40} {pos}/{len} images, {per_sec}, {eta} left");
        let asked = drift::Compare {
            reference: &self.reference,
            current: &self.current,
            settings: &settings,
            model: self.model.as_deref(),
        };
        let compared = drift::report(&asked, threads, &bar, &stop)?;
        drop(bar);
        let drift::Compared { report, skipped } = compared.context("interrupted before all was read")?;
        warn_skipped(&skipped);
        if let Some(path) = &self.html {
            std::fs::write(path, drift::page(&report)).with_context(|| format!("'{}'", path.display()))?;
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            write_json(&mut out, &report)?;
        } else {
            write!(out, "{}", report.render_table())?;
        }
        Ok(if self.fail_on_drift && report.drifted() { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
    }

    fn settings(&self) -> anyhow::Result<takt_tables::drift::Settings> {
        use anyhow::Context;
        use takt_tables::drift::{Binning as Bins, Settings};

        let mut settings = match &self.settings {
            Some(path) => {
                Settings::parse(&crate::commands::read_text(path)?).with_context(|| format!("'{}'", path.display()))?
            }
            None => Settings::default(),
        };
        if !self.columns.is_empty() {
            settings.columns.clone_from(&self.columns);
        }
        match self.binning {
            Some(Binning::ReferenceQuantile) => settings.binning = Bins::ReferenceQuantile,
            Some(Binning::SturgesUnion) => settings.binning = Bins::SturgesUnion,
            None => {}
        }
        Ok(settings)
    }
}

#[cfg(not(feature = "tables"))]
impl Report {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        crate::commands::needs_tables()
    }
}
