//! Confusion, accuracy, recall, precision, and what reaches the customer.

use serde::{Deserialize, Serialize};
use takt_artifact::decision::Verdict;

use super::calibration::Calibration;
use super::predictions::{Prediction, Predictions};
use super::rate::Rate;

/// Figures of one model on one set of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Number of images.
    pub images: u64,
    /// Share of images whose class is right.
    pub accuracy: Rate,
    /// Mean recall of the classes that occur: every class counts the same, however rare.
    pub balanced_accuracy: f64,
    /// Each class by itself, in the order of the labels.
    pub classes: Vec<ClassMetrics>,
    /// Number of images by label (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
    /// What becomes of good and of defective parts; none without a decision.
    pub verdicts: Option<VerdictRates>,
    /// How far the scores are from frequencies.
    pub calibration: Calibration,
}

/// Figures of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Its name.
    pub class: String,
    /// Share of its images that were found.
    pub recall: Rate,
    /// Share of right ones among the images that were taken for it.
    pub precision: Rate,
}

/// What becomes of good and of defective parts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct VerdictRates {
    /// Defective parts called good, of all defective parts.
    pub escape: Rate,
    /// Good parts called defective, of all good parts.
    pub false_reject: Rate,
    /// Parts that a person has to look at, of all parts.
    pub uncertain: Rate,
}

impl Metrics {
    /// The figures of all images.
    #[must_use]
    pub fn of(predictions: &Predictions) -> Self {
        let images: Vec<&Prediction> = predictions.images.iter().collect();
        let confusion = confusion(predictions.classes.len(), &images);
        let column = |class: usize| confusion.iter().map(|row| row[class]).sum::<u64>();
        let class = |(index, name): (usize, &String)| ClassMetrics {
            class: name.clone(),
            recall: Rate::new(confusion[index][index], confusion[index].iter().sum()),
            precision: Rate::new(confusion[index][index], column(index)),
        };
        Self {
            images: images.len() as u64,
            accuracy: Rate::of(images.iter().map(|image| image.correct())),
            balanced_accuracy: balanced_accuracy(&confusion),
            classes: predictions.classes.iter().enumerate().map(class).collect(),
            verdicts: verdicts(predictions, &images),
            calibration: Calibration::of(&images),
            confusion,
        }
    }
}

/// Number of images by label (row) and predicted class (column).
pub(super) fn confusion(classes: usize, images: &[&Prediction]) -> Vec<Vec<u64>> {
    let mut counts = vec![vec![0; classes]; classes];
    for image in images {
        counts[image.label][image.predicted] += 1;
    }
    counts
}

/// Mean recall of the classes that occur.
pub(super) fn balanced_accuracy(confusion: &[Vec<u64>]) -> f64 {
    let rows = confusion.iter().enumerate();
    let recalls: Vec<f64> = rows.filter_map(|(c, row)| Rate::new(row[c], row.iter().sum()).value).collect();
    recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
}

pub(super) fn verdicts(predictions: &Predictions, images: &[&Prediction]) -> Option<VerdictRates> {
    if predictions.good.is_empty() {
        return None;
    }
    let given = |parts: bool, verdict: Verdict| {
        let parts = images.iter().filter(move |image| predictions.is_good(image) == Some(parts));
        Rate::of(parts.map(move |image| image.verdict == Some(verdict)))
    };
    Some(VerdictRates {
        escape: given(false, Verdict::Good),
        false_reject: given(true, Verdict::Defect),
        uncertain: Rate::of(images.iter().map(|image| image.verdict == Some(Verdict::Uncertain))),
    })
}
