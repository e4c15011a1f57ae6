//! `takt package`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use takt_artifact::profile::Profile;
use takt_pipeline::stage::{self, Package};

use super::workshop::{ShopArgs, Workshop};

/// Write a version folder for `takt serve`: artefacts, manifest with digests, golden images.
#[derive(Debug, Args)]
pub struct PackageArgs {
    /// Folder with model.onnx and any model.<target>.onnx, as `takt quantize` leaves it
    artefacts: PathBuf,
    /// Folder of labelled images; golden images come from its test split
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The version's folder, such as models/surface-defects/2; must not exist
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Name of the model [default: the name of the folder above the version's]
    #[arg(long)]
    name: Option<String>,
    /// Version for people
    #[arg(long, default_value = "1.0.0")]
    semver: String,
    /// JSON file that says how outputs become verdicts
    #[arg(long, value_name = "FILE")]
    decision: Option<PathBuf>,
    /// report.json of an evaluation; gates that said no keep the model from being packaged
    #[arg(long, value_name = "FILE")]
    evaluation: Option<PathBuf>,
    /// profile.json of `takt data profile`, as the drift reference [default: made of the data's reference split]
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Digest of the version it was made from
    #[arg(long, value_name = "SHA256")]
    parent: Option<String>,
    #[command(flatten)]
    shop: ShopArgs,
}

/// Runs `takt package ...`.
pub fn run(args: PackageArgs) -> anyhow::Result<ExitCode> {
    let above = args.to.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let name = args.name.or(above).context("--name is needed: the version's folder has no folder above it")?;
    let workshop = Workshop::new(args.shop, 0)?;
    let run = Package {
        artefacts: args.artefacts,
        target: args.to.clone(),
        name,
        semver: args.semver,
        created: takt_artifact::calendar::now(),
        decision: args.decision.as_deref().map(json).transpose()?,
        evaluation: args.evaluation.as_deref().map(json).transpose()?,
        parent: args.parent,
        pipeline: None,
        reference: args.profile.as_deref().map(profile).transpose()?,
        parity: stage::PARITY,
    };
    let digest = stage::package(&args.data, &run, &workshop.shop())?;
    let as_json = workshop.json();
    drop(workshop);
    let mut out = std::io::stdout().lock();
    if as_json {
        super::write_json(&mut out, &serde_json::json!({ "version": args.to, "digest": digest.to_string() }))?;
    } else {
        writeln!(out, "{} {}", args.to.display(), digest.short())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn profile(path: &Path) -> anyhow::Result<Profile> {
    Profile::parse(super::read_text(path)?.as_bytes()).with_context(|| format!("'{}'", path.display()))
}

/// Reads a JSON file.
pub fn json<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    serde_json::from_str(&super::read_text(path)?).with_context(|| format!("'{}'", path.display()))
}
