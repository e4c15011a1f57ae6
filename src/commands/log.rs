//! `takt log`: what a server logged.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

/// What a server logged about its predictions.
#[derive(Debug, Args)]
pub struct LogArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Export(Export),
}

/// Write predictions as a Parquet table, a row each.
#[derive(Debug, Args)]
struct Export {
    /// A server's state directory, or the folder monitor/predictions in it; the server may be running
    #[arg(long, value_name = "DIR")]
    log: PathBuf,
    /// The file, such as predictions.parquet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Predictions of this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Predictions of versions whose digest begins so
    #[arg(long, value_name = "DIGEST")]
    version: Option<String>,
    /// Predictions at or after this time, such as 2026-01-05 or 2026-01-05T06:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Predictions before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Print what was exported as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `takt log ...`.
pub fn run(args: LogArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Export(args) => args.run(),
    }
}

#[cfg(feature = "tables")]
impl Export {
    fn run(self) -> anyhow::Result<ExitCode> {
        use std::io::Write;

        use anyhow::Context;
        use takt_pipeline::outcomes::{Detail, Filter, export};

        use super::workshop::{Bar, stop_flag};
        use super::{warn_skipped, write_json};

        let filter = Filter {
            from: self.since.as_deref().map(|text| time("--since", text)).transpose()?,
            until: self.until.as_deref().map(|text| time("--until", text)).transpose()?,
            model: self.model,
            version: self.version,
        };
        let (stop, bar) = (stop_flag()?, Bar::new("{len} predictions"));
        let exported = export(&self.log, filter, Detail::Full, &self.out, &bar, &stop)?;
        drop(bar);
        let exported = exported.context("interrupted; nothing was written")?;
        warn_skipped(&exported.skipped);
        let mut out = std::io::stdout().lock();
        if self.json {
            write_json(&mut out, &exported)?;
        } else {
            writeln!(out, "{} predictions in {}", exported.rows, self.out.display())?;
            if exported.left_out > 0 {
                writeln!(out, "{} others were not asked for", exported.left_out)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(feature = "tables")]
fn time(flag: &str, text: &str) -> anyhow::Result<takt_monitoring::events::UnixMillis> {
    let millis = takt_tables::parse_time(text).and_then(|micros| u64::try_from(micros / 1000).ok());
    millis.map(takt_monitoring::events::UnixMillis).ok_or_else(|| {
        anyhow::anyhow!("{flag} is '{text}', expected a date or a time after 1970 such as 2026-01-05T06:00:00Z")
    })
}

#[cfg(not(feature = "tables"))]
impl Export {
    fn run(self) -> anyhow::Result<ExitCode> {
        super::needs_tables()
    }
}
