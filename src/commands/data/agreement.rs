//! `takt data agreement`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use serde::Serialize;
use takt_monitoring::agreement::{ReviewLimits, Weights};
use takt_monitoring::events::Name;
use takt_pipeline::labelling::{self, Applied, Decided};

use crate::commands::{REFUSED, write_json};

/// Say how far annotators agree, which batches an expert should look at, and settle labels.
///
/// ANNOTATIONS is a CSV file with the columns item, annotator, class and perhaps batch.
#[derive(Debug, Args)]
pub struct Agreement {
    /// CSV file of annotations
    annotations: PathBuf,
    /// Classes in their order, which weighted kappas depend on; those that occur, sorted, when not given
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    classes: Vec<String>,
    /// How much a disagreement counts in Cohen's kappa
    #[arg(long, value_enum, default_value_t = By::None)]
    weights: By,
    /// Share of disputed items above which a batch goes to an expert
    #[arg(long, value_name = "SHARE", default_value_t = 0.15)]
    limit: f64,
    /// Annotators that must have rated an item for it to count
    #[arg(long, value_name = "N", default_value_t = 3)]
    annotators: usize,
    /// Rulings of experts (JSON); it is made where it is not there
    #[arg(long, value_name = "FILE")]
    rulings: Option<PathBuf>,
    /// CSV file with the columns item and class: what an expert decided, to be recorded as rulings
    #[arg(long, value_name = "FILE", requires_all = ["rulings", "expert"])]
    decide: Option<PathBuf>,
    /// Who decided
    #[arg(long, value_name = "NAME", requires = "decide")]
    expert: Option<String>,
    /// What the labelling guide says from now on
    #[arg(long, value_name = "TEXT", requires = "decide", default_value = "")]
    reason: String,
    /// Write all labels as CSV
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Put settled labels into this label file (columns file and label), where a row's file is an item
    #[arg(long, value_name = "FILE")]
    apply: Option<PathBuf>,
    /// Exit code 3 where a batch should go to an expert
    #[arg(long)]
    fail_on_review: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// How much a disagreement counts, by how far apart the classes are.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// All alike
    None,
    /// As far as they are apart
    Linear,
    /// As the square of that
    Quadratic,
}

#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    agreement: labelling::Agreement,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<Decided>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Applied>,
}

impl Agreement {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::ensure!((0.0..=1.0).contains(&self.limit), "--limit is {}, expected a share from 0 to 1", self.limit);
        anyhow::ensure!(self.annotators >= 2, "--annotators is {}, expected at least 2", self.annotators);
        let annotations = labelling::read(&self.annotations, &self.classes)?;
        let mut rulings = self.rulings.as_deref().map(labelling::open).transpose()?.unwrap_or_default();
        let decided = match (&self.decide, &self.expert, &self.rulings) {
            (Some(decisions), Some(expert), Some(to)) => {
                let (expert, at) = (Name::new(expert)?, SystemTime::now().into());
                let ratings = &annotations.ratings;
                Some(labelling::decide(decisions, ratings, &mut rulings, &expert, &self.reason, at, to)?)
            }
            _ => None,
        };
        let weights = match self.weights {
            By::None => Weights::None,
            By::Linear => Weights::Linear,
            By::Quadratic => Weights::Quadratic,
        };
        let limits = ReviewLimits { annotators: self.annotators, disagreement: self.limit };
        let agreement = labelling::agreement(&annotations, &rulings, weights, &limits)?;
        if let Some(path) = &self.labels {
            labelling::write_labels(path, &agreement.labels)?;
        }
        let applied = self.apply.as_deref().map(|path| labelling::apply(path, &agreement.labels)).transpose()?;
        let review = agreement.for_review().next().is_some();
        let told = Told { agreement, decided, applied };
        let mut out = std::io::stdout().lock();
        if self.json {
            write_json(&mut out, &told)?;
        } else {
            told.write(&mut out)?;
        }
        Ok(if self.fail_on_review && review { ExitCode::from(REFUSED) } else { ExitCode::SUCCESS })
    }
}

impl Told {
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        write!(out, "{}", self.agreement.render())?;
        if let Some(Decided { recorded, known, guide }) = self.decided {
            writeln!(out, "{recorded} rulings recorded, {known} were known; the guide's version is {guide}")?;
        }
        if let Some(Applied { changed, kept, open, absent }) = self.applied {
            writeln!(out, "{changed} labels changed, {kept} were so already, {open} rows are not settled")?;
            if absent > 0 {
                writeln!(out, "{absent} settled items are no row of the label file")?;
            }
        }
        Ok(())
    }
}
