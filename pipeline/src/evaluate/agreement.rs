//! A model against the parent it was made from, image by image: both saw the same ones, so chance in the images cancels.

use serde::{Deserialize, Serialize};
use takt_artifact::decision::Verdict;

use super::error::EvaluateError;
use super::predictions::Predictions;
use super::rate::{Rate, Z_ONE_SIDED, Z_TWO_SIDED};

/// How a model differs from its parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Share of images that both take for the same class, right or wrong.
    pub agreement: Rate,
    /// Images that only one of them gets right.
    pub correct: McNemar,
    /// Loss in balanced accuracy.
    pub drop: PairedDrop,
    /// Defective parts that only one of them catches (calls other than good); none without a decision.
    pub caught: Option<McNemar>,
}

/// McNemar's exact test ("Note on the sampling error of the difference between correlated proportions", 1947).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Successes of the parent where the model fails.
    pub parent_only: u64,
    /// Successes of the model where the parent fails.
    pub model_only: u64,
    /// Two-sided p value of both being equally good: twice the smaller tail of a fair coin, at most 1.
    pub p: f64,
}

/// Loss in balanced accuracy from parent to model; above 0 is worse.
///
/// The difference of recalls is a mean over paired trials, so its variance per class is that of paired proportions.
/// Bonett and Price ("Adjusted Wald confidence interval for a difference of binomial proportions based on paired data",
/// 2012) add one to each discordant count, which keeps the interval honest where few images differ or none; here their
/// adjustment is in the variance alone, and the classes are independent strata of equal weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedDrop {
    /// The loss, as a fraction: 0.005 is half a point.
    pub drop: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Two-sided 95 % interval.
    pub interval: [f64; 2],
    /// One-sided upper 95 % bound.
    pub upper_95: f64,
}

impl Agreement {
    /// Compares a model with its parent on the same images.
    ///
    /// # Errors
    /// Other images, classes or labels.
    pub fn of(model: &Predictions, parent: &Predictions) -> Result<Self, EvaluateError> {
        let fits = |what, found, expected| {
            if found == expected { Ok(()) } else { Err(EvaluateError::Count { what, found, expected }) }
        };
        fits("images of the parent", parent.images.len(), model.images.len())?;
        fits("classes of the parent", parent.classes.len(), model.classes.len())?;
        let pairs = || model.images.iter().zip(&parent.images);
        let same = pairs().filter(|(ours, theirs)| ours.label == theirs.label).count();
        fits("images with the label that the parent's have", same, model.images.len())?;
        let caught = |verdict: Option<Verdict>| verdict != Some(Verdict::Good);
        let defective = pairs().filter(|(ours, _)| model.is_good(ours) == Some(false));
        let has_verdicts = !model.good.is_empty() && !parent.good.is_empty();
        Ok(Self {
            agreement: Rate::of(pairs().map(|(ours, theirs)| ours.predicted == theirs.predicted)),
            correct: McNemar::of(pairs().map(|(ours, theirs)| (ours.correct(), theirs.correct()))),
            drop: PairedDrop::of(&discordant(model, parent)),
            caught: has_verdicts
                .then(|| McNemar::of(defective.map(|(ours, theirs)| (caught(ours.verdict), caught(theirs.verdict))))),
        })
    }
}

impl McNemar {
    /// From (success of the model, success of the parent) per image.
    fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let (mut parent_only, mut model_only) = (0, 0);
        for (model, parent) in pairs {
            parent_only += u64::from(parent && !model);
            model_only += u64::from(model && !parent);
        }
        Self { parent_only, model_only, p: exact_p(parent_only, model_only) }
    }
}

/// Images, failures of the model alone and failures of the parent alone, per class.
fn discordant(model: &Predictions, parent: &Predictions) -> Vec<[u64; 3]> {
    let mut counts = vec![[0; 3]; model.classes.len()];
    for (ours, theirs) in model.images.iter().zip(&parent.images) {
        let count = &mut counts[ours.label];
        count[0] += 1;
        count[1] += u64::from(theirs.correct() && !ours.correct());
        count[2] += u64::from(ours.correct() && !theirs.correct());
    }
    counts
}

impl PairedDrop {
    /// From images, failures of the model alone and failures of the parent alone, per class.
    pub(super) fn of(classes: &[[u64; 3]]) -> Self {
        let present: Vec<[f64; 3]> =
            classes.iter().filter(|count| count[0] > 0).map(|count| count.map(|n| n as f64)).collect();
        let k = present.len().max(1) as f64;
        let drop = present.iter().map(|[n, lost, won]| (lost - won) / n).sum::<f64>() / k;
        let variance = present.iter().map(|[n, lost, won]| {
            let (lost, won, n) = ((lost + 1.0) / (n + 2.0), (won + 1.0) / (n + 2.0), n + 2.0);
            (lost + won - (lost - won) * (lost - won)) / n
        });
        let standard_error = variance.sum::<f64>().sqrt() / k;
        let within = |z: f64| [drop - z * standard_error, drop + z * standard_error];
        Self { drop, standard_error, interval: within(Z_TWO_SIDED), upper_95: within(Z_ONE_SIDED)[1] }
    }
}

/// Twice the chance that a fair coin shows `min(a, b)` or fewer of one side in `a + b` throws, at most 1.
pub(super) fn exact_p(a: u64, b: u64) -> f64 {
    let n = a + b;
    // Terms ln C(n, k) - n ln 2, one from the other; far tails underflow to the 0 that they are.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = term.exp();
    for k in 0..a.min(b) {
        term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
        tail += term.exp();
    }
    (2.0 * tail).min(1.0)
}
