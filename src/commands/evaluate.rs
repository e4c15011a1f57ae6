//! `takt evaluate`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use takt_pipeline::data::Split;
use takt_pipeline::evaluate::gates::Gates;
use takt_pipeline::stage::{self, Evaluate};

use super::REFUSED;
use super::workshop::{ShopArgs, Workshop};

/// Judge a model file on the serving runtime: accuracy, slices, size, latency, and what the gates say.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The model
    model: PathBuf,
    /// Folder of labelled images
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// What it was made from, to be compared with
    #[arg(long, value_name = "ONNX")]
    parent: Option<PathBuf>,
    /// Folder with model.onnx and artefacts made from it, each of which is compared with it
    #[arg(long, value_name = "DIR")]
    artefacts: Option<PathBuf>,
    /// On which images
    #[arg(long, default_value = "test")]
    split: String,
    /// JSON file that says how outputs become verdicts
    #[arg(long, value_name = "FILE")]
    decision: Option<PathBuf>,
    /// TOML file of what is demanded; exit code 3 if a gate says no
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    /// Page for people, self-contained
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Folder for report.json
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shop: ShopArgs,
}

/// Runs `takt evaluate ...`.
pub fn run(args: EvaluateArgs) -> anyhow::Result<ExitCode> {
    let split = Split::parse(&args.split).ok_or_else(|| {
        let known: Vec<&str> = Split::ALL.iter().map(|split| split.name()).collect();
        anyhow!("split '{}' is not known; expected one of {}", args.split, known.join(", "))
    })?;
    let gates = args
        .gates
        .as_ref()
        .map(|path| Gates::parse(&super::read_text(path)?).with_context(|| format!("'{}'", path.display())));
    let workshop = Workshop::new(args.shop, 0)?;
    let run = Evaluate {
        model: args.model,
        parent: args.parent,
        artefacts: args.artefacts,
        split,
        gates: gates.transpose()?,
        decision: args.decision.as_deref().map(super::package::json).transpose()?,
    };
    let report = stage::evaluate(&args.data, &run, args.out.as_deref(), args.html.as_deref(), &workshop.shop())?;
    let json = workshop.json();
    drop(workshop);
    let mut out = std::io::stdout().lock();
    if json {
        super::write_json(&mut out, &report)?;
    } else {
        write!(out, "{}", report.render_table())?;
    }
    let refused = report.gates.as_ref().is_some_and(|gates| !gates.passed());
    Ok(if refused { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
}
