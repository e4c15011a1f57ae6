//! `takt train` and `takt distil`.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use takt_pipeline::stage::{self, Architecture, MODEL, Start, Train};
use takt_pipeline::train::{Distil, Fitted, Settings};

use super::workshop::{ShopArgs, Workshop};

/// Train a classifier on a folder of images.
#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    fit: FitArgs,
}

/// Train a classifier that learns from a larger one.
#[derive(Debug, Args)]
pub struct DistilArgs {
    #[command(flatten)]
    fit: FitArgs,
    /// The frozen teacher
    #[arg(long, value_name = "ONNX")]
    teacher: PathBuf,
    /// By what logits are divided before the softmax [default: 4]
    #[arg(long)]
    temperature: Option<f64>,
    /// Weight of the teacher's answers against the labels [default: 0.9]
    #[arg(long)]
    alpha: Option<f64>,
    /// Weight of the mean squared difference of logits [default: 0]
    #[arg(long)]
    logits_l2: Option<f64>,
    /// Weight of the mean squared difference of features, each channel averaged over the image; the student must be one that the
    /// teacher was pruned to, or as wide [default: 0]
    #[arg(long, value_name = "WEIGHT")]
    feature_weight: Option<f64>,
    /// Value of the graph that is compared as features [default: what the last layer reads]
    #[arg(long, value_name = "VALUE", requires = "feature_weight")]
    tap: Option<String>,
    /// The same in the teacher's graph [default: as --tap]
    #[arg(long, value_name = "VALUE", requires = "feature_weight")]
    teacher_tap: Option<String>,
    /// Views of each image for which the teacher's answers are kept [default: 8]
    #[arg(long)]
    views: Option<u64>,
}

#[derive(Debug, Args)]
struct FitArgs {
    /// Folder of labelled images: labels.csv, a folder per class, MVTec AD or DAGM 2007
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the model, its metrics and checkpoints
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A network to begin from nothing
    #[arg(long, value_enum, conflicts_with = "model")]
    arch: Option<Arch>,
    /// Factor on the network's numbers of channels
    #[arg(long, default_value_t = 1.0, requires = "arch")]
    width: f64,
    /// Height and width of the network's input
    #[arg(long, value_name = "PIXELS", default_value_t = 64, requires = "arch")]
    size: usize,
    /// A model to begin from, such as an export from PyTorch
    #[arg(long, value_name = "ONNX")]
    model: Option<PathBuf>,
    /// Give the model a fresh last layer for the classes of the data: it keeps what it sees, and learns what to make of it
    #[arg(long, requires = "model")]
    new_head: bool,
    /// TOML file with settings; flags go before it
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Passes over the training images [default: 30]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Images per step [default: 32]
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    /// Greatest learning rate [default: 0.05]
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// End when the validation figure has not improved for so many epochs
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<u32>,
    /// Start of all randomness [default: 0]
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    shop: ShopArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Arch {
    /// ResNet-18
    Resnet18,
    /// ResNet-50
    Resnet50,
    /// The ResNet for small images, 20 layers
    Resnet20,
    /// MobileNetV2
    MobilenetV2,
}

/// Runs `takt train ...`.
pub fn train(args: TrainArgs) -> anyhow::Result<ExitCode> {
    args.fit.run(None)
}

/// Runs `takt distil ...`.
pub fn distil(args: DistilArgs) -> anyhow::Result<ExitCode> {
    let plain = Distil::default();
    let distil = Distil {
        temperature: args.temperature.unwrap_or(plain.temperature),
        alpha: args.alpha.unwrap_or(plain.alpha),
        logits_l2: args.logits_l2.unwrap_or(plain.logits_l2),
        features: args.feature_weight.unwrap_or(plain.features),
        tap: args.tap,
        teacher_tap: args.teacher_tap,
        views: args.views.unwrap_or(plain.views),
    };
    args.fit.run(Some((args.teacher, distil)))
}

impl FitArgs {
    fn run(self, teacher: Option<(PathBuf, Distil)>) -> anyhow::Result<ExitCode> {
        let start = match (self.arch, self.model) {
            (Some(arch), None) => Start::Architecture { name: arch.into(), width: self.width, size: self.size },
            (None, Some(path)) => Start::Model(path),
            _ => bail!("say what to begin with: --arch resnet18 (or another), or --model FILE.onnx"),
        };
        let mut settings = read_settings(self.settings.as_deref())?;
        settings.epochs = self.epochs.unwrap_or(settings.epochs);
        settings.batch = self.batch.unwrap_or(settings.batch);
        settings.learning_rate = self.learning_rate.unwrap_or(settings.learning_rate);
        settings.patience = self.patience.or(settings.patience);
        settings.seed = self.seed.unwrap_or(settings.seed);
        let workshop = Workshop::new(self.shop, settings.epochs)?;
        let run = Train { start, settings, teacher, new_head: self.new_head };
        let fitted = stage::train(&self.data, &self.out, &run, &workshop.shop())?;
        let json = workshop.json();
        drop(workshop);
        tell(&fitted, &self.out.join(MODEL), json)
    }
}

/// Settings from a file, or the defaults.
pub fn read_settings(path: Option<&std::path::Path>) -> anyhow::Result<Settings> {
    let Some(path) = path else { return Ok(Settings::default()) };
    toml::from_str(&super::read_text(path)?).with_context(|| format!("'{}'", path.display()))
}

fn tell(fitted: &Fitted, model: &std::path::Path, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let best = fitted.records.iter().find(|record| record.epoch == fitted.best);
    if json {
        let told = serde_json::json!({ "model": model, "best": best, "epochs": fitted.records.len() });
        super::write_json(&mut out, &told)?;
    } else if let Some(best) = best {
        let balanced = 100.0 * best.balanced_accuracy;
        writeln!(
            out,
            "{}: balanced accuracy {balanced:.2} % on the validation split, epoch {}",
            model.display(),
            best.epoch
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

impl From<Arch> for Architecture {
    fn from(arch: Arch) -> Self {
        match arch {
            Arch::Resnet18 => Self::Resnet18,
            Arch::Resnet50 => Self::Resnet50,
            Arch::Resnet20 => Self::Resnet20,
            Arch::MobilenetV2 => Self::MobilenetV2,
        }
    }
}
