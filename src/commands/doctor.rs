//! `takt doctor`: what this machine offers, what the server would do with it, and what is missing.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use takt_backend::report::Report;
use takt_serving::server::protocol_threads;
use takt_serving::settings::{RawSettings, ServerSettings, default_state_root};

/// Show what this machine offers to models, and what is missing.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Diagnosis {
    #[serde(flatten)]
    report: Report,
    threads: Threads,
    /// A repository's state directory lies below it unless `--state-dir` names one.
    state_root: PathBuf,
}

/// The CPU budget of a server with default settings.
#[derive(Serialize)]
struct Threads {
    protocol: usize,
    decode: usize,
    /// The runtime's shared pool.
    intra_op: usize,
    spinning: bool,
}

/// Runs `takt doctor ...`.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let raw = RawSettings { model_repository: Some(".".into()), ..RawSettings::default() };
    let settings = ServerSettings::try_from(raw)?;
    let report = Report::of_machine();
    let intra_op = match settings.intra_op_threads {
        0 => report.system.processors,
        threads => threads,
    };
    let threads = Threads {
        protocol: protocol_threads(),
        decode: settings.decode_threads,
        intra_op,
        spinning: settings.spinning,
    };
    let diagnosis = Diagnosis { report, threads, state_root: default_state_root() };
    let mut out = std::io::stdout().lock();
    if args.json {
        super::write_json(&mut out, &diagnosis)?;
    } else {
        diagnosis.write(&mut out)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Diagnosis {
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Threads { protocol, decode, intra_op, spinning } = self.threads;
        let idle = if spinning { "idle ones spin" } else { "idle ones sleep" };
        write!(out, "{}", self.report)?;
        writeln!(out, "threads    {protocol} for protocols, {decode} to decode images, one per model instance,")?;
        writeln!(
            out,
            "           {intra_op} in ONNX Runtime's shared pool ({idle}); tract runs on the instance's own"
        )?;
        writeln!(out, "state      {}/<repository>, or --state-dir", self.state_root.display())
    }
}
