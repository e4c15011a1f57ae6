//! From TOML to stages, naming everything that is wrong at once.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use takt_artifact::Decision;
use takt_artifact::names::is_name;

use super::error::{RecipeError, RecipeFault, RecipeFaults};
use super::faults::between;
use super::spec::Spec;
use super::step::{Machine, Step, version_folder};
use crate::run::{self, Happened, Plan, Summary};

const SCHEMA: u32 = 1;

/// A pipeline as its file says it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The file.
    pub path: PathBuf,
    /// Name of the pipeline, and of the model that it packages.
    pub name: String,
    /// How outputs become verdicts, for evaluating and packaging.
    pub decision: Option<Decision>,
    /// Stages by name, in the order of the file.
    pub stages: Vec<(String, Spec)>,
}

/// The file before its stages are looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outline {
    schema: u32,
    name: String,
    #[serde(default)]
    decision: Option<Decision>,
    #[serde(default)]
    stage: Vec<toml::Table>,
}

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, RecipeError> {
        let text = fs::read_to_string(path).map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Understands the text of a recipe that lies at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, RecipeError> {
        let outline: Outline = toml::from_str(text)
            .map_err(|source| RecipeError::Form { path: path.to_owned(), source: Box::new(source) })?;
        let mut faults = Vec::new();
        if outline.schema != SCHEMA {
            faults.push(RecipeFault::Schema { found: outline.schema });
        }
        if !is_name(&outline.name) {
            faults.push(RecipeFault::Name { found: outline.name.clone() });
        }
        let mut stages = Vec::new();
        for (number, table) in (1..).zip(outline.stage) {
            match stage(number, table) {
                Ok(stage) => stages.push(stage),
                Err(fault) => faults.push(fault),
            }
        }
        faults.extend(between(&stages));
        if faults.is_empty() {
            return Ok(Self { path: path.to_owned(), name: outline.name, decision: outline.decision, stages });
        }
        Err(RecipeError::Stages { path: path.to_owned(), faults: RecipeFaults(faults) })
    }

    /// The stages as a plan for [`run`](run::run) and [`show`](run::show).
    ///
    /// # Errors
    /// Stages that do not fit together.
    pub fn plan(&self, machine: Machine) -> Result<Plan, RecipeError> {
        let base = self.path.parent().unwrap_or_else(|| Path::new(""));
        let stages = self.stages.iter().map(|(name, spec)| {
            let step = Step::new(spec.clone(), base, &self.name, self.decision.as_ref(), machine);
            (name.clone(), Box::new(step) as Box<dyn run::Stage>)
        });
        Plan::new(stages.collect()).map_err(|source| RecipeError::Plan { path: self.path.clone(), source })
    }

    /// Folders of the versions that a run packaged, or had packaged before.
    #[must_use]
    pub fn versions(&self, summary: &Summary) -> Vec<PathBuf> {
        let packages = self.stages.iter().filter(|(_, spec)| matches!(spec, Spec::Package(_)));
        let folders = packages.filter_map(|(name, _)| {
            let row = summary.stage(name).filter(|row| matches!(row.happened, Happened::Ran | Happened::Cached))?;
            Some(version_folder(row.folder.as_ref()?, &self.name))
        });
        folders.collect()
    }
}

/// One `[[stage]]`.
fn stage(number: usize, mut table: toml::Table) -> Result<(String, Spec), RecipeFault> {
    let mut text = |key: &str| match table.remove(key) {
        Some(toml::Value::String(text)) => Some(text),
        _ => None,
    };
    let name = text("name").ok_or(RecipeFault::Unnamed { number })?;
    let kind = text("kind");
    let unknown = |found| RecipeFault::Kind { stage: name.clone(), found, known: Spec::KINDS.join(", ") };
    let Some(kind) = kind else { return Err(unknown(None)) };
    match Spec::of(&kind, table) {
        None => Err(unknown(Some(kind))),
        Some(Ok(spec)) => match spec.faults() {
            faults if faults.is_empty() => Ok((name, spec)),
            faults => Err(RecipeFault::Keys { stage: name, kind, reason: faults.join("; ") }),
        },
        Some(Err(error)) => Err(RecipeFault::Keys { stage: name, kind, reason: error.to_string() }),
    }
}
