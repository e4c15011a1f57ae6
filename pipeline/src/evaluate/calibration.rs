//! Whether a score of 0.9 is right nine times in ten.

use serde::{Deserialize, Serialize};

use super::predictions::Prediction;

/// Number of bins of equal width (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).
const BINS: usize = 15;

/// Reliability of the scores of the predicted classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Expected calibration error: mean over images of |accuracy - confidence| of their bin.
    pub error: f64,
    /// The bins that hold images, by rising confidence.
    pub bins: Vec<Bin>,
}

/// Images of similar confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Number of images.
    pub images: u64,
    /// Mean score of the predicted class.
    pub confidence: f64,
    /// Share of right predictions.
    pub accuracy: f64,
}

impl Calibration {
    pub(super) fn of(images: &[&Prediction]) -> Self {
        let mut sums = [(0_u64, 0.0_f64, 0_u64); BINS];
        for image in images {
            // Bins are ]k/15, (k+1)/15], as in the paper.
            let bin = ((image.confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            sums[bin].0 += 1;
            sums[bin].1 += image.confidence;
            sums[bin].2 += u64::from(image.correct());
        }
        let filled = sums.into_iter().filter(|(count, ..)| *count > 0);
        let bins: Vec<Bin> = filled
            .map(|(count, confidence, correct)| Bin {
                images: count,
                confidence: confidence / count as f64,
                accuracy: correct as f64 / count as f64,
            })
            .collect();
        let weighted = bins.iter().map(|bin| bin.images as f64 * (bin.accuracy - bin.confidence).abs());
        Self { error: weighted.sum::<f64>() / images.len().max(1) as f64, bins }
    }
}
