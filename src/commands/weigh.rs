//! `takt weigh`: the memory that a model takes, measured in a process that has run nothing before. `takt evaluate` asks it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Args;
use takt_pipeline::stage;

/// Print the bytes of resident memory that the runtime and one session of a model take.
#[derive(Debug, Args)]
pub struct WeighArgs {
    /// The model
    model: PathBuf,
}

/// Runs `takt weigh ...`.
pub fn run(args: &WeighArgs) -> anyhow::Result<ExitCode> {
    let bytes = stage::weigh(&args.model)?.context("this system does not tell how much memory a process has")?;
    writeln!(std::io::stdout(), "{bytes}")?;
    Ok(ExitCode::SUCCESS)
}

/// Asks a process of its own; `None` where it cannot tell.
pub fn ask(model: &Path) -> Option<u64> {
    let output = Command::new(std::env::current_exe().ok()?).arg("weigh").arg(model).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
