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

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
        let mut faults = Vec::new();
        // Judged without a report, every gate is asked and its limit seen.
        for (gate, limit, bound) in self.limits() {
            let factor = gate == "min_speedup" || gate == "min_size_ratio" || gate == "max_latency_ratio";
            let free = factor || gate.ends_with("bytes") || gate.ends_with("max_difference");
            let least = if gate.ends_with("max_drop") { -1.0 } else { 0.0 };
            let most = if free { f64::MAX } else { 1.0 };
            if !(least..=most).contains(&limit) {
                let expected =
                    if free { "a number of 0 or more" } else { "a fraction up to 1 (half a point is 0.005)" };
                faults.push(format!("{gate} is {limit}, expected {expected} as {}", bound.words()));
            }
        }
        for (name, gate) in &self.robustness {
            if let Err(error) = gate.corruption.check() {
                faults.push(format!("robustness.{name}.corruption: {error}"));
            }
        }
        faults
    }

    /// Key, limit and bound of every gate that is given.
    fn limits(&self) -> Vec<(String, f64, Bound)> {
        let mut all: Vec<(String, f64, Bound)> = Vec::new();
        let mut add = |gate: String, limit: Option<f64>| {
            let key = gate.rsplit('.').next().unwrap_or_default();
            let bound = if key.starts_with("max") { Bound::AtMost } else { Bound::AtLeast };
            all.extend(limit.map(|limit| (gate, limit, bound)));
        };
        let mut top = |gate: &str, limit: Option<f64>| add(gate.to_owned(), limit);
        top("min_accuracy", self.min_accuracy);
        top("min_balanced_accuracy", self.min_balanced_accuracy);
        top("min_recall", self.min_recall);
        top("min_precision", self.min_precision);
        top("max_escape_rate", self.max_escape_rate);
        top("max_false_reject_rate", self.max_false_reject_rate);
        top("max_uncertain_rate", self.max_uncertain_rate);
        top("max_calibration_error", self.max_calibration_error);
        top("max_drop", self.max_drop);
        top("min_agreement", self.min_agreement);
        top("max_latency_ratio", self.max_latency_ratio);
        top("min_speedup", self.min_speedup);
        top("min_size_ratio", self.min_size_ratio);
        top("max_size_bytes", self.max_size_bytes.map(|bytes| bytes as f64));
        top("max_memory_bytes", self.max_memory_bytes.map(|bytes| bytes as f64));
        for (class, limit) in &self.min_recall_of {
            all.push((format!("min_recall_of.{class}"), *limit, Bound::AtLeast));
        }
        let mut add = |gate: String, limit: Option<f64>, bound| all.extend(limit.map(|limit| (gate, limit, bound)));
        for (column, gate) in &self.slices {
            let key = |name: &str| format!("slices.{column}.{name}");
            add(key("min_balanced_accuracy"), gate.min_balanced_accuracy, Bound::AtLeast);
            add(key("max_gap"), gate.max_gap, Bound::AtMost);
        }
        for (name, gate) in &self.robustness {
            add(format!("robustness.{name}.max_drop"), Some(gate.max_drop), Bound::AtMost);
        }
        for (artefact, gate) in &self.parity {
            let key = |name: &str| format!("parity.{artefact}.{name}");
            add(key("min_top1"), gate.min_top1, Bound::AtLeast);
            add(key("min_cosine"), gate.min_cosine, Bound::AtLeast);
            add(key("max_difference"), gate.max_difference, Bound::AtMost);
        }
        all
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

/// Holds a report against the gates.
#[must_use]
pub fn check(gates: &Gates, report: &Report) -> Outcomes {
    let outcomes = gates.limits().into_iter().map(|(gate, limit, bound)| {
        let found = measure::of(&gate, report);
        let (measured, mut reason) = match found {
            Ok(measure) => (Some(measure.value), measure.what),
            Err(why) => (None, format!("not measured: {why}")),
        };
        let passed = measured.is_some_and(|measured| bound.holds(measured, limit));
        if let Some(measured) = measured.filter(|_| !passed) {
            let short = (measured - limit).abs();
            reason.push_str(&format!("; {} by {short:.4}", if bound == Bound::AtLeast { "short" } else { "over" }));
        }
        Outcome { gate, measured, limit, bound, passed, reason }
    });
    Outcomes { outcomes: outcomes.collect() }
}

/// What a gate's key means in a report.
mod measure {
    use super::Report;
    use crate::evaluate::metrics::ClassMetrics;
    use crate::evaluate::rate::Rate;

    pub(super) struct Measure {
        pub(super) value: f64,
        pub(super) what: String,
    }

    type Found = Result<Measure, String>;

    pub(super) fn of(gate: &str, report: &Report) -> Found {
        if let Some(class) = gate.strip_prefix("min_recall_of.") {
            let found = report.metrics.classes.iter().find(|metrics| metrics.class == class);
            let found = found.ok_or_else(|| missing("class", class, names(report)))?;
            return rate(&found.recall, &format!("recall of {class}"), &format!("no image shows {class}"));
        }
        // The last dot ends the name of the column, trial or artefact, which may have dots itself.
        if let Some((group, key)) = gate.rsplit_once('.')
            && let Some((group, name)) = group.split_once('.')
        {
            return match group {
                "slices" => slice(report, name, key),
                "robustness" => robustness(report, name),
                _ => parity(report, name, key),
            };
        }
        top(gate, report)
    }

    fn top(gate: &str, report: &Report) -> Found {
        let metrics = &report.metrics;
        let verdicts = || metrics.verdicts.as_ref().ok_or("there is no decision; give one with its good classes");
        let agreement = || report.agreement.as_ref().ok_or("there is no parent; give the model it was made from");
        let parent = "there are no figures of model and parent from one run; measure both";
        let found = |value: Option<f64>, what: &str, missing: &str| {
            let value = value.ok_or_else(|| missing.to_owned())?;
            Ok(Measure { value, what: what.to_owned() })
        };
        match gate {
            "min_accuracy" => rate(&metrics.accuracy, "right classes", "there is no image"),
            "min_balanced_accuracy" => found(Some(metrics.balanced_accuracy), "mean recall", ""),
            "min_recall" => worst_class(report, "recall", |class| &class.recall),
            "min_precision" => worst_class(report, "precision", |class| &class.precision),
            "max_escape_rate" => rate(&verdicts()?.escape, "defective parts called good", "no part is defective"),
            "max_false_reject_rate" => {
                rate(&verdicts()?.false_reject, "good parts called defective", "no part is good")
            }
            "max_uncertain_rate" => rate(&verdicts()?.uncertain, "parts left to a person", "there is no part"),
            "max_calibration_error" => found(Some(metrics.calibration.error), "expected calibration error", ""),
            "max_drop" => {
                let drop = agreement()?.drop;
                let points = 100.0 * drop.drop;
                let what =
                    format!("upper 95 % bound of the paired loss in balanced accuracy, which is {points:.2} points");
                Ok(Measure { value: drop.upper_95, what })
            }
            "min_agreement" => rate(&agreement()?.agreement, "same class as the parent", "there is no image"),
            "max_latency_ratio" => {
                found(report.cost.speedup().map(|times| 1.0 / times), "time of the parent's", parent)
            }
            "min_speedup" => found(report.cost.speedup(), "times faster than the parent", parent),
            "min_size_ratio" => found(report.cost.size_ratio(), "times smaller than the parent", parent),
            "max_size_bytes" => found(
                report.cost.size_bytes.map(|n| n as f64),
                "bytes",
                "the artefact's size is not known; name its file",
            ),
            "max_memory_bytes" => {
                found(report.cost.memory_bytes.map(|n| n as f64), "bytes resident", "memory was not measured; run it")
            }
            other => Err(format!("there is no gate '{other}'")),
        }
    }

    fn rate(rate: &Rate, what: &str, missing: &str) -> Found {
        let value = rate.value.ok_or_else(|| missing.to_owned())?;
        Ok(Measure { value, what: format!("{what}: {} of {}", rate.hits, rate.total) })
    }

    /// A class of which there is no image, or which was never predicted, has no figure to be the worst.
    fn worst_class(report: &Report, what: &str, of: impl Fn(&ClassMetrics) -> &Rate) -> Found {
        let classes = report.metrics.classes.iter().filter(|class| of(class).value.is_some());
        let value = |class: &ClassMetrics| of(class).value.unwrap_or(f64::NAN);
        let worst = classes.min_by(|a, b| value(a).total_cmp(&value(b))).ok_or("there is no image")?;
        rate(of(worst), &format!("least {what} is that of {}", worst.class), "there is no image")
    }

    fn slice(report: &Report, column: &str, key: &str) -> Found {
        let columns = report.slices.iter().map(|slices| slices.column.as_str());
        let found = report.slices.iter().find(|slices| slices.column == column);
        let found = found.ok_or_else(|| missing("column", column, columns.collect()))?;
        if let Some(reason) = &found.skipped {
            return Err(format!("'{column}' has no slices ({reason}); slice by a column with fewer values"));
        }
        let few =
            || format!("fewer slices of '{column}' than needed have {} images; give more images", found.min_count);
        let worst = found.worst.as_ref().ok_or_else(few)?;
        match key {
            "max_gap" => {
                let what = format!("between the best {column} and {}, the worst", worst.value);
                Ok(Measure { value: found.gap.ok_or_else(few)?, what })
            }
            _ => {
                let what = format!("worst {column} is {}, {} images", worst.value, worst.images);
                Ok(Measure { value: worst.balanced_accuracy, what })
            }
        }
    }

    fn robustness(report: &Report, name: &str) -> Found {
        let found = report.robustness.iter().find(|trial| trial.name == name);
        let names = || report.robustness.iter().map(|trial| trial.name.as_str()).collect();
        let trial = found.ok_or_else(|| missing("robustness trial", name, names()))?;
        Ok(Measure { value: trial.drop, what: format!("loss in balanced accuracy under {}", trial.corruption) })
    }

    fn parity(report: &Report, artefact: &str, key: &str) -> Found {
        let found = report.parity.iter().find(|parity| parity.artefact == artefact);
        let names = || report.parity.iter().map(|parity| parity.artefact.as_str()).collect();
        let found = found.ok_or_else(|| missing("artefact", artefact, names()))?;
        match key {
            "min_top1" => rate(&found.top1, "same class as fp32", "there is no image"),
            "min_cosine" => Ok(Measure { value: found.mean_cosine, what: "mean cosine with fp32".to_owned() }),
            _ => Ok(Measure { value: found.max_difference, what: "greatest difference from fp32".to_owned() }),
        }
    }

    fn names(report: &Report) -> Vec<&str> {
        report.metrics.classes.iter().map(|class| class.class.as_str()).collect()
    }

    fn missing(kind: &str, name: &str, there: Vec<&str>) -> String {
        let there =
            if there.is_empty() { "there is none".to_owned() } else { format!("there is {}", there.join(", ")) };
        format!("there is no {kind} '{name}'; {there}")
    }
}
