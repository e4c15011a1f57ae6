//! `takt check`: every fault of every model of a repository, before a server meets them.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use takt_serving::repository::check::by_loading;
use takt_serving::repository::{CheckOptions, check};
use takt_serving::runtimes;
use takt_serving::settings::{RawSettings, ServerSettings};

/// Find every fault of every model in a repository.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Folder with one folder per model
    #[arg(value_name = "DIR")]
    repository: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `takt check ...`.
pub fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let raw = RawSettings { model_repository: Some(args.repository), ..RawSettings::default() };
    let settings = ServerSettings::try_from(raw)?;
    let found = runtimes::find(&settings)?;
    // The first is the one that models prefer.
    let (runtime, _) = found.backends.first().context("this program was built without a runtime")?;
    let read_signature = by_loading(runtime.as_ref());
    let options = CheckOptions { machine: &found.machine, read_signature: &read_signature };
    let report = check(&settings.model_repository, &options)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        super::write_json(&mut out, &report)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
