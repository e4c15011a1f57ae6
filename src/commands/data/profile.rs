//! `takt data profile`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use takt_artifact::calendar;
use takt_pipeline::data::Split;
use takt_pipeline::outcomes::{self, Filter};
use takt_pipeline::reference::{self, Of};
use takt_pipeline::stage;

use crate::commands::package::json;
use crate::commands::warn_skipped;
use crate::commands::workshop::{ShopArgs, Workshop};

/// Make a drift reference (profile.json) of a prediction log, a table, or labelled images and a model.
///
/// Rows and images are taken in the order of time. At least 100 are needed, and 1,000 or more for verdicts that know how
/// the line varies.
#[derive(Debug, Args)]
pub struct Profile {
    /// A prediction log or the state directory with it, a CSV or Parquet file with columns such as brightness and
    /// top_probability, or a folder of labelled images (with --model-file)
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// The model that the images are shown
    #[arg(long, value_name = "ONNX")]
    model_file: Option<PathBuf>,
    /// JSON file that says how its outputs become verdicts, where the model does not
    #[arg(long, value_name = "FILE", requires = "model_file")]
    decision: Option<PathBuf>,
    /// Which images
    #[arg(long, default_value = "reference")]
    split: String,
    /// Name of the model; of a prediction log with several, which one
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Of a prediction log: of the version whose digest begins so
    #[arg(long, value_name = "DIGEST")]
    version: Option<String>,
    /// Classes in the order of the model's output; those that occur when not given
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    classes: Vec<String>,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "profile.json")]
    out: PathBuf,
    #[command(flatten)]
    shop: ShopArgs,
}

impl Profile {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let (out, json) = (self.out.clone(), self.shop.json);
        let profile = self.make()?;
        let bytes = profile.to_bytes().context("the figures make no reference")?;
        std::fs::write(&out, bytes).with_context(|| format!("'{}'", out.display()))?;
        let segments: Vec<&str> = profile.segments.keys().map(String::as_str).collect();
        let rows: u64 = profile.segment("*").map_or(0, |segment| segment.units.values().sum());
        let mut to = std::io::stdout().lock();
        if json {
            let told = serde_json::json!({
                "profile": out, "model": profile.model, "reference_sha256": profile.reference_sha256,
                "units": rows, "segments": segments,
            });
            crate::commands::write_json(&mut to, &told)?;
        } else {
            let (path, sha256) = (out.display(), &profile.reference_sha256);
            writeln!(to, "{path}: {rows} units on the grid, segments {}, sha256:{sha256}", segments.join(", "))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn make(self) -> anyhow::Result<takt_artifact::profile::Profile> {
        let created = calendar::now();
        let of = Of { classes: &self.classes, created: &created };
        if let Some(file) = &self.model_file {
            let split = Split::parse(&self.split).with_context(|| format!("--split '{}' is not known", self.split))?;
            let name = self.model.as_deref().or_else(|| file.file_stem()?.to_str()).unwrap_or("model");
            let decision = self.decision.as_deref().map(json).transpose()?;
            let workshop = Workshop::new(self.shop, 0)?;
            return Ok(stage::reference(&self.data, file, name, &created, split, decision, &workshop.shop())?);
        }
        if outcomes::find(&self.data).is_some() {
            let filter = Filter { model: self.model, version: self.version, ..Filter::default() };
            let (profile, found) = reference::of_log(&self.data, filter, &of)?;
            warn_skipped(&found.skipped.iter().map(ToString::to_string).collect::<Vec<_>>());
            return Ok(profile);
        }
        let is_table = |path: &Path| path.extension().is_some_and(|ending| ending == "csv" || ending == "parquet");
        anyhow::ensure!(
            is_table(&self.data),
            "'{}' is neither a prediction log nor a table; for a folder of images give the model with --model-file",
            self.data.display()
        );
        let model = self.model.context("--model is needed: a table does not say which model it is of")?;
        of_table(&self.data, &model, &of)
    }
}

#[cfg(feature = "tables")]
fn of_table(path: &Path, model: &str, of: &Of<'_>) -> anyhow::Result<takt_artifact::profile::Profile> {
    Ok(reference::of_table(path, model, of)?)
}

#[cfg(not(feature = "tables"))]
fn of_table(_: &Path, _: &str, _: &Of<'_>) -> anyhow::Result<takt_artifact::profile::Profile> {
    crate::commands::needs_tables()
}
