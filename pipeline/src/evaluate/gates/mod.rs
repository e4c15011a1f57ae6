//! What a model must reach before it is packaged, from TOML.
//!
//! ```toml
//! min_accuracy = 0.95
//! min_recall = 0.85                    # of every class
//! max_escape_rate = 0.03
//! max_drop = 0.005                     # upper 95 % bound of the paired loss in balanced accuracy
//! min_speedup = 8.0
//! [min_recall_of]
//! crack = 0.9
//! [slices.station]
//! min_balanced_accuracy = 0.9          # of the worst slice with enough images
//! max_gap = 0.05
//! [robustness.darker]
//! corruption = { brightness = 0.8 }
//! max_drop = 0.05
//! [parity.cpu-int8]
//! min_top1 = 0.99
//! ```
//!
//! All shares are fractions: half a point is 0.005. A gate on something that was not measured says no.

mod asked;
mod measure;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::asked::{Asked, asked, of_parity};
use super::parity::Parity;
use super::report::Report;
use crate::data::Corruption;

/// What a model must reach; a gate that is not given asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gates {
    /// Least share of right classes.
    pub min_accuracy: Option<f64>,
    /// Least mean recall.
    pub min_balanced_accuracy: Option<f64>,
    /// Least recall of every class.
    pub min_recall: Option<f64>,
    /// Least precision of every class.
    pub min_precision: Option<f64>,
    /// Least recall of single classes.
    pub min_recall_of: BTreeMap<String, f64>,
    /// Most defective parts called good.
    pub max_escape_rate: Option<f64>,
    /// Most good parts called defective.
    pub max_false_reject_rate: Option<f64>,
    /// Most parts for a person to look at.
    pub max_uncertain_rate: Option<f64>,
    /// Most expected calibration error.
    pub max_calibration_error: Option<f64>,
    /// Most loss in balanced accuracy against the parent, by the upper 95 % bound.
    pub max_drop: Option<f64>,
    /// Least share of images that model and parent take for the same class.
    pub min_agreement: Option<f64>,
    /// Most time of one image, relative to the parent's: 0.2 is a fifth.
    pub max_latency_ratio: Option<f64>,
    /// Least factor by which it is faster than the parent.
    pub min_speedup: Option<f64>,
    /// Least factor by which it is smaller than the parent.
    pub min_size_ratio: Option<f64>,
    /// Most bytes of the artefact.
    pub max_size_bytes: Option<u64>,
    /// Most bytes of resident memory.
    pub max_memory_bytes: Option<u64>,
    /// By metadata column.
    pub slices: BTreeMap<String, SliceGate>,
    /// By name of the trial.
    pub robustness: BTreeMap<String, RobustnessGate>,
    /// By artefact.
    pub parity: BTreeMap<String, ParityGate>,
}

/// What the slices of a column must reach; only slices with the report's least number of images count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SliceGate {
    /// Least balanced accuracy of the worst slice.
    pub min_balanced_accuracy: Option<f64>,
    /// Most difference between the best and the worst slice.
    pub max_gap: Option<f64>,
}

/// What a model must bear.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RobustnessGate {
    /// What is done to the pictures.
    pub corruption: Corruption,
    /// Most loss in balanced accuracy.
    pub max_drop: f64,
}

/// How near an artefact must be to fp32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParityGate {
    /// Least share of images with the same greatest class.
    pub min_top1: Option<f64>,
    /// Least mean cosine of the outputs.
    pub min_cosine: Option<f64>,
    /// Most difference of any output.
    pub max_difference: Option<f64>,
}

/// Why gates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Not TOML, or a key that is unknown or of another type.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// Limits that make no sense, all of them.
    #[error("{}", .0.join("; "))]
    Limits(Vec<String>),
}

/// What all gates said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// In the order of [`Gates`].
    pub outcomes: Vec<Outcome>,
}

/// What one gate said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its key, such as `slices.station.max_gap`.
    pub gate: String,
    /// What was found; none where it was not measured.
    pub measured: Option<f64>,
    /// Its limit.
    pub limit: f64,
    /// Whether that is the least or the most.
    pub bound: Bound,
    /// Whether the model may go on.
    pub passed: bool,
    /// In words.
    pub reason: String,
}

/// Side on which a limit lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The limit is the least that is enough.
    AtLeast,
    /// The limit is the most that is allowed.
    AtMost,
}

impl Outcomes {
    /// Whether every gate let the model through.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.passed)
    }

    /// What the gates that did not say, each with its key.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let refused = self.outcomes.iter().filter(|outcome| !outcome.passed);
        refused.map(|outcome| format!("{}: {}", outcome.gate, outcome.reason)).collect()
    }
}

impl Gates {
    /// Reads gates from TOML.
    ///
    /// # Errors
    /// The first key that is unknown or of another type, with its line; else all limits that make no sense.
    pub fn parse(text: &str) -> Result<Self, GateError> {
        let gates: Self = toml::from_str(text)?;
        let faults = gates.faults();
        if faults.is_empty() { Ok(gates) } else { Err(GateError::Limits(faults)) }
    }

    /// Limits that make no sense.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let limits = asked(self).into_iter().filter_map(|gate| {
            let expected = gate.kind.check(gate.limit).err()?;
            Some(format!("{} is {}, expected {expected} as {}", gate.gate, gate.limit, gate.bound.words()))
        });
        let corruptions = self.robustness.iter().filter_map(|(name, gate)| {
            let error = gate.corruption.check().err()?;
            Some(format!("robustness.{name}.corruption: {error}"))
        });
        limits.chain(corruptions).collect()
    }
}

impl Bound {
    const fn words(self) -> &'static str {
        match self {
            Self::AtLeast => "the least that is enough",
            Self::AtMost => "the most that is allowed",
        }
    }

    fn holds(self, measured: f64, limit: f64) -> bool {
        match self {
            Self::AtLeast => measured >= limit,
            Self::AtMost => measured <= limit,
        }
    }
}

/// What a gate found in a report, or why there is nothing to find.
type Found = Result<Measure, String>;

/// A figure, and what it is in words.
struct Measure {
    value: f64,
    what: String,
}

/// Holds a report against the gates.
#[must_use]
pub fn check(gates: &Gates, report: &Report) -> Outcomes {
    let outcomes = asked(gates).into_iter().map(|asked| {
        let found = (asked.measure)(report);
        outcome(asked, found)
    });
    Outcomes { outcomes: outcomes.collect() }
}

/// Holds every artefact against the same gate.
#[must_use]
pub fn check_parity(gate: &ParityGate, artefacts: &[Parity]) -> Outcomes {
    let outcomes = artefacts.iter().flat_map(|parity| {
        of_parity(&parity.artefact, gate).into_iter().map(move |asked| {
            let found = (asked.measure)(parity);
            outcome(asked, found)
        })
    });
    Outcomes { outcomes: outcomes.collect() }
}

fn outcome<M>(asked: Asked<M>, found: Found) -> Outcome {
    let Asked { gate, limit, bound, .. } = asked;
    let (measured, mut reason) = match found {
        Ok(Measure { value, what }) => (Some(value), what),
        Err(why) => (None, format!("not measured: {why}")),
    };
    let passed = measured.is_some_and(|measured| bound.holds(measured, limit));
    if let Some(measured) = measured.filter(|_| !passed) {
        let short = (measured - limit).abs();
        reason.push_str(&format!("; {} by {short:.4}", if bound == Bound::AtLeast { "short" } else { "over" }));
    }
    Outcome { gate, measured, limit, bound, passed, reason }
}
