//! A plan before it runs: what is there, what would run, and why.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::decide::{Contents, Decision, Why, decide};
use super::drive::Options;
use super::error::RunError;
use super::key::{Key, keyed};
use super::plan::Plan;
use super::store::Store;

/// How a plan stands. Displays as a table for a terminal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overview {
    /// Version of this format.
    pub schema: u32,
    /// The stages, inputs first.
    pub stages: Vec<Shown>,
}

/// How a stage stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its name.
    pub stage: String,
    /// What it does.
    pub kind: String,
    /// The stages it reads.
    pub inputs: Vec<String>,
    /// What it reads besides.
    pub sources: Vec<PathBuf>,
    /// Its key as things are now.
    pub key: Key,
    /// Whether it would run.
    #[serde(flatten)]
    pub standing: Standing,
}

/// Whether a stage would run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// Its result is there.
    Cached {
        /// Where.
        folder: PathBuf,
        /// Why a gate said no, if it did.
        refused: Option<String>,
    },
    /// It would run.
    Runs {
        /// Why.
        why: Why,
        /// Whether it goes on from what an interrupted run left.
        resumes: bool,
    },
}

/// Looks at a plan without running or changing anything, but for the digests of sources that are remembered.
///
/// # Errors
/// Sources cannot be read, an option names an unknown stage.
pub fn show(plan: &Plan, work: &Path, options: &Options) -> Result<Overview, RunError> {
    let forced = options.chosen(plan)?;
    let store = Store::look(work)?;
    let mut memo = store.memo();
    let steps = keyed(plan, &mut memo);
    memo.save();
    let mut contents = Contents::new();
    let mut stages = Vec::new();
    for step in steps? {
        let folder = step.folder();
        let standing = match decide(&step, &store, forced.contains(step.name), &contents) {
            Decision::Cached(record) => {
                contents.insert(step.name, Some(record.digest));
                Standing::Cached { folder: store.result(&folder), refused: record.refused }
            }
            Decision::Run(why) => {
                contents.insert(step.name, None);
                Standing::Runs { why, resumes: store.resumes(&folder) }
            }
        };
        stages.push(Shown {
            stage: step.name.to_owned(),
            kind: step.stage.kind().to_owned(),
            inputs: step.stage.inputs().to_vec(),
            sources: step.sources.into_iter().map(|source| source.path).collect(),
            key: step.key,
            standing,
        });
    }
    Ok(Overview { schema: 1, stages })
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reads = |shown: &Shown| match shown.inputs.is_empty() {
            true => "-".to_owned(),
            false => shown.inputs.join(", "),
        };
        let width = |heading: &str, cell: &dyn Fn(&Shown) -> usize| {
            self.stages.iter().map(cell).chain([heading.len()]).max().unwrap_or(0)
        };
        let name = width("stage", &|shown| shown.stage.len());
        let kind = width("kind", &|shown| shown.kind.len());
        let inputs = width("reads", &|shown| reads(shown).len());
        writeln!(f, "{:<name$}  {:<kind$}  {:<inputs$}  {:<16}  state", "stage", "kind", "reads", "key")?;
        for shown in &self.stages {
            let (stage, of, read, key) = (&shown.stage, &shown.kind, reads(shown), shown.key.short());
            writeln!(f, "{stage:<name$}  {of:<kind$}  {read:<inputs$}  {key}  {}", shown.standing)?;
        }
        let runs = self.stages.iter().filter(|shown| matches!(shown.standing, Standing::Runs { .. })).count();
        match runs {
            0 => writeln!(f, "\nnothing to run"),
            n => writeln!(f, "\n{n} of {} stages to run", self.stages.len()),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cached { refused: None, .. } => f.write_str("cached"),
            Self::Cached { refused: Some(reason), .. } => write!(f, "cached, refused: {reason}"),
            Self::Runs { why, resumes } => write!(f, "{} ({why})", if *resumes { "goes on" } else { "runs" }),
        }
    }
}
