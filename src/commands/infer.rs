//! `takt infer`: sends images to a server and prints what it says of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use crate::client::{self, Classifier, Failure, Origin, Prediction, Question, Ranked, ServerArgs};

/// Ask a server about images.
#[derive(Debug, Args)]
#[command(disable_version_flag = true, override_usage = "takt infer <MODEL> --image <FILE>... [OPTIONS]")]
pub struct InferArgs {
    /// The model to ask
    model: String,
    /// Images to classify: JPEG, PNG or BMP; everything up to the next flag
    #[arg(long = "image", value_name = "FILE", required = true, num_args = 1..)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    /// Version to ask [default: the server chooses]
    #[arg(long = "version", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    model_version: Option<u64>,
    /// Input that takes the image [default: the only one that can]
    #[arg(long, value_name = "NAME")]
    input: Option<String>,
    /// Number of classes to name
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    #[command(flatten)]
    origin: Origin,
    /// How long the answer to one image may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,
    /// Print one JSON object per image
    #[arg(long)]
    json: bool,
}

/// One line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a Path,
    #[serde(flatten)]
    prediction: Option<&'a Prediction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

/// Runs `takt infer ...`.
pub fn run(args: InferArgs) -> anyhow::Result<ExitCode> {
    let InferArgs { model, images, server, model_version, input, top, origin, timeout, json } = args;
    let question = Question { model, version: model_version, input, top, timeout, origin };
    client::block_on(async {
        let classifier = Classifier::connect(&server.url, question).await?;
        let width = images.iter().map(|image| image.display().to_string().chars().count()).max().unwrap_or(0);
        let mut out = std::io::stdout().lock();
        if !json {
            writeln!(
                out,
                "{:width$}  {:9}  {:12}  {:>6}  {:>10}  VALUES",
                "FILE", "VERDICT", "CLASS", "SCORE", "LATENCY"
            )?;
        }
        let mut failed = 0;
        for (file, answer) in images.iter().zip(classifier.classify_files(&images)) {
            let answer = answer.await?;
            failed += usize::from(answer.is_err());
            if json {
                let line = Line { file, prediction: answer.as_ref().ok(), error: answer.as_ref().err() };
                serde_json::to_writer(&mut out, &line)?;
                writeln!(out)?;
            } else {
                match answer {
                    Ok(prediction) => write_row(&mut out, file, width, &prediction)?,
                    Err(failure) => super::report(&anyhow::anyhow!("{}: {failure}", file.display())),
                }
            }
        }
        if failed > 0 {
            bail!("{failed} of {} images have no prediction", images.len());
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn write_row(out: &mut impl Write, file: &Path, width: usize, prediction: &Prediction) -> std::io::Result<()> {
    let class = prediction.class().unwrap_or_else(|| "-".to_owned());
    let score = prediction.score().map_or("-".to_owned(), |score| format!("{score:.3}"));
    let latency = format!("{:.1} ms", prediction.latency_ms);
    let value = |ranked: &Ranked| format!("{} {:.2}", ranked.name(), ranked.value);
    let outputs = prediction.outputs.iter().map(|output| {
        let top = output.top.iter().map(value).collect::<Vec<_>>().join(", ");
        if prediction.outputs.len() > 1 { format!("{}: {top}", output.output) } else { top }
    });
    let values = outputs.collect::<Vec<_>>().join("; ");
    let file = file.display().to_string();
    writeln!(out, "{file:width$}  {:9}  {class:12}  {score:>6}  {latency:>10}  {values}", prediction.verdict())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let expected = || format!("'{text}' is no time; expected seconds above 0, such as 30 or 0.5");
    let seconds: f64 = text.parse().map_err(|_| expected())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero()).ok_or_else(expected)
}
