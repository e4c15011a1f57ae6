//! `takt drift`: offline looks at drift.

mod cause;
mod report;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Compare data with a reference, and seek what causes a change.
#[derive(Debug, Args)]
pub struct DriftArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Report(report::Report),
    RootCause(cause::RootCause),
}

/// Runs `takt drift ...`.
pub fn run(args: DriftArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Report(args) => args.run(),
        Command::RootCause(args) => args.run(),
    }
}
