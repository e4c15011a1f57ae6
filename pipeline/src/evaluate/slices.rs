//! The same figures for parts of the images, by each metadata column: a model that is right on average may be wrong on
//! one station every day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metrics::{VerdictRates, balanced_accuracy, confusion, verdicts};
use super::predictions::{Prediction, Predictions};
use super::rate::Rate;

/// Most values of a column that are slices; a column with more, such as a time, tells images apart and not groups.
const MOST_VALUES: usize = 50;

/// A column of numbers with more values than this is cut into quarters.
const NUMBERS: usize = 12;

/// The slices of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSlices {
    /// The column.
    pub column: String,
    /// Fewest images of a slice that may be the worst, or count for the gap.
    pub min_count: u64,
    /// The slices, by value; numbers by rising quarter.
    pub slices: Vec<Slice>,
    /// The slice with the least balanced accuracy among those with enough images.
    pub worst: Option<Slice>,
    /// Greatest less least balanced accuracy among the slices with enough images; none with fewer than two.
    pub gap: Option<f64>,
    /// Why there are no slices.
    pub skipped: Option<String>,
}

/// The images of one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// The value, or the range of the quarter.
    pub value: String,
    /// Number of images.
    pub images: u64,
    /// Share of images whose class is right.
    pub accuracy: Rate,
    /// Mean recall of the classes that occur in the slice.
    pub balanced_accuracy: f64,
    /// What becomes of parts; none without a decision.
    pub verdicts: Option<VerdictRates>,
}

impl ColumnSlices {
    /// The slices of every column.
    #[must_use]
    pub fn of_all(predictions: &Predictions, min_count: u64) -> Vec<Self> {
        let columns = predictions.columns.iter().enumerate();
        columns.map(|(index, name)| Self::of(predictions, index, name, min_count)).collect()
    }

    fn of(predictions: &Predictions, index: usize, column: &str, min_count: u64) -> Self {
        let mut found =
            Self { column: column.to_owned(), min_count, slices: Vec::new(), worst: None, gap: None, skipped: None };
        let mut groups: BTreeMap<&str, Vec<&Prediction>> = BTreeMap::new();
        for (image, row) in predictions.images.iter().zip(&predictions.metadata) {
            groups.entry(row.get(index).map_or("", String::as_str)).or_default().push(image);
        }
        let groups: Vec<(String, Vec<&Prediction>)> = match quarters(&groups) {
            Some(quarters) => quarters,
            None if groups.len() > MOST_VALUES => {
                found.skipped = Some(format!("{} different values, more than {MOST_VALUES}", groups.len()));
                return found;
            }
            None => {
                let named = |value: &str| if value.is_empty() { "(none)".to_owned() } else { value.to_owned() };
                groups.into_iter().map(|(value, images)| (named(value), images)).collect()
            }
        };
        found.slices = groups.into_iter().map(|(value, images)| Slice::of(predictions, value, &images)).collect();
        let enough = || found.slices.iter().filter(|slice| slice.images >= min_count);
        let by_accuracy = |a: &&Slice, b: &&Slice| a.balanced_accuracy.total_cmp(&b.balanced_accuracy);
        let (worst, best) = (enough().min_by(by_accuracy).cloned(), enough().max_by(by_accuracy));
        if enough().count() > 1
            && let (Some(worst), Some(best)) = (&worst, best)
        {
            found.gap = Some(best.balanced_accuracy - worst.balanced_accuracy);
        }
        found.worst = worst;
        found
    }
}

impl Slice {
    fn of(predictions: &Predictions, value: String, images: &[&Prediction]) -> Self {
        Self {
            value,
            images: images.len() as u64,
            accuracy: Rate::of(images.iter().map(|image| image.correct())),
            balanced_accuracy: balanced_accuracy(&confusion(predictions.classes.len(), images)),
            verdicts: verdicts(predictions, images),
        }
    }
}

/// Images by quarter of their number, where all values are numbers and there are many.
fn quarters<'a>(groups: &BTreeMap<&str, Vec<&'a Prediction>>) -> Option<Vec<(String, Vec<&'a Prediction>)>> {
    if groups.len() <= NUMBERS {
        return None;
    }
    let mut images: Vec<(f64, &'a Prediction)> = Vec::new();
    for (value, members) in groups {
        let number = value.parse::<f64>().ok().filter(|number| number.is_finite())?;
        images.extend(members.iter().map(|image| (number, *image)));
    }
    images.sort_by(|a, b| a.0.total_cmp(&b.0));
    let quarter = images.len().div_ceil(4);
    let range = |chunk: &[(f64, &'a Prediction)]| match (chunk.first(), chunk.last()) {
        (Some((low, _)), Some((high, _))) => format!("{low} to {high}"),
        _ => String::new(),
    };
    Some(images.chunks(quarter).map(|chunk| (range(chunk), chunk.iter().map(|(_, image)| *image).collect())).collect())
}
