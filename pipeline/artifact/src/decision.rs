//! From a classifier's output row to a verdict about the part.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, choices};

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

impl Decision {
    /// Everything in which the decision disagrees with the labels, or with the number of classes where that is known.
    #[must_use]
    pub fn faults(&self, labels: &[String], classes: Option<usize>) -> Vec<Fault> {
        let mut faults = Vec::new();
        match classes {
            Some(0) => faults.push(Fault::new(
                "output",
                "an output without classes",
                "one number per label",
                "name the output with one number per label",
            )),
            Some(n) if !labels.is_empty() && labels.len() != n => faults.push(Fault::new(
                "labels",
                format!("{} labels", labels.len()),
                format!("{n}, the last dimension of output '{}'", self.output),
                "give one label per class, in the model's order",
            )),
            _ => {}
        }
        let known = |name: &String| match (labels, name.parse::<usize>()) {
            ([], Ok(i)) => classes.is_none_or(|n| i < n) && i.to_string() == *name,
            ([], Err(_)) => false,
            (labels, _) => labels.contains(name),
        };
        let expected = || match labels {
            [] => "the index of a class, as there are no labels".to_owned(),
            labels => format!("one of {}", choices(labels.iter().map(String::as_str))),
        };
        if self.good_classes.is_empty() {
            faults.push(Fault::new(
                "good_classes",
                "none",
                "at least one label that means the part is good",
                "without one no part could pass; leave out `decision` if the model does not judge parts",
            ));
        }
        for (i, name) in self.good_classes.iter().enumerate() {
            if !known(name) {
                faults.push(Fault::new(
                    format!("good_classes[{i}]"),
                    format!("'{name}'"),
                    expected(),
                    "correct the label",
                ));
            }
        }
        for (name, &threshold) in &self.thresholds {
            if !known(name) {
                faults.push(Fault::new(
                    format!("thresholds[{name:?}]"),
                    format!("'{name}'"),
                    expected(),
                    "correct the label",
                ));
            } else if self.good_classes.contains(name) {
                faults.push(Fault::new(
                    format!("thresholds[{name:?}]"),
                    "a threshold for a good class",
                    "thresholds for defects only",
                    "remove it, or use `uncertain` to send doubtful good parts to a person",
                ));
            }
            if !(0.0..=1.0).contains(&threshold) {
                faults.push(Fault::new(
                    format!("thresholds[{name:?}]"),
                    threshold.to_string(),
                    "a score from 0 to 1",
                    "thresholds apply after the activation",
                ));
            }
        }
        if let Some(Band { low, high }) = self.uncertain
            && !(0.0 <= low && low < high && high <= 1.0)
        {
            faults.push(Fault::new(
                "uncertain",
                format!("low {low}, high {high}"),
                "0 <= low < high <= 1",
                "give the defect scores between which a person should look",
            ));
        }
        faults
    }
}
