//! `takt`: makes vision models small, serves them beside the line, watches them and replaces them safely.

mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    commands::run(commands::Cli::parse())
}
