//! `takt`: makes vision models small, serves them beside the line, watches them and replaces them safely.

#[cfg(feature = "serve")]
mod client;
mod commands;
#[cfg(feature = "serve")]
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    commands::run(commands::Cli::parse())
}
