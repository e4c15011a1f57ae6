//! `takt data pull`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use takt_monitoring::capture::Reason;
use takt_pipeline::labelling;

use crate::commands::workshop::{Bar, stop_flag};
use crate::commands::{warn_skipped, write_json};

/// Copy the images that a server kept into a folder with labels.csv, to be labelled. Run again, it adds what is new.
#[derive(Debug, Args)]
pub struct Pull {
    /// A server's state directory, or the folder monitor/images in it; the server may be running
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Folder to write to: a new one, an empty one, or one that was pulled into
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Images that were kept for these reasons; all when not given
    #[arg(long, value_enum, value_delimiter = ',')]
    reasons: Vec<Why>,
    /// Images of this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Print what was pulled as JSON
    #[arg(long)]
    json: bool,
}

/// Why an image was kept.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Why {
    /// Flagged, and an inspector said it was good
    FalseReject,
    /// Two versions disagreed
    Disagreeing,
    /// Its features had drifted
    Drifted,
    /// The verdict was left to a person
    Uncertain,
    /// The model flagged it
    Flagged,
    /// Drawn at random
    OneInN,
}

impl Pull {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let reasons = self.reasons.iter().map(|reason| match reason {
            Why::FalseReject => Reason::FalseReject,
            Why::Disagreeing => Reason::Disagreeing,
            Why::Drifted => Reason::Drifted,
            Why::Uncertain => Reason::Uncertain,
            Why::Flagged => Reason::Flagged,
            Why::OneInN => Reason::OneInN,
        });
        let wanted = labelling::Pull { reasons: reasons.collect(), model: self.model };
        let (stop, bar) = (stop_flag()?, Bar::new("{bar:40} {pos}/{len} images, {eta} left"));
        let pulled = labelling::pull(&self.from, &self.out, &wanted, &bar, &stop)?;
        drop(bar);
        let pulled = pulled.context("interrupted; the same command goes on")?;
        warn_skipped(&pulled.unreadable);
        let mut out = std::io::stdout().lock();
        if self.json {
            write_json(&mut out, &pulled)?;
        } else {
            let (labels, known) = (self.out.join("labels.csv"), pulled.known);
            writeln!(out, "{} images are new in {}; {known} were there already", pulled.added, labels.display())?;
            writeln!(out, "fill in the column label; the model's suggestion is beside it")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
