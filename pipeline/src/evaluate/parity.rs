//! A packaged artefact against the fp32 model it should equal, output by output.

use serde::{Deserialize, Serialize};

use super::error::EvaluateError;
use super::rate::Rate;

/// How near an artefact's outputs are to those of fp32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    /// The artefact, such as `cpu-int8`.
    pub artefact: String,
    /// Share of images with the same greatest class.
    pub top1: Rate,
    /// Greatest difference of any output.
    pub max_difference: f64,
    /// Mean cosine of the rows.
    pub mean_cosine: f64,
}

impl Parity {
    /// Compares rows of `classes` numbers.
    ///
    /// # Errors
    /// Another number of outputs, none at all, or outputs that are no numbers.
    pub fn of(artefact: &str, classes: usize, outputs: &[f32], fp32: &[f32]) -> Result<Self, EvaluateError> {
        if classes == 0 || fp32.is_empty() || !fp32.len().is_multiple_of(classes) {
            return Err(EvaluateError::Empty);
        }
        if outputs.len() != fp32.len() {
            let (found, expected) = (outputs.len(), fp32.len());
            return Err(EvaluateError::Count { what: "numbers in the artefact's outputs", found, expected });
        }
        for (image, row) in outputs.chunks_exact(classes).chain(fp32.chunks_exact(classes)).enumerate() {
            if let Some((class, &found)) = row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                let source = takt_artifact::judge::RowError::NotFinite { class, found };
                return Err(EvaluateError::Row { image: image % (fp32.len() / classes), file: None, source });
            }
        }
        let rows = || outputs.chunks_exact(classes).zip(fp32.chunks_exact(classes));
        let difference = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
        Ok(Self {
            artefact: artefact.to_owned(),
            top1: Rate::of(rows().map(|(ours, theirs)| greatest(ours) == greatest(theirs))),
            max_difference: outputs.iter().zip(fp32).map(difference).fold(0.0, f64::max),
            mean_cosine: rows().map(|(ours, theirs)| cosine(ours, theirs)).sum::<f64>() / rows().count() as f64,
        })
    }
}

fn greatest(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best })
}

/// 1 where both rows are zero.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let length = (dot(a, a) * dot(b, b)).sqrt();
    if length > 0.0 { dot(a, b) / length } else { f64::from(u8::from(dot(a, a) == dot(b, b))) }
}
