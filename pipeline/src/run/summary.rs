//! What a run did, as a table and as JSON.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::decide::Why;
use super::key::{Key, Keyed};
use super::record::Record;

/// Most figures of a stage in the table; JSON has all of them.
const SHOWN: usize = 4;

/// What a run did. Displays as a table for a terminal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Version of this format.
    pub schema: u32,
    /// How it ended.
    pub ended: Ended,
    /// The stages, inputs first.
    pub stages: Vec<Row>,
    /// How long it took.
    pub seconds: f64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Every stage has its result.
    Done,
    /// A gate said no.
    Refused,
    /// A stage failed.
    Failed,
    /// It was stopped.
    Stopped,
}

/// What a run did about a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub stage: String,
    /// What it does.
    pub kind: String,
    /// Its key.
    pub key: Key,
    /// What happened.
    #[serde(flatten)]
    pub happened: Happened,
    /// Why it ran, if it did.
    pub why: Option<Why>,
    /// How long it took in this run; `None` if it did not run.
    pub seconds: Option<f64>,
    /// Figures of its result.
    #[serde(serialize_with = "in_order")]
    pub figures: Vec<(String, Value)>,
    /// Its result, or what the next run goes on from.
    pub folder: Option<PathBuf>,
}

/// What happened to a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "happened", rename_all = "snake_case")]
pub enum Happened {
    /// It ran and has its result.
    Ran,
    /// Its result was there.
    Cached,
    /// It has its result, and a gate in it said no.
    Refused {
        /// Why.
        reason: String,
        /// Whether the result was there.
        cached: bool,
    },
    /// It has no result.
    Failed {
        /// Why, with causes and what to do.
        error: String,
    },
    /// It was asked to stop and did.
    Stopped,
    /// The run ended before it.
    NotReached,
}

impl Happened {
    /// How a run ends after this; `Done` where it goes on.
    pub(super) const fn ends(&self) -> Ended {
        match self {
            Self::Ran | Self::Cached | Self::NotReached => Ended::Done,
            Self::Refused { .. } => Ended::Refused,
            Self::Failed { .. } => Ended::Failed,
            Self::Stopped => Ended::Stopped,
        }
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ran => "ran",
            Self::Cached => "cached",
            Self::Refused { cached: false, .. } => "REFUSED",
            Self::Refused { cached: true, .. } => "REFUSED, cached",
            Self::Failed { .. } => "FAILED",
            Self::Stopped => "stopped",
            Self::NotReached => "not reached",
        })
    }
}

impl Row {
    pub(super) fn new(step: &Keyed<'_>, happened: Happened) -> Self {
        Self {
            stage: step.name.to_owned(),
            kind: step.stage.kind().to_owned(),
            key: step.key.clone(),
            happened,
            why: None,
            seconds: None,
            figures: Vec::new(),
            folder: None,
        }
    }

    pub(super) fn ran(step: &Keyed<'_>, record: &Record, folder: PathBuf) -> Self {
        Self::complete(step, record, folder, false)
    }

    pub(super) fn cached(step: &Keyed<'_>, record: &Record, folder: PathBuf) -> Self {
        Self::complete(step, record, folder, true)
    }

    pub(super) fn unfinished(step: &Keyed<'_>, happened: Happened, folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..Self::new(step, happened) }
    }

    fn complete(step: &Keyed<'_>, record: &Record, folder: PathBuf, cached: bool) -> Self {
        let happened = match &record.refused {
            Some(reason) => Happened::Refused { reason: reason.clone(), cached },
            None if cached => Happened::Cached,
            None => Happened::Ran,
        };
        Self { figures: record.figures.clone(), folder: Some(folder), ..Self::new(step, happened) }
    }
}

impl Summary {
    pub(super) fn new(ended: Ended, stages: Vec<Row>, seconds: f64) -> Self {
        Self { schema: 1, ended, stages, seconds }
    }

    /// What the program ends with: 0 done, 1 failed, 3 a gate said no, 130 stopped (128 and the number of SIGINT).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.ended {
            Ended::Done => 0,
            Ended::Failed => 1,
            Ended::Refused => 3,
            Ended::Stopped => 130,
        }
    }

    /// The row of a stage.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&Row> {
        self.stages.iter().find(|row| row.stage == name)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.stages.iter().map(|row| row.stage.len()).chain([5]).max().unwrap_or(5);
        writeln!(f, "{:<name$}  {:<15}  {:>8}  figures", "stage", "what happened", "seconds")?;
        for row in &self.stages {
            let seconds = row.seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"));
            let figures = row.figures.iter().take(SHOWN).map(|(name, value)| format!("{name} {}", figure(value)));
            let figures = figures.collect::<Vec<_>>().join(", ");
            let line = format!("{:<name$}  {:<15}  {seconds:>8}  {figures}", row.stage, row.happened);
            writeln!(f, "{}", line.trim_end())?;
        }
        writeln!(f)?;
        for row in &self.stages {
            match &row.happened {
                Happened::Refused { reason, .. } => writeln!(f, "{} says no: {reason}", row.stage)?,
                Happened::Failed { error } => writeln!(f, "{} failed: {error}", row.stage)?,
                _ => {}
            }
        }
        let seconds = self.seconds;
        match self.ended {
            Ended::Done => writeln!(f, "done in {seconds:.1} s"),
            Ended::Refused => writeln!(
                f,
                "refused after {seconds:.1} s; the report is kept, and the same run says the same until something changes"
            ),
            Ended::Failed => writeln!(f, "failed after {seconds:.1} s; what is complete is kept, run again to go on"),
            Ended::Stopped => writeln!(f, "stopped after {seconds:.1} s; run again to go on"),
        }
    }
}

/// Fractions with up to four decimals, text without quotes.
fn figure(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            let text = format!("{:.4}", number.as_f64().unwrap_or(f64::NAN));
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        other => other.to_string(),
    }
}

/// As an object whose fields keep the order of the figures.
fn in_order<S: Serializer>(figures: &[(String, Value)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(figures.iter().map(|(name, value)| (name, value)))
}
