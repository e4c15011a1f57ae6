//! Why a recipe is no plan.

use std::fmt;
use std::io;
use std::path::PathBuf;

use takt_artifact::names::NAME_RULE;

use crate::run::PlanErrors;

/// A recipe that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("'{}': {source}", path.display())]
    Read {
        /// The recipe.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not TOML, or not a recipe's outline.
    #[error("'{}': {source}", path.display())]
    Form {
        /// The recipe.
        path: PathBuf,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// Stages that cannot be understood, all of them.
    #[error("'{}': {faults}", path.display())]
    Stages {
        /// The recipe.
        path: PathBuf,
        /// What is wrong.
        faults: RecipeFaults,
    },
    /// Stages that do not fit together.
    #[error("'{}': {source}", path.display())]
    Plan {
        /// The recipe.
        path: PathBuf,
        /// What is wrong.
        source: PlanErrors,
    },
}

/// Everything that is wrong with the stages of a recipe.
#[derive(Debug)]
pub struct RecipeFaults(pub Vec<RecipeFault>);

/// One thing that is wrong with a stage.
#[derive(Debug, thiserror::Error)]
pub enum RecipeFault {
    /// A recipe of another time.
    #[error("schema is {found}, expected 1; this version of Takt reads no other")]
    Schema {
        /// What the file says.
        found: u32,
    },
    /// A name that no model and no folder can have.
    #[error("name is {found:?}, expected {NAME_RULE}: models and folders are called so; rename the pipeline")]
    Name {
        /// The name.
        found: String,
    },
    /// No name, or one that is no text.
    #[error("stage {number} has no name; add name = \"...\"")]
    Unnamed {
        /// Which, from 1.
        number: usize,
    },
    /// No kind, or none of ours.
    #[error("stage '{stage}': {}; expected one of {known}", match found {
        Some(found) => format!("kind is '{found}'"),
        None => "has no kind".to_owned(),
    })]
    Kind {
        /// The stage.
        stage: String,
        /// What the file says.
        found: Option<String>,
        /// All there are.
        known: String,
    },
    /// A key that is unknown, missing or of another type.
    #[error("stage '{stage}' ({kind}): {}", reason.trim_end())]
    Keys {
        /// The stage.
        stage: String,
        /// Its kind.
        kind: String,
        /// Which and why.
        reason: String,
    },
}

impl fmt::Display for RecipeFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
