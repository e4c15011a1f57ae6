//! Every gate in one table: its key, its limit, what limits make sense, and what it asks of a report.

use self::Kind::{Amount, Loss, Share};
use super::Bound::{AtLeast, AtMost};
use super::measure::{
    agreement, balanced, drop, figure, gap, least_precision, least_recall, parity, rate, recall_of, robustness,
    verdicts, worst_slice,
};
use super::{Bound, Found, Gates, ParityGate};
use crate::evaluate::parity::Parity;
use crate::evaluate::report::Report;

/// A gate that is given, and how it finds its figure.
pub(super) struct Asked<M> {
    pub(super) gate: String,
    pub(super) limit: f64,
    pub(super) bound: Bound,
    pub(super) kind: Kind,
    pub(super) measure: M,
}

/// Finds a figure in a comparison with single precision.
pub(super) type OfParity = fn(&Parity) -> Found;

/// Finds a figure in a report.
pub(super) type OfReport<'a> = Box<dyn Fn(&Report) -> Found + 'a>;

/// What a limit is, hence which limits make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A share of images.
    Share,
    /// A loss, as a share; below 0 asks for a gain.
    Loss,
    /// A factor, a size or a distance.
    Amount,
}

impl Kind {
    /// Whether a limit of this kind makes sense, and if not, what would.
    pub(super) fn check(self, limit: f64) -> Result<(), &'static str> {
        let (range, expected) = match self {
            Self::Share => (0.0..=1.0, "a fraction from 0 to 1 (half a point is 0.005)"),
            Self::Loss => (-1.0..=1.0, "a fraction from -1 to 1 (half a point is 0.005)"),
            Self::Amount => (0.0..=f64::MAX, "a number of 0 or more"),
        };
        if range.contains(&limit) { Ok(()) } else { Err(expected) }
    }
}

/// The gates that are given, in the order of [`Gates`].
pub(super) fn asked(gates: &Gates) -> Vec<Asked<OfReport<'_>>> {
    const NO_IMAGE: &str = "there is no image";
    const NO_PAIR: &str = "there are no figures of model and parent from one run; measure both";
    let mut all: Vec<Asked<OfReport<'_>>> = Vec::new();
    let mut add = |gate: &str, limit: Option<f64>, bound, kind, measure: fn(&Report) -> Found| {
        let measure: OfReport<'_> = Box::new(measure);
        all.extend(limit.map(|limit| Asked { gate: gate.to_owned(), limit, bound, kind, measure }));
    };
    add("min_accuracy", gates.min_accuracy, AtLeast, Share, |report| {
        rate(&report.metrics.accuracy, "right classes", NO_IMAGE)
    });
    add("min_balanced_accuracy", gates.min_balanced_accuracy, AtLeast, Share, balanced);
    add("min_recall", gates.min_recall, AtLeast, Share, least_recall);
    add("min_precision", gates.min_precision, AtLeast, Share, least_precision);
    add("max_escape_rate", gates.max_escape_rate, AtMost, Share, |report| {
        rate(&verdicts(report)?.escape, "defective parts called good", "no part is defective")
    });
    add("max_false_reject_rate", gates.max_false_reject_rate, AtMost, Share, |report| {
        rate(&verdicts(report)?.false_reject, "good parts called defective", "no part is good")
    });
    add("max_uncertain_rate", gates.max_uncertain_rate, AtMost, Share, |report| {
        rate(&verdicts(report)?.uncertain, "parts left to a person", NO_IMAGE)
    });
    add("max_calibration_error", gates.max_calibration_error, AtMost, Share, |report| {
        figure(Some(report.metrics.calibration.error), "expected calibration error", NO_IMAGE)
    });
    add("max_drop", gates.max_drop, AtMost, Loss, drop);
    add("min_agreement", gates.min_agreement, AtLeast, Share, |report| {
        rate(&agreement(report)?.agreement, "same class as the parent", NO_IMAGE)
    });
    add("max_latency_ratio", gates.max_latency_ratio, AtMost, Amount, |report| {
        figure(report.cost.speedup().map(|times| 1.0 / times), "of the parent's time", NO_PAIR)
    });
    add("min_speedup", gates.min_speedup, AtLeast, Amount, |report| {
        figure(report.cost.speedup(), "times faster than the parent", NO_PAIR)
    });
    add("min_size_ratio", gates.min_size_ratio, AtLeast, Amount, |report| {
        figure(report.cost.size_ratio(), "times smaller than the parent", NO_PAIR)
    });
    add("max_size_bytes", gates.max_size_bytes.map(|bytes| bytes as f64), AtMost, Amount, |report| {
        figure(report.cost.size_bytes.map(|n| n as f64), "bytes", "the artefact's size is not known; name its file")
    });
    add("max_memory_bytes", gates.max_memory_bytes.map(|bytes| bytes as f64), AtMost, Amount, |report| {
        figure(report.cost.memory_bytes.map(|n| n as f64), "bytes resident", "the model was not run; run it")
    });
    named(gates, &mut all);
    all
}

