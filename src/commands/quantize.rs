//! `takt quantize`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};
use takt_pipeline::quantise::{Calibration, Options, Rounding, Target};
use takt_pipeline::stage::{self, Quantise, Tune};

use super::workshop::{ShopArgs, Workshop};

/// Turn a model's arithmetic into 8-bit integers, an artefact per target.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// The model in single precision
    model: PathBuf,
    /// Folder of labelled images; the calibration split is used, else some of the training split
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the artefacts
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Whom for; may be repeated
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["cpu-int8-avx2", "cpu-int8", "tensorrt-int8"])]
    target: Vec<For>,
    /// How ranges of activations are chosen [default: tries all and takes what comes nearest to single precision]
    #[arg(long, value_enum, value_name = "METHOD")]
    calibration: Option<Ranges>,
    /// Percentage of values that the range holds on either side
    #[arg(long, value_name = "PERCENT", default_value_t = 99.99)]
    percentile: f64,
    /// Even out channels between convolutions first
    #[arg(long)]
    equalise: bool,
    /// Round each weight to the nearest integer, rather than such that the layer's output changes least
    #[arg(long)]
    no_reconstruction: bool,
    /// Leave biases as they are, rather than keeping the means of channels
    #[arg(long)]
    no_bias_correction: bool,
    /// Points of balanced accuracy on the validation split that may be lost; a target that loses more is trained on its grids
    #[arg(long, value_name = "POINTS")]
    max_drop: Option<f64>,
    /// Passes over the training images for a target that loses more
    #[arg(long, value_name = "N", default_value_t = Tune::default().epochs, requires = "max_drop")]
    qat_epochs: u32,
    #[command(flatten)]
    shop: ShopArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ranges {
    /// Everything that was seen
    MinMax,
    /// All but the rarest values
    Percentile,
    /// Least divergence of the distribution
    Entropy,
    /// Least squared error
    Mse,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum For {
    /// ONNX Runtime on x86 without VNNI: 7-bit weights
    #[value(name = "cpu-int8-avx2")]
    CpuInt8Avx2,
    /// ONNX Runtime with VNNI or Arm's dot products
    #[value(name = "cpu-int8")]
    CpuInt8,
    /// TensorRT: symmetric
    #[value(name = "tensorrt-int8")]
    TensorrtInt8,
}

/// Runs `takt quantize ...`.
pub fn run(args: QuantizeArgs) -> anyhow::Result<ExitCode> {
    if !(args.percentile > 50.0 && args.percentile <= 100.0) {
        bail!("found --percentile {}, expected above 50 and at most 100, such as 99.99", args.percentile);
    }
    let tune = args.max_drop.map(|max_drop| Tune { max_drop, epochs: args.qat_epochs, ..Tune::default() });
    let workshop = Workshop::new(args.shop, tune.map_or(0, |tune| tune.epochs))?;
    let targets = args.target.iter().map(|target| match target {
        For::CpuInt8Avx2 => Target::CpuInt8Avx2,
        For::CpuInt8 => Target::CpuInt8,
        For::TensorrtInt8 => Target::TensorrtInt8,
    });
    let calibration = args.calibration.map(|ranges| match ranges {
        Ranges::MinMax => Calibration::MinMax,
        Ranges::Percentile => Calibration::Percentile(1.0 - args.percentile / 100.0),
        Ranges::Entropy => Calibration::Entropy,
        Ranges::Mse => Calibration::Mse,
    });
    let rounding = if args.no_reconstruction { Rounding::Nearest } else { Rounding::Reconstructed };
    let correct_bias = !args.no_bias_correction;
    let options = Options { calibration, equalise: args.equalise, rounding, correct_bias, ..Options::default() };
    let run = Quantise { model: args.model, targets: targets.collect(), options, tune };
    let reports = stage::quantise(&args.data, &args.out, &run, &workshop.shop())?;
    let json = workshop.json();
    drop(workshop);
    let mut out = std::io::stdout().lock();
    if json {
        super::write_json(&mut out, &reports)?;
        return Ok(ExitCode::SUCCESS);
    }
    for report in &reports {
        let worst = report.outputs.iter().map(|(_, agreement)| agreement.cosine()).fold(1.0, f64::min);
        writeln!(
            out,
            "{}: {} to {} bytes of weights, {} layers, cosine of the outputs {worst:.5}",
            args.out.join(format!("model.{}.onnx", report.target.name())).display(),
            report.bytes_before,
            report.bytes_after,
            report.layers.len()
        )?;
        let Some(accuracy) = report.accuracy else { continue };
        let [single, quantised] = [accuracy.single, accuracy.quantised].map(|share| 100.0 * share);
        let trained = accuracy.tuned.map(|tuned| format!(", {:.2} % trained", 100.0 * tuned)).unwrap_or_default();
        writeln!(out, "  balanced accuracy {single:.2} % in single precision, {quantised:.2} % quantised{trained}")?;
        if let Some(most) = tune.map(|tune| tune.max_drop).filter(|&most| accuracy.drop() > most) {
            writeln!(out, "  loses {:.2} points, more than {most}; more --qat-epochs may help", accuracy.drop())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
