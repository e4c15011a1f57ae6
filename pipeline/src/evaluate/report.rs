//! Everything that was found out about a model, for a table, JSON or HTML.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::agreement::Agreement;
use super::error::EvaluateError;
use super::gates::Outcomes;
use super::metrics::Metrics;
use super::parity::Parity;
use super::predictions::Predictions;
use super::slices::ColumnSlices;
use crate::data::Corruption;

/// Schema of the report's JSON.
const SCHEMA: u32 = 1;

/// Everything that was found out about a model. What was not measured is empty, and a gate on it says no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Schema of the report's JSON: 1.
    pub schema: u32,
    /// Which model, for people.
    pub model: String,
    /// On which images, for people, such as `surface-defects, test`.
    pub data: String,
    /// The figures of all images.
    pub metrics: Metrics,
    /// The figures by metadata column.
    pub slices: Vec<ColumnSlices>,
    /// Against the model it was made from.
    pub agreement: Option<Agreement>,
    /// On pictures made worse.
    pub robustness: Vec<Robustness>,
    /// Each artefact against fp32.
    pub parity: Vec<Parity>,
    /// What ran it: `onnxruntime` or `tract`.
    #[serde(default)]
    pub runtime: Option<String>,
    /// What it takes to run it.
    pub cost: Cost,
    /// The images it is most wrong about.
    pub worst: Vec<Worst>,
    /// What the gates said.
    pub gates: Option<Outcomes>,
}

/// How to make a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportOptions {
    /// Fewest images of a slice that may be the worst.
    pub min_slice: u64,
    /// Number of worst images to name.
    pub worst: usize,
}

/// A model on pictures made worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Robustness {
    /// Name of the trial.
    pub name: String,
    /// What was done to the pictures.
    pub corruption: Corruption,
    /// Balanced accuracy on them.
    pub balanced_accuracy: f64,
    /// Balanced accuracy on the same pictures as they are, less that; above 0 is worse.
    pub drop: f64,
}

/// What it takes to run a model; nothing where it was not measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Time of one image in milliseconds, batch 1.
    pub latency_ms: Option<f64>,
    /// The parent's, in the same run on the same machine.
    pub parent_latency_ms: Option<f64>,
    /// Size of the artefact in bytes.
    pub size_bytes: Option<u64>,
    /// The parent's.
    pub parent_size_bytes: Option<u64>,
    /// Resident memory while it runs, in bytes.
    pub memory_bytes: Option<u64>,
}

/// An image that the model is wrong about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// Position of the image.
    pub image: usize,
    /// Its file, where known.
    pub file: Option<PathBuf>,
    /// What it is.
    pub label: String,
    /// What the model takes it for.
    pub predicted: String,
    /// Score of what the model takes it for.
    pub confidence: f64,
    /// Score of what it is.
    pub label_score: f64,
}

impl Default for ReportOptions {
    /// Slices of 30 images: the 95 % interval of a share is then at most 18 points wide to each side.
    fn default() -> Self {
        Self { min_slice: 30, worst: 24 }
    }
}

impl Report {
    /// What the predictions themselves tell; the rest is filled in by who measured it.
    #[must_use]
    pub fn new(model: &str, data: &str, predictions: &Predictions, options: ReportOptions) -> Self {
        Self {
            schema: SCHEMA,
            model: model.to_owned(),
            data: data.to_owned(),
            metrics: Metrics::of(predictions),
            slices: ColumnSlices::of_all(predictions, options.min_slice),
            agreement: None,
            robustness: Vec::new(),
            parity: Vec::new(),
            runtime: None,
            cost: Cost::default(),
            worst: worst(predictions, options.worst),
            gates: None,
        }
    }

    /// Adds the comparison with the parent.
    ///
    /// # Errors
    /// Predictions of other images.
    pub fn compare(&mut self, model: &Predictions, parent: &Predictions) -> Result<(), EvaluateError> {
        self.agreement = Some(Agreement::of(model, parent)?);
        Ok(())
    }

    /// Adds a trial on corrupted pictures: `corrupted` and `plain` are of the same images.
    pub fn add_robustness(&mut self, name: &str, corruption: Corruption, plain: &Predictions, corrupted: &Predictions) {
        let accuracy = |predictions| Metrics::of(predictions).balanced_accuracy;
        let balanced_accuracy = accuracy(corrupted);
        let drop = accuracy(plain) - balanced_accuracy;
        self.robustness.push(Robustness { name: name.to_owned(), corruption, balanced_accuracy, drop });
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// None in practice: a report is numbers and strings.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The report as text for a terminal.
    #[must_use]
    pub fn render_table(&self) -> String {
        super::table::render(self)
    }

    /// The report as one HTML file without any link; `pictures` are JPEG files for [`Report::worst`], in their order, and
    /// may be missing (see [`pictures`](super::pictures)).
    #[must_use]
    pub fn render_html(&self, pictures: &[Option<Vec<u8>>]) -> String {
        super::html::render(self, pictures)
    }
}

impl Cost {
    /// How many times faster than the parent.
    #[must_use]
    pub fn speedup(&self) -> Option<f64> {
        Some(self.parent_latency_ms? / self.latency_ms.filter(|ms| *ms > 0.0)?)
    }

    /// How many times smaller than the parent.
    #[must_use]
    pub fn size_ratio(&self) -> Option<f64> {
        Some(self.parent_size_bytes? as f64 / self.size_bytes.filter(|bytes| *bytes > 0)? as f64)
    }
}

/// Wrong predictions, those with the least score for the label first.
fn worst(predictions: &Predictions, most: usize) -> Vec<Worst> {
    let mut wrong: Vec<_> = predictions.images.iter().enumerate().filter(|(_, image)| !image.correct()).collect();
    wrong.sort_by(|(_, a), (_, b)| a.label_score.total_cmp(&b.label_score));
    let named = wrong.into_iter().take(most).map(|(index, image)| Worst {
        image: index,
        file: predictions.files.get(index).cloned(),
        label: predictions.classes[image.label].clone(),
        predicted: predictions.classes[image.predicted].clone(),
        confidence: image.confidence,
        label_score: image.label_score,
    });
    named.collect()
}
