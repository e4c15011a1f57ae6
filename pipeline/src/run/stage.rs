//! What the runner needs of a stage.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::observe::Context;

/// One step from data to a packaged version.
///
/// The same identity, inputs and sources must give a result that is as good: the runner does not run the stage again
/// for them.
pub trait Stage: Send + Sync {
    /// What it does: `train`, `prune`. Part of the key.
    fn kind(&self) -> &'static str;

    /// Everything that decides the result besides inputs and sources: settings, and a number that is raised when the
    /// stage's code comes to give other results.
    fn identity(&self) -> Value;

    /// Names of the stages whose result folders it reads. Their order is part of the key.
    fn inputs(&self) -> &[String];

    /// Whether a file of the result, by its path with '/', tells how the run went rather than what it made: speeds, hours. A
    /// result that differs from the last in such files only is the same to who reads it.
    fn is_log(&self, file: &str) -> bool {
        let _ = file;
        false
    }

    /// Files and folders from outside the pipeline whose contents decide the result. Hidden files in folders do not
    /// count.
    fn sources(&self) -> Vec<PathBuf>;

    /// Makes the result in `out`. `inputs` has the result folder of each input by the input's name; they are not to be
    /// written to.
    ///
    /// `out` is empty, or holds what an interrupted run of the same key left: a stage goes on from its own checkpoint.
    /// When this returns `Ok`, whatever lies in `out` is the result, so that a stage removes checkpoints it no longer
    /// needs. The name `result.json` in it belongs to the runner.
    ///
    /// # Errors
    /// Why there is no result. `out` stays as it is for the next run. [`Unfinished::Stopped`] where
    /// [`Context::stopping`] was obeyed.
    fn run(
        &self,
        inputs: &BTreeMap<String, PathBuf>,
        out: &Path,
        context: &Context<'_>,
    ) -> Result<StageReport, Unfinished>;
}

/// What a stage has to tell beside its files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StageReport {
    /// Figures for the summary, the most telling first.
    pub figures: Vec<(String, Value)>,
    /// A gate said no, and why. The result is kept and shown, and the run ends there.
    pub refused: Option<String>,
}

/// Why a stage has no result.
#[derive(Debug, thiserror::Error)]
pub enum Unfinished {
    /// The stop flag was set and obeyed. No failure: the next run goes on from what is there.
    #[error("stopped as asked")]
    Stopped,
    /// The stage failed.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
    /// The stage panicked, which is a fault of Takt.
    #[error("panicked: {0}; this is a fault of Takt, please report it")]
    Panicked(String),
}

impl Unfinished {
    /// A failure, from any error or text.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

impl From<std::io::Error> for Unfinished {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}
