//! `takt quantize`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use takt_pipeline::quantise::Target;
use takt_pipeline::stage::{self, Quantise};

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
    #[command(flatten)]
    shop: ShopArgs,
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
    let workshop = Workshop::new(args.shop, 0)?;
    let targets = args.target.iter().map(|target| match target {
        For::CpuInt8Avx2 => Target::CpuInt8Avx2,
        For::CpuInt8 => Target::CpuInt8,
        For::TensorrtInt8 => Target::TensorrtInt8,
    });
    let run = Quantise { model: args.model, targets: targets.collect() };
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
    }
    Ok(ExitCode::SUCCESS)
}
