//! What each kind of stage can be told. Everything but where its inputs lie decides its result, and is in its key.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::from::From;
use crate::data::surface;
use crate::evaluate::gates::{Gates, ParityGate};
use crate::prune::{Criterion, Settings as Cut};
use crate::quantise::{Options, Target};
use crate::stage::{self, Architecture, Tune, sparse_epochs};
use crate::train::{Distil, Settings, Sparsity};

/// One stage.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named by what they do")]
pub enum Spec {
    Generate(Generate),
    Validate(Validate),
    Train(Train),
    Prune(Prune),
    Quantise(Quantise),
    Evaluate(Evaluate),
    Package(Package),
}

/// Makes the surface-defects data set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Generate(
    /// What is asked of the generator.
    pub surface::Settings,
);

/// Holds data against a suite of rules, in a build with the feature `tables`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validate {
    /// Folder of labelled images, or a table.
    #[serde(skip_serializing)]
    pub data: From,
    /// The suite's file.
    #[serde(skip_serializing)]
    pub suite: From,
}

/// Trains, alone or from a teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Folder of labelled images.
    #[serde(skip_serializing)]
    pub data: From,
    /// What it begins with.
    pub start: Start,
    /// Whether a model that it begins with gets a fresh last layer for the data's classes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_head: bool,
    /// A frozen teacher.
    #[serde(default, skip_serializing)]
    pub teacher: Option<From>,
    /// How the teacher is listened to.
    #[serde(default)]
    pub distil: Distil,
    /// How it goes on.
    #[serde(default)]
    pub settings: Settings,
}

/// What training begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Start {
    /// A network of our own with random weights.
    Architecture {
        /// Which.
        name: Architecture,
        /// Factor on its numbers of channels.
        #[serde(default = "whole")]
        width: f64,
        /// Height and width of its input.
        size: usize,
    },
    /// A model.
    Model(#[serde(skip_serializing)] From),
}

/// Prunes and fine-tunes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prune {
    /// Folder of labelled images.
    #[serde(skip_serializing)]
    pub data: From,
    /// The model to prune, which is also the teacher.
    #[serde(skip_serializing)]
    pub model: From,
    /// What stays, in all.
    #[serde(default)]
    pub cut: Cut,
    /// By what channels are judged.
    #[serde(default)]
    pub criterion: Criterion,
    /// Rounds of cutting and fine-tuning.
    #[serde(default = "one")]
    pub rounds: NonZeroU32,
    /// Fine-tuning after each round.
    #[serde(default)]
    pub settings: Settings,
    /// How the teacher is listened to.
    #[serde(default)]
    pub distil: Distil,
    /// Channels are driven to zero before the first cut; without it they are cut as they are.
    #[serde(default)]
    pub sparsity: Option<Sparsity>,
    /// For so many epochs.
    #[serde(default = "sparse_epochs")]
    pub sparse_epochs: u32,
    /// Points of balanced accuracy on the validation split that may be lost.
    #[serde(default)]
    pub max_drop: Option<f64>,
}

/// Quantises, an artefact per target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantise {
    /// Folder of labelled images.
    #[serde(skip_serializing)]
    pub data: From,
    /// The model in single precision.
    #[serde(skip_serializing)]
    pub model: From,
    /// Whom for.
    #[serde(default = "all_targets")]
    pub targets: Vec<Target>,
    /// How.
    #[serde(default)]
    pub options: Options,
    /// What may be lost, and how it is won back.
    #[serde(default)]
    pub tune: Option<Tune>,
}

/// Judges a model on the serving runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluate {
    /// Folder of labelled images.
    #[serde(skip_serializing)]
    pub data: From,
    /// What is judged.
    #[serde(skip_serializing)]
    pub model: From,
    /// Which of a quantisation's artefacts is judged; without it the one in single precision.
    #[serde(default)]
    pub artefact: Option<Target>,
    /// What it was made from.
    #[serde(default, skip_serializing)]
    pub parent: Option<From>,
    /// On which images.
    #[serde(default = "test")]
    pub split: String,
    /// What is demanded.
    #[serde(default)]
    pub gates: Gates,
}

