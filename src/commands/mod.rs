//! The command line: one file per subcommand. Exit codes: 0 done, 1 failed, 2 usage, 3 a gate said no.

#[cfg(feature = "pipeline")]
mod data;
#[cfg(feature = "serve")]
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Serves pruned INT8 vision models beside the production line, and tools around them.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the models of a repository over gRPC and HTTP.
    #[cfg(feature = "serve")]
    Serve(serve::ServeArgs),
    #[cfg(feature = "pipeline")]
    Data(data::DataArgs),
}

/// Runs the subcommand and turns its outcome into an exit code; errors go to stderr.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(args),
        #[cfg(feature = "pipeline")]
        Command::Data(args) => data::run(args),
    };
    outcome.unwrap_or_else(|error| {
        report(&error);
        ExitCode::from(1)
    })
}

#[expect(clippy::print_stderr, reason = "errors of commands are for the person at the terminal")]
fn report(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
