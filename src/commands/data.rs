//! `takt data`: images and tables to train and to measure with, and their labels.

mod agreement;
mod profile;
mod pull;
mod validate;

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use takt_pipeline::data::surface::{
    self, CountSettings, KnobSettings, Label, LabelFile, Plan, Settings, Split, Summary,
};

use super::workshop::{Bar, stop_flag};

/// Images to train and to measure with.
#[derive(Debug, Args)]
pub struct DataArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a seeded set of synthetic images: the same settings give the same bytes on every machine.
    Generate(Generate),
    Validate(validate::Validate),
    Profile(profile::Profile),
    Pull(pull::Pull),
    Agreement(agreement::Agreement),
}

/// What can be generated.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Textured surfaces with scratches, dents, stains, holes and cracks, or none.
    SurfaceDefects,
}

/// What the labels are written as.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Labels {
    /// labels.csv
    Csv,
    /// labels.parquet, in a build with the feature `tables`
    Parquet,
}

#[derive(Debug, Args)]
struct Generate {
    /// What to generate.
    #[arg(value_enum, default_value_t = Kind::SurfaceDefects)]
    kind: Kind,
    /// Folder to write to: a new one, an empty one, or one to go on with.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// TOML file with settings, such as `[knobs] contrast = 0.8`; what is given on the command line goes before it.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Start of all randomness [default: 1].
    #[arg(long)]
    seed: Option<u64>,
    /// Factor on the default number of images of every split that is not given itself [default: 1].
    #[arg(long, value_name = "FACTOR")]
    scale: Option<f64>,
    /// Number of images to train with [default: 6000].
    #[arg(long, value_name = "N")]
    train: Option<u32>,
    /// Number of images to choose settings with [default: 2000]. No split shares a product or a texture with another.
    #[arg(long, value_name = "N")]
    validation: Option<u32>,
    /// Number of images to calibrate quantisation with [default: 500].
    #[arg(long, value_name = "N")]
    calibration: Option<u32>,
    /// Number of images to report on [default: 20000].
    #[arg(long, value_name = "N")]
    test: Option<u32>,
    /// Number of images of a healthy line in the order of time, to measure drift against [default: 5000].
    #[arg(long, value_name = "N")]
    reference: Option<u32>,
    /// Width and height of the images in pixels [default: 256].
    #[arg(long, value_name = "PIXELS")]
    size: Option<u16>,
    /// JPEG quality, 1 to 100 [default: 90].
    #[arg(long)]
    jpeg_quality: Option<u8>,
    /// Fraction of images without a defect, except in the reference [default: 0.4]; 0.1667 gives every class the same.
    #[arg(long, value_name = "FRACTION")]
    ok_share: Option<f32>,
    /// How much defects stand out, relative to the default.
    #[arg(long, value_name = "FACTOR")]
    contrast: Option<f32>,
    /// How uneven and changing the light is, relative to the default.
    #[arg(long, value_name = "FACTOR")]
    lighting: Option<f32>,
    /// Lens blur, relative to the default.
    #[arg(long, value_name = "FACTOR")]
    blur: Option<f32>,
    /// Sensor noise, relative to the default.
    #[arg(long, value_name = "FACTOR")]
    noise: Option<f32>,
    /// How much stations differ from one another, relative to the default.
    #[arg(long, value_name = "FACTOR")]
    station_shift: Option<f32>,
    /// The file of labels.
    #[arg(long, value_enum, default_value_t = Labels::Csv)]
    labels: Labels,
    /// Threads to use; all cores by default. Does not change the images.
    #[arg(long, value_name = "N", value_parser = super::workshop::threads)]
    threads: Option<NonZeroUsize>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `takt data ...`.
pub fn run(args: DataArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Generate(args) => match args.kind {
            Kind::SurfaceDefects => surface_defects(&args),
        },
        Command::Validate(args) => validate::run(&args),
        Command::Profile(args) => args.run(),
        Command::Pull(args) => args.run(),
        Command::Agreement(args) => args.run(),
    }
}

fn surface_defects(args: &Generate) -> anyhow::Result<ExitCode> {
    let (plan, labels) = (args.plan()?, args.labels.file()?);
    // Files are always whole and a second run goes on, so a signal only has to stop the threads.
    let cancel = stop_flag()?;
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = args.threads.unwrap_or_else(cores);
    let bar = Bar::new("{bar:40} {pos}/{len} images, {per_sec}, {eta} left");
    let result = surface::generate(&plan, &args.out, labels, threads, &bar, &cancel);
    drop(bar);
    let summary = result?;
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &summary)?;
        writeln!(out)?;
    } else {
        write_summary(&mut out, &plan, &args.out, &summary)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Labels {
    fn file(self) -> anyhow::Result<LabelFile> {
        match self {
            Self::Csv => Ok(LabelFile::Csv),
            #[cfg(feature = "tables")]
            Self::Parquet => Ok(LabelFile::Parquet),
            #[cfg(not(feature = "tables"))]
            Self::Parquet => anyhow::bail!(
                "this build writes no Parquet; take --labels csv, or build it with: cargo build --release --features tables"
            ),
        }
    }
}

impl Generate {
    fn plan(&self) -> anyhow::Result<Plan> {
        let file = match &self.settings {
            Some(path) => read_settings(path)?,
            None => Settings::default(),
        };
        Ok(self.asked().or(file).plan()?)
    }

    /// What the command line says.
    fn asked(&self) -> Settings {
        Settings {
            seed: self.seed,
            size: self.size,
            jpeg_quality: self.jpeg_quality,
            scale: self.scale,
            counts: CountSettings {
                train: self.train,
                validation: self.validation,
                calibration: self.calibration,
                test: self.test,
                reference: self.reference,
            },
            knobs: KnobSettings {
                ok_share: self.ok_share,
                contrast: self.contrast,
                lighting: self.lighting,
                blur: self.blur,
                noise: self.noise,
                station_shift: self.station_shift,
            },
        }
    }
}

fn read_settings(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Settings::parse(&text).with_context(|| format!("{} has no settings for `takt data generate`", path.display()))
}

fn write_summary(out: &mut impl Write, plan: &Plan, folder: &Path, summary: &Summary) -> std::io::Result<()> {
    let total = summary.made + summary.kept;
    write!(out, "{total} images of {0} x {0} pixels in ", plan.size)?;
    writeln!(out, "{}", folder.display())?;
    if summary.kept > 0 {
        writeln!(out, "  {} of them were there already", summary.kept)?;
    }
    write!(out, "\n{:12}", "")?;
    for label in Label::ALL {
        write!(out, "{:>9}", label.name())?;
    }
    writeln!(out)?;
    for split in Split::ALL {
        let Some(counts) = summary.counts.get(&split) else {
            continue;
        };
        write!(out, "{:12}", split.name())?;
        for label in Label::ALL {
            write!(out, "{:>9}", counts.get(&label).copied().unwrap_or(0))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\nlabels   {}", summary.labels.display())?;
    writeln!(out, "digest   sha256:{}", summary.digest)
}