/// Gates on a class, a column, a trial or an artefact by its name.
fn named<'a>(gates: &'a Gates, all: &mut Vec<Asked<OfReport<'a>>>) {
    let mut add = |gate: String, limit: Option<f64>, bound, kind, measure: Box<dyn Fn(&Report) -> Found + 'a>| {
        all.extend(limit.map(|limit| Asked { gate, limit, bound, kind, measure }));
    };
    for (class, limit) in &gates.min_recall_of {
        let measure = Box::new(move |report: &Report| recall_of(report, class));
        add(format!("min_recall_of.{class}"), Some(*limit), AtLeast, Share, measure);
    }
    for (column, gate) in &gates.slices {
        let key = |name: &str| format!("slices.{column}.{name}");
        let measure = Box::new(move |report: &Report| worst_slice(report, column));
        add(key("min_balanced_accuracy"), gate.min_balanced_accuracy, AtLeast, Share, measure);
        add(key("max_gap"), gate.max_gap, AtMost, Share, Box::new(move |report| gap(report, column)));
    }
    for (name, gate) in &gates.robustness {
        let measure = Box::new(move |report: &Report| {
            let trial = robustness(report, name)?;
            if trial.corruption != gate.corruption {
                return Err(format!(
                    "the trial '{name}' was {}; run it again with {}",
                    trial.corruption, gate.corruption
                ));
            }
            figure(Some(trial.drop), &format!("loss in balanced accuracy under {}", trial.corruption), "")
        });
        add(format!("robustness.{name}.max_drop"), Some(gate.max_drop), AtMost, Loss, measure);
    }
    for (artefact, gate) in &gates.parity {
        for Asked { gate, limit, bound, kind, measure } in of_parity(artefact, gate) {
            add(gate, Some(limit), bound, kind, Box::new(move |report: &Report| measure(parity(report, artefact)?)));
        }
    }
}

/// The gates that are given on an artefact's nearness to single precision.
pub(super) fn of_parity(artefact: &str, gate: &ParityGate) -> Vec<Asked<OfParity>> {
    let mut all: Vec<Asked<OfParity>> = Vec::new();
    let mut add = |name: &str, limit: Option<f64>, bound, kind, measure: OfParity| {
        let gate = format!("parity.{artefact}.{name}");
        all.extend(limit.map(|limit| Asked { gate, limit, bound, kind, measure }));
    };
    add("min_top1", gate.min_top1, AtLeast, Share, |parity| {
        rate(&parity.top1, "same class as fp32", "there is no image")
    });
    add("min_cosine", gate.min_cosine, AtLeast, Share, |parity| {
        figure(Some(parity.mean_cosine), "mean cosine with fp32", "")
    });
    add("max_difference", gate.max_difference, AtMost, Amount, |parity| {
        figure(Some(parity.max_difference), "greatest difference from fp32", "")
    });
    all
}
