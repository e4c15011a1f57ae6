//! `takt prune`.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use takt_pipeline::prune::{Criterion, Keep, Measure, Select, Settings as Cut};
use takt_pipeline::stage::{self, MODEL, Prune, Pruned};
use takt_pipeline::train::{Distil, Sparsity};

use super::fit::read_settings;
use super::workshop::{ShopArgs, Workshop};

/// Drop the channels that a model can do without, and fine-tune what is left with the model as it was for a teacher.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The model
    model: PathBuf,
    /// Folder of labelled images
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the smaller model
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    target: Target,
    /// What --keep is a share of [default: macs]
    #[arg(long, value_enum, requires = "keep")]
    measure: Option<By>,
    /// By what a channel is judged
    #[arg(long, value_enum, default_value = "gamma")]
    criterion: Judge,
    /// From which groups of channels
    #[arg(long, value_enum, default_value = "greedy")]
    select: From,
    /// Rounds of cutting and fine-tuning
    #[arg(long, value_name = "N", default_value = "2")]
    rounds: NonZeroU32,
    /// Channels kept are a multiple of this
    #[arg(long, value_name = "N", default_value_t = 8)]
    block: usize,
    /// Drive whole channels to zero before the first cut, so strongly: per step, factors of batch normalisation lose this times the
    /// learning rate; try 0.02 with some thousand steps, more with fewer
    #[arg(long, value_name = "STRENGTH")]
    sparsity: Option<f64>,
    /// How many such epochs
    #[arg(long, value_name = "N", requires = "sparsity", default_value_t = stage::sparse_epochs())]
    sparse_epochs: u32,
    /// Points of balanced accuracy that may be lost; a round that loses more is taken back, and smaller cuts are tried
    #[arg(long, value_name = "POINTS")]
    max_drop: Option<f64>,
    /// Epochs of fine-tuning in each round [default: 30, or as the settings say]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// Weight of the mean squared difference to the model's features as it was, in fine-tuning [default: 0]
    #[arg(long, value_name = "WEIGHT")]
    feature_weight: Option<f64>,
    /// TOML file with settings of the fine-tuning
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// File of latencies measured before, and for those to come [default: latency.json in --out]
    #[arg(long, value_name = "FILE")]
    latencies: Option<PathBuf>,
    #[command(flatten)]
    shop: ShopArgs,
}

/// How far to cut.
#[derive(Debug, Clone, Copy, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Time of one image that may stay, as a share (0.2x) or in milliseconds (5ms): of its convolutions and matrix products in
    /// INT8 on one thread, each measured on this machine; needs ONNX Runtime
    #[arg(long, value_name = "TIME", value_parser = |text: &str| amount(text, Measure::Latency))]
    latency: Option<Keep>,
    /// Size of the INT8 artefact that may stay, as a share (0.2x) or in bytes (6MB, 800kB): about a byte per weight
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| amount(text, Measure::Parameters))]
    size: Option<Keep>,
    /// Multiply-accumulates that may stay, as a share (0.2x)
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| amount(text, Measure::Macs))]
    macs: Option<Keep>,
    /// Share of --measure that may stay
    #[arg(long, value_name = "SHARE")]
    keep: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Multiply-accumulates
    Macs,
    /// Weights
    Parameters,
    /// Milliseconds
    Latency,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Judge {
    /// Batch normalisation's factor
    Gamma,
    /// Sum of its weights' magnitudes
    L1,
    /// Root of its weights' squares
    L2,
    /// By how much the loss would change, from gradients on training images; also where batch normalisation is folded
    Taylor,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// Where they are missed least for what they save
    Greedy,
    /// From all alike: the same share of every group
    Uniform,
}

/// An amount of that measure.
fn amount(text: &str, measure: Measure) -> Result<Keep, String> {
    text.parse::<Keep>()?.of(measure)
}

/// Runs `takt prune ...`.
pub fn run(args: PruneArgs) -> anyhow::Result<ExitCode> {
    let mut settings = read_settings(args.settings.as_deref())?;
    settings.epochs = args.epochs.unwrap_or(settings.epochs);
    let workshop = Workshop::new(args.shop, settings.epochs)?;
    let (measure, keep) = args.target.chosen(args.measure);
    let criterion = match args.criterion {
        Judge::Gamma => Criterion::Gamma,
        Judge::L1 => Criterion::L1,
        Judge::L2 => Criterion::L2,
        Judge::Taylor => Criterion::Taylor,
    };
    let select = match args.select {
        From::Greedy => Select::Greedy,
        From::Uniform => Select::Uniform,
    };
    let plain = Distil::default();
    let run = Prune {
        model: args.model,
        cut: Cut { measure, keep, select, block: args.block, ..Cut::default() },
        criterion,
        sparsity: args.sparsity.map(|strength| Sparsity { strength }),
        sparse_epochs: args.sparse_epochs,
        rounds: args.rounds,
        settings,
        distil: Distil { features: args.feature_weight.unwrap_or(plain.features), ..plain },
        max_drop: args.max_drop,
        latencies: args.latencies,
    };
    let pruned = stage::prune(&args.data, &args.out, &run, &workshop.shop())?;
    let json = workshop.json();
    drop(workshop);
    let mut out = std::io::stdout().lock();
    if json {
        super::write_json(&mut out, &pruned)?;
        return Ok(ExitCode::SUCCESS);
    }
    tell(&mut out, &pruned)?;
    writeln!(out, "{}", args.out.join(MODEL).display())?;
    Ok(ExitCode::SUCCESS)
}

impl Target {
    /// The one that was given; clap has seen to it that there is one.
    fn chosen(self, measure: Option<By>) -> (Measure, Keep) {
        let Self { latency, size, macs, keep } = self;
        let given = [(Measure::Latency, latency), (Measure::Parameters, size), (Measure::Macs, macs)];
        let of_measure = match measure {
            None | Some(By::Macs) => Measure::Macs,
            Some(By::Parameters) => Measure::Parameters,
            Some(By::Latency) => Measure::Latency,
        };
        let given = given.into_iter().find_map(|(measure, keep)| Some((measure, keep?)));
        given.unwrap_or((of_measure, Keep::Share(keep.unwrap_or(1.0))))
    }
}

fn tell(out: &mut impl Write, pruned: &Pruned) -> std::io::Result<()> {
    for (number, round) in (1..).zip(&pruned.rounds) {
        let [from, to] = round.macs.map(|macs| macs as f64 / 1e6);
        let [had, has] = round.parameters.map(|count| count as f64 / 1e6);
        let balanced = 100.0 * round.balanced_accuracy;
        let time = round.latency_ms.map(|[from, to]| format!("{from:.3} to {to:.3} ms, ")).unwrap_or_default();
        writeln!(
            out,
            "cut {number}: {time}{from:.1} to {to:.1} million multiply-accumulates, {had:.2} to {has:.2} million weights, \
             balanced accuracy {balanced:.2} %"
        )?;
    }
    for back in &pruned.taken_back {
        writeln!(out, "taken back: a cut to {:.1} % lost {:.2} points", 100.0 * back.share, back.lost)?;
    }
    match &pruned.ended_early {
        Some(reason) => writeln!(out, "ended early: {reason}"),
        None => Ok(()),
    }
}
