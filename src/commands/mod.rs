//! The command line: one file per subcommand. Exit codes: 0 done, 1 failed, 2 usage, 3 a gate said no, 130 stopped
//! as asked.

#[cfg(feature = "serve")]
mod check;
#[cfg(feature = "pipeline")]
mod data;
#[cfg(feature = "serve")]
mod demo;
#[cfg(feature = "serve")]
mod doctor;
#[cfg(feature = "pipeline")]
mod drift;
#[cfg(feature = "pipeline")]
mod evaluate;
#[cfg(feature = "pipeline")]
mod fit;
#[cfg(feature = "serve")]
mod infer;
#[cfg(feature = "pipeline")]
mod log;
#[cfg(feature = "serve")]
mod models;
#[cfg(feature = "operator")]
mod operator;
#[cfg(feature = "pipeline")]
mod package;
#[cfg(feature = "pipeline")]
mod pipeline;
#[cfg(feature = "pipeline")]
mod prune;
#[cfg(feature = "pipeline")]
mod quantize;
#[cfg(feature = "serve")]
mod rollout;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "pipeline")]
mod weigh;
#[cfg(feature = "pipeline")]
mod workshop;

use std::process::ExitCode;

#[cfg(any(feature = "serve", feature = "pipeline"))]
use anyhow::Context;
use clap::{Parser, Subcommand};

/// Exit code of a gate that said no.
#[cfg(any(feature = "serve", feature = "pipeline"))]
const REFUSED: u8 = 3;

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
    #[cfg(feature = "serve")]
    Infer(infer::InferArgs),
    #[cfg(feature = "serve")]
    Models(models::ModelsArgs),
    #[cfg(feature = "serve")]
    Rollout(rollout::RolloutArgs),
    #[cfg(feature = "operator")]
    Operator(operator::OperatorArgs),
    #[cfg(feature = "serve")]
    Check(check::CheckArgs),
    #[cfg(feature = "serve")]
    Doctor(doctor::DoctorArgs),
    #[cfg(feature = "serve")]
    Demo(demo::DemoArgs),
    #[cfg(feature = "pipeline")]
    Data(data::DataArgs),
    #[cfg(feature = "pipeline")]
    Drift(drift::DriftArgs),
    #[cfg(feature = "pipeline")]
    Log(log::LogArgs),
    #[cfg(feature = "pipeline")]
    Train(fit::TrainArgs),
    #[cfg(feature = "pipeline")]
    Distil(fit::DistilArgs),
    #[cfg(feature = "pipeline")]
    Prune(prune::PruneArgs),
    #[cfg(feature = "pipeline")]
    Quantize(quantize::QuantizeArgs),
    #[cfg(feature = "pipeline")]
    Evaluate(evaluate::EvaluateArgs),
    #[cfg(feature = "pipeline")]
    Package(package::PackageArgs),
    #[cfg(feature = "pipeline")]
    Pipeline(pipeline::PipelineArgs),
    #[cfg(feature = "pipeline")]
    #[command(hide = true)]
    Weigh(weigh::WeighArgs),
}

/// Runs the subcommand and turns its outcome into an exit code; errors go to stderr.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(args),
        #[cfg(feature = "serve")]
        Command::Infer(args) => infer::run(args),
        #[cfg(feature = "serve")]
        Command::Models(args) => models::run(args),
        #[cfg(feature = "serve")]
        Command::Rollout(args) => rollout::run(args),
        #[cfg(feature = "operator")]
        Command::Operator(args) => operator::run(args),
        #[cfg(feature = "serve")]
        Command::Check(args) => check::run(args),
        #[cfg(feature = "serve")]
        Command::Doctor(args) => doctor::run(&args),
        #[cfg(feature = "serve")]
        Command::Demo(args) => demo::run(&args),
        #[cfg(feature = "pipeline")]
        Command::Data(args) => data::run(args),
        #[cfg(feature = "pipeline")]
        Command::Drift(args) => drift::run(args),
        #[cfg(feature = "pipeline")]
        Command::Log(args) => log::run(args),
        #[cfg(feature = "pipeline")]
        Command::Train(args) => fit::train(args),
        #[cfg(feature = "pipeline")]
        Command::Distil(args) => fit::distil(args),
        #[cfg(feature = "pipeline")]
        Command::Prune(args) => prune::run(args),
        #[cfg(feature = "pipeline")]
        Command::Quantize(args) => quantize::run(args),
        #[cfg(feature = "pipeline")]
        Command::Evaluate(args) => evaluate::run(args),
        #[cfg(feature = "pipeline")]
        Command::Package(args) => package::run(args),
        #[cfg(feature = "pipeline")]
        Command::Pipeline(args) => pipeline::run(args),
        #[cfg(feature = "pipeline")]
        Command::Weigh(args) => weigh::run(&args),
    };
    outcome.unwrap_or_else(|error| {
        // Who reads the output has gone, and wants no more of it.
        if is_broken_pipe(&error) {
            return ExitCode::from(BROKEN_PIPE);
        }
        report(&error);
        ExitCode::from(if is_interrupted(&error) { STOPPED } else { 1 })
    })
}

/// Exit code of work that ended early as asked, as the shell gives it after SIGINT.
const STOPPED: u8 = 130;
/// The same after SIGPIPE.
const BROKEN_PIPE: u8 = 141;

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    #[cfg(any(feature = "serve", feature = "pipeline"))]
    let kind = kind.or_else(|| error.downcast_ref::<serde_json::Error>()?.io_error_kind());
    kind == Some(std::io::ErrorKind::BrokenPipe)
}

#[cfg(feature = "pipeline")]
fn is_interrupted(error: &anyhow::Error) -> bool {
    use takt_pipeline::data::surface::GenerateError;
    use takt_pipeline::stage::StageError;
    matches!(error.downcast_ref(), Some(StageError::Interrupted))
        || matches!(error.downcast_ref(), Some(GenerateError::Interrupted { .. }))
}

#[cfg(not(feature = "pipeline"))]
const fn is_interrupted(_: &anyhow::Error) -> bool {
    false
}

#[expect(clippy::print_stderr, reason = "errors of commands are for the person at the terminal")]
fn report(error: &anyhow::Error) {
    // Errors that name their causes name them once, with what to do about a full disk.
    #[cfg(feature = "pipeline")]
    eprintln!("error: {}", takt_pipeline::told(error.as_ref()));
    #[cfg(not(feature = "pipeline"))]
    eprintln!("error: {error:#}");
}

/// What commands on tables say where the build has none.
#[cfg(all(feature = "pipeline", not(feature = "tables")))]
fn needs_tables<T>() -> anyhow::Result<T> {
    anyhow::bail!("this build reads no tables; build it with them: cargo build --release --features tables")
}

/// Says what of a log could not be read; the rest counts.
#[cfg(feature = "pipeline")]
#[expect(clippy::print_stderr, reason = "warnings of commands are for the person at the terminal")]
fn warn_skipped(skipped: &[String]) {
    skipped.iter().for_each(|skipped| eprintln!("warning: {skipped}"));
}

/// The text of a file that a flag names.
#[cfg(any(feature = "serve", feature = "pipeline"))]
fn read_text(path: &std::path::Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("'{}'", path.display()))
}

/// Writes a value as indented JSON and ends the line.
#[cfg(any(feature = "serve", feature = "pipeline"))]
fn write_json(out: &mut impl std::io::Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    Ok(writeln!(out)?)
}
