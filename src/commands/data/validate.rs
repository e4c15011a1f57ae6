//! `takt data validate`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// Hold a table, or a folder of labelled images, against a suite of rules. Exit code 3 where a rule of severity error is
/// broken.
#[derive(Debug, Args)]
pub struct Validate {
    /// TOML file of rules
    suite: PathBuf,
    /// CSV or Parquet file, a folder of such files, or a folder of labelled images
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Threads that decode images [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Print the result in Great Expectations' JSON
    #[arg(long)]
    json: bool,
}

#[cfg(feature = "tables")]
pub fn run(args: &Validate) -> anyhow::Result<ExitCode> {
    use std::io::Write;

    use takt_tables::validate::Suite;

    use crate::commands::workshop::{Bar, stop_flag};
    use crate::commands::{REFUSED, write_json};

    let suite = Suite::read(&args.suite)?;
    let stop = stop_flag()?;
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let bar = Bar::new("{bar:40} {pos}/{len} images, {per_sec}, {eta} left");
    let report = takt_pipeline::data::validate(&suite, &args.data, threads, &bar, &stop)?;
    drop(bar);
    let report = report.ok_or_else(|| anyhow::anyhow!("interrupted before all images were read"))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        write_json(&mut out, &report)?;
    } else {
        write!(out, "{}", report.render_table())?;
    }
    Ok(if report.success { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

#[cfg(not(feature = "tables"))]
pub fn run(_: &Validate) -> anyhow::Result<ExitCode> {
    super::super::needs_tables()
}