/// Writes a version folder for serving.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Folder of labelled images.
    #[serde(skip_serializing)]
    pub data: From,
    /// The quantisation's artefacts.
    #[serde(skip_serializing)]
    pub artefacts: From,
    /// Its evaluation.
    #[serde(default, skip_serializing)]
    pub evaluation: Option<From>,
    /// Version for people.
    #[serde(default = "first")]
    pub semver: String,
    /// How near every artefact must be to single precision.
    #[serde(default)]
    pub parity: Option<ParityGate>,
}

impl Prune {
    /// Itself as a run, of the model in that file.
    pub(super) fn run(&self, model: PathBuf) -> stage::Prune {
        stage::Prune {
            model,
            cut: self.cut,
            criterion: self.criterion,
            sparsity: self.sparsity,
            sparse_epochs: self.sparse_epochs,
            rounds: self.rounds,
            settings: self.settings.clone(),
            distil: self.distil.clone(),
            max_drop: self.max_drop,
            latencies: None,
        }
    }
}

impl Quantise {
    /// Itself as a run, of the model in that file.
    pub(super) fn run(&self, model: PathBuf) -> stage::Quantise {
        let Self { targets, options, tune, .. } = self.clone();
        stage::Quantise { model, targets, options, tune }
    }
}

impl Spec {
    /// Names of all kinds, as recipes write them.
    pub const KINDS: [&'static str; 7] = ["generate", "validate", "train", "prune", "quantize", "evaluate", "package"];

    /// The stage of that kind; `None` where there is no such kind.
    pub(super) fn of(kind: &str, table: toml::Table) -> Option<Result<Self, toml::de::Error>> {
        Some(match kind {
            "generate" => table.try_into().map(Self::Generate),
            "validate" => table.try_into().map(Self::Validate),
            "train" => table.try_into().map(Self::Train),
            "prune" => table.try_into().map(Self::Prune),
            "quantize" => table.try_into().map(Self::Quantise),
            "evaluate" => table.try_into().map(Self::Evaluate),
            "package" => table.try_into().map(Self::Package),
            _ => return None,
        })
    }

    /// Its kind, as recipes write it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Generate(_) => "generate",
            Self::Validate(_) => "validate",
            Self::Train(_) => "train",
            Self::Prune(_) => "prune",
            Self::Quantise(_) => "quantize",
            Self::Evaluate(_) => "evaluate",
            Self::Package(_) => "package",
        }
    }

    /// Raised when stages of its kind come to give other results from the same settings.
    pub(super) const fn revision(&self) -> u32 {
        match self {
            Self::Generate(_) | Self::Validate(_) | Self::Prune(_) | Self::Evaluate(_) | Self::Package(_) => 1,
            Self::Train(_) => 2,
            Self::Quantise(_) => 3,
        }
    }

    /// Where it takes what from, by the keys of the recipe.
    #[must_use]
    pub fn inputs(&self) -> Vec<(&'static str, &From)> {
        let mut inputs = Vec::new();
        match self {
            Self::Generate(_) => {}
            Self::Validate(validate) => inputs.extend([("data", &validate.data), ("suite", &validate.suite)]),
            Self::Train(train) => {
                inputs.push(("data", &train.data));
                if let Start::Model(model) = &train.start {
                    inputs.push(("start", model));
                }
                inputs.extend(train.teacher.iter().map(|teacher| ("teacher", teacher)));
            }
            Self::Prune(prune) => inputs.extend([("data", &prune.data), ("model", &prune.model)]),
            Self::Quantise(quantise) => inputs.extend([("data", &quantise.data), ("model", &quantise.model)]),
            Self::Evaluate(evaluate) => {
                inputs.extend([("data", &evaluate.data), ("model", &evaluate.model)]);
                inputs.extend(evaluate.parent.iter().map(|parent| ("parent", parent)));
            }
            Self::Package(package) => {
                inputs.extend([("data", &package.data), ("artefacts", &package.artefacts)]);
                inputs.extend(package.evaluation.iter().map(|evaluation| ("evaluation", evaluation)));
            }
        }
        inputs
    }
}

const fn whole() -> f64 {
    1.0
}

const fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn all_targets() -> Vec<Target> {
    Target::ALL.to_vec()
}

fn test() -> String {
    "test".to_owned()
}

fn first() -> String {
    "1.0.0".to_owned()
}
