//! From a classifier's output row to a verdict about the part.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What turns the output's numbers into scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// The output holds scores already.
    None,
    /// exp(x_i) / sum exp(x_j)
    #[default]
    Softmax,
    /// 1 / (1 + exp(-x_i)), each class by itself
    Sigmoid,
}

/// Defect scores between which the verdict is [`Verdict::Uncertain`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// Lower end, inclusive.
    pub low: f32,
    /// Upper end, exclusive.
    pub high: f32,
}

/// How a version's output becomes a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Output that holds one number per label.
    pub output: String,
    /// What turns the numbers into scores.
    #[serde(default)]
    pub activation: Activation,
    /// Labels that mean the part is good; all others are defects.
    pub good_classes: Vec<String>,
    /// Least score at which a defect class counts as found; below it the verdict is uncertain. 0 where not given.
    #[serde(default)]
    pub thresholds: BTreeMap<String, f32>,
    /// Band of the defect score (1 - sum of the good classes' scores) that calls for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<Band>,
}

/// What is said of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The part is good.
    Good,
    /// The part has a defect.
    Defect,
    /// A person should look.
    Uncertain,
}

/// One row's verdict with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Index of the class with the highest score.
    pub class: usize,
    /// Its label; the index as text where the version has no labels.
    pub label: String,
    /// Its score after activation.
    pub score: f32,
    /// 1 - sum of the good classes' scores.
    pub defect_score: f32,
    /// The verdict.
    pub verdict: Verdict,
}
