//! A model's outputs on labelled images, each judged.

use std::path::PathBuf;

use takt_artifact::Decision;
use takt_artifact::decision::{Activation, Verdict};
use takt_artifact::judge::{Judge, RowError};

use super::error::EvaluateError;

/// What is to be judged. All slices are of the same images in the same order.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Names of the classes.
    pub classes: &'a [String],
    /// A row per image, a number per class: logits, or scores where the decision's activation is `none`.
    pub outputs: &'a [f32],
    /// Label index of each image.
    pub labels: &'a [usize],
    /// How outputs become verdicts; without one there are no verdicts, and the activation is softmax.
    pub decision: Option<&'a Decision>,
    /// Names of the metadata columns.
    pub columns: &'a [String],
    /// One value per column for each image; empty where there is none.
    pub metadata: &'a [Vec<String>],
    /// File of each image; empty where there are none.
    pub files: &'a [PathBuf],
}

/// One image's label and what the model makes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// What it is.
    pub label: usize,
    /// What the model takes it for.
    pub predicted: usize,
    /// Score of the predicted class.
    pub confidence: f64,
    /// Score of the label.
    pub label_score: f64,
    /// The decision's verdict.
    pub verdict: Option<Verdict>,
}

/// Judged outputs of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Whether each class means that the part is good; empty without a decision.
    pub good: Vec<bool>,
    /// The images, in the order given.
    pub images: Vec<Prediction>,
    /// Names of the metadata columns.
    pub columns: Vec<String>,
    /// One value per column for each image, or nothing.
    pub metadata: Vec<Vec<String>>,
    /// File of each image, or nothing.
    pub files: Vec<PathBuf>,
}

impl Prediction {
    /// Whether the model is right.
    #[must_use]
    pub const fn correct(&self) -> bool {
        self.label == self.predicted
    }
}

impl Predictions {
    /// Judges every row.
    ///
    /// # Errors
    /// Counts that do not fit one another, a label that is no class, a row with NaN or infinity, a decision that does
    /// not fit the classes.
    pub fn new(input: Input<'_>) -> Result<Self, EvaluateError> {
        let (classes, images) = (input.classes.len(), input.labels.len());
        let fits = |what, found, expected| {
            if found == expected { Ok(()) } else { Err(EvaluateError::Count { what, found, expected }) }
        };
        if images == 0 || classes == 0 {
            return Err(EvaluateError::Empty);
        }
        fits("numbers in the outputs", input.outputs.len(), images * classes)?;
        if !input.metadata.is_empty() {
            fits("rows of metadata", input.metadata.len(), images)?;
            for row in input.metadata {
                fits("values in a row of metadata", row.len(), input.columns.len())?;
            }
        }
        if !input.files.is_empty() {
            fits("files", input.files.len(), images)?;
        }
        let judge = input.decision.map(|decision| Judge::new(decision, input.classes, classes)).transpose()?;
        let activation = input.decision.map_or(Activation::Softmax, |decision| decision.activation);
        let rows = input.outputs.chunks_exact(classes).zip(input.labels).enumerate();
        let judged = rows.map(|(image, (row, &label))| {
            if label >= classes {
                return Err(EvaluateError::Label { image, label, classes });
            }
            let bad = |source| EvaluateError::Row { image, file: input.files.get(image).cloned(), source };
            let (predicted, scores) = scores(row, activation).map_err(bad)?;
            let verdict = judge.as_ref().map(|judge| judge.judge(row)).transpose().map_err(bad)?;
            let (confidence, label_score) = (scores[predicted], scores[label]);
            Ok(Prediction { label, predicted, confidence, label_score, verdict: verdict.map(|v| v.verdict) })
        });
        let judged = judged.collect::<Result<_, _>>()?;
        let good = input
            .decision
            .map(|decision| input.classes.iter().map(|class| decision.good_classes.contains(class)).collect());
        Ok(Self {
            classes: input.classes.to_vec(),
            good: good.unwrap_or_default(),
            images: judged,
            columns: input.columns.to_vec(),
            metadata: input.metadata.to_vec(),
            files: input.files.to_vec(),
        })
    }

    /// Whether the image shows a good part; none without a decision.
    #[must_use]
    pub fn is_good(&self, image: &Prediction) -> Option<bool> {
        self.good.get(image.label).copied()
    }
}

/// Greatest class (the first on a tie, as `Judge`) and the scores after activation.
fn scores(row: &[f32], activation: Activation) -> Result<(usize, Vec<f64>), RowError> {
    let mut best = 0;
    for (class, &found) in row.iter().enumerate() {
        if !found.is_finite() {
            return Err(RowError::NotFinite { class, found });
        }
        if found > row[best] {
            best = class;
        }
    }
    let scores = match activation {
        Activation::None => row.iter().map(|x| f64::from(*x).clamp(0.0, 1.0)).collect(),
        Activation::Sigmoid => row.iter().map(|x| 1.0 / (1.0 + (-f64::from(*x)).exp())).collect(),
        Activation::Softmax => {
            let terms: Vec<f64> = row.iter().map(|x| (f64::from(*x) - f64::from(row[best])).exp()).collect();
            let sum: f64 = terms.iter().sum();
            terms.into_iter().map(|term| term / sum).collect()
        }
    };
    Ok((best, scores))
}
