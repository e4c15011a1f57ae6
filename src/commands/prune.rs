//! `takt prune`.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use takt_pipeline::prune::{Criterion, Measure, Settings as Cut};
use takt_pipeline::stage::{self, MODEL, Prune};
use takt_pipeline::train::Distil;

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
    /// Share of the measure that may stay
    #[arg(long, value_name = "SHARE", default_value_t = 0.25)]
    keep: f64,
    /// What is to shrink
    #[arg(long, value_enum, default_value = "macs")]
    measure: By,
    /// By what a channel is judged
    #[arg(long, value_enum, default_value = "gamma")]
    criterion: Judge,
    /// Rounds of cutting and fine-tuning
    #[arg(long, value_name = "N", default_value = "2")]
    rounds: NonZeroU32,
    /// Channels kept are a multiple of this
    #[arg(long, value_name = "N", default_value_t = 8)]
    block: usize,
    /// Points of balanced accuracy that may be lost; a round that loses more is taken back
    #[arg(long, value_name = "POINTS")]
    max_drop: Option<f64>,
    /// Epochs of fine-tuning in each round [default: 30, or as the settings say]
    #[arg(long, value_name = "N")]
    epochs: Option<u32>,
    /// TOML file with settings of the fine-tuning
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(flatten)]
    shop: ShopArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Multiply-accumulates
    Macs,
    /// Weights
    Parameters,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Judge {
    /// Batch normalisation's factor
    Gamma,
    /// Sum of its weights' magnitudes
    L1,
    /// Root of its weights' squares
    L2,
}

/// Runs `takt prune ...`.
pub fn run(args: PruneArgs) -> anyhow::Result<ExitCode> {
    let mut settings = read_settings(args.settings.as_deref())?;
    settings.epochs = args.epochs.unwrap_or(settings.epochs);
    let workshop = Workshop::new(args.shop, settings.epochs)?;
    let measure = match args.measure {
        By::Macs => Measure::Macs,
        By::Parameters => Measure::Parameters,
    };
    let criterion = match args.criterion {
        Judge::Gamma => Criterion::Gamma,
        Judge::L1 => Criterion::L1,
        Judge::L2 => Criterion::L2,
    };
    let run = Prune {
        model: args.model,
        cut: Cut { measure, keep: args.keep, block: args.block, ..Cut::default() },
        criterion,
        rounds: args.rounds,
        settings,
        distil: Distil::default(),
        max_drop: args.max_drop,
    };
    let pruned = stage::prune(&args.data, &args.out, &run, &workshop.shop())?;
    let json = workshop.json();
    drop(workshop);
    let mut out = std::io::stdout().lock();
    if json {
        super::write_json(&mut out, &pruned)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (number, round) in (1..).zip(&pruned.rounds) {
        let [from, to] = round.macs.map(|macs| macs as f64 / 1e6);
        let [had, has] = round.parameters.map(|count| count as f64 / 1e6);
        let balanced = 100.0 * round.balanced_accuracy;
        writeln!(
            out,
            "round {number}: {from:.1} to {to:.1} million multiply-accumulates, {had:.2} to {has:.2} million weights, balanced \
             accuracy {balanced:.2} %"
        )?;
    }
    if let Some(reason) = &pruned.ended_early {
        writeln!(out, "ended early: {reason}")?;
    }
    writeln!(out, "{}", args.out.join(MODEL).display())?;
    Ok(ExitCode::SUCCESS)
}
