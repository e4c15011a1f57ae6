//! A [`Decision`] made ready to judge rows.
//!
//! For a row of numbers x, one per class, the rules apply in this order:
//!
//! 1. A row of another length, with a NaN or an infinity, or (with [`Activation::None`]) with a score outside 0 to 1
//!    is an error and no verdict.
//! 2. The *class* is the one with the greatest x; the first of them on a tie. Every activation is monotone, so this is
//!    also the class with the highest score, without ties that rounding makes.
//! 3. The *score* is the class's after activation. The *defect score* is 1 - the sum of the good classes' scores, cut
//!    to 0..=1 (sigmoid scores need not sum to 1).
//! 4. Defect score within the `uncertain` band, `low <= d < high`: [`Verdict::Uncertain`], whatever the class.
//! 5. The class is good: [`Verdict::Good`].
//! 6. The class is a defect and its score reaches its threshold (0 where not given): [`Verdict::Defect`].
//! 7. Else [`Verdict::Uncertain`].

mod confidence;

pub use self::confidence::Confidence;

use crate::Decision;
use crate::decision::{Activation, Band, Judgement, Verdict};
use crate::fault::Fault;

/// How far a score may lie outside 0..=1 before it is no score: what rounding to half precision can do to a sum.
const SCORE_SLACK: f32 = 1e-3;

/// A decision over a known number of classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    activation: Activation,
    classes: Vec<Class>,
    uncertain: Option<Band>,
}

#[derive(Debug, Clone, PartialEq)]
struct Class {
    label: String,
    good: bool,
    threshold: f32,
}

/// Why a decision does not fit the labels and classes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("decision: {}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
pub struct DecisionErrors {
    /// Everything that is wrong; never empty.
    pub faults: Vec<Fault>,
}

/// Why a row has no verdict.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RowError {
    /// The row does not have one number per class.
    #[error("the row has {found} numbers, expected {expected}, one per class")]
    Length {
        /// Numbers in the row.
        found: usize,
        /// Classes of the decision.
        expected: usize,
    },
    /// The model gave a number that is none.
    #[error(
        "class {class} has {found}, expected a finite number; the model or its input is broken, there is no verdict"
    )]
    NotFinite {
        /// Index of the class.
        class: usize,
        /// NaN or an infinity.
        found: f32,
    },
    /// With [`Activation::None`] the row should hold scores and does not.
    #[error(
        "class {class} has {found}, expected a score from 0 to 1; set decision.activation to softmax or sigmoid if the output holds logits"
    )]
    NotAScore {
        /// Index of the class.
        class: usize,
        /// The number.
        found: f32,
    },
}

impl RowError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Length { .. } => "row_length",
            Self::NotFinite { .. } => "not_finite",
            Self::NotAScore { .. } => "not_a_score",
        }
    }
}

impl Judge {
    /// Prepares `decision` for rows of `classes` numbers. Where `labels` is empty, classes are called by their index.
    ///
    /// # Errors
    /// Everything in which decision, labels and classes disagree.
    pub fn new(decision: &Decision, labels: &[String], classes: usize) -> Result<Self, DecisionErrors> {
        let faults = decision.faults(labels, Some(classes));
        if !faults.is_empty() {
            return Err(DecisionErrors { faults });
        }
        let label = |i: usize| labels.get(i).cloned().unwrap_or_else(|| i.to_string());
        let class = |label: String| Class {
            good: decision.good_classes.contains(&label),
            threshold: decision.thresholds.get(&label).copied().unwrap_or(0.0),
            label,
        };
        Ok(Self {
            activation: decision.activation,
            classes: (0..classes).map(label).map(class).collect(),
            uncertain: decision.uncertain,
        })
    }

    /// Number of classes, hence of numbers in a row.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Labels of all classes, in order, each with whether it means that the part is good.
    pub fn verdicts(&self) -> impl Iterator<Item = (&str, bool)> {
        self.classes.iter().map(|class| (class.label.as_str(), class.good))
    }

    /// Label of a class.
    #[must_use]
    pub fn label(&self, class: usize) -> Option<&str> {
        Some(&self.classes.get(class)?.label)
    }

    /// Judges one row by the rules above. Allocates nothing but the label.
    ///
    /// # Errors
    /// A row that holds no usable numbers.
    pub fn judge(&self, row: &[f32]) -> Result<Judgement, RowError> {
        let class = self.argmax(row)?;
        let (score, defect_score) = self.scores(row, class);
        let Class { label, good, threshold } = &self.classes[class];
        let in_band = self.uncertain.is_some_and(|band| band.low <= defect_score && defect_score < band.high);
        let verdict = match (in_band, good) {
            (true, _) => Verdict::Uncertain,
            (false, true) => Verdict::Good,
            (false, false) if score >= *threshold => Verdict::Defect,
            (false, false) => Verdict::Uncertain,
        };
        Ok(Judgement { class, label: label.clone(), score, defect_score, verdict })
    }

    /// Rules 1 and 2.
    fn argmax(&self, row: &[f32]) -> Result<usize, RowError> {
        if row.len() != self.classes.len() {
            return Err(RowError::Length { found: row.len(), expected: self.classes.len() });
        }
        let scores = -SCORE_SLACK..=1.0 + SCORE_SLACK;
        let mut best = 0;
        for (class, &found) in row.iter().enumerate() {
            if !found.is_finite() {
                return Err(RowError::NotFinite { class, found });
            }
            if self.activation == Activation::None && !scores.contains(&found) {
                return Err(RowError::NotAScore { class, found });
            }
            if found > row[best] {
                best = class;
            }
        }
        Ok(best)
    }

    /// Rule 3: score of `class` and the defect score. Sums run in double precision: a thousand classes lose nothing.
    fn scores(&self, row: &[f32], class: usize) -> (f32, f32) {
        let sum = |wanted: bool, score: &dyn Fn(f32) -> f64| -> f64 {
            let of = self.classes.iter().zip(row);
            of.filter(|(class, _)| class.good == wanted).map(|(_, &x)| score(x)).sum()
        };
        let (score, defect) = match self.activation {
            Activation::None => (f64::from(row[class]), 1.0 - sum(true, &|x| f64::from(x))),
            Activation::Sigmoid => (sigmoid(row[class]), 1.0 - sum(true, &sigmoid)),
            Activation::Softmax => {
                // Shifted by the greatest number, so that exp cannot overflow and the class's own term is 1. The
                // defects are summed themselves: 1 - (nearly 1) would cancel their digits.
                let term = |x: f32| (f64::from(x) - f64::from(row[class])).exp();
                let (good, defect) = (sum(true, &term), sum(false, &term));
                (1.0 / (good + defect), defect / (good + defect))
            }
        };
        (narrow(score), narrow(defect))
    }
}

fn sigmoid(x: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(x)).exp())
}

#[expect(clippy::cast_possible_truncation, reason = "scores are published in single precision")]
fn narrow(score: f64) -> f32 {
    score.clamp(0.0, 1.0) as f32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    pub(super) fn labels() -> Vec<String> {
        ["ok", "scratch", "dent"].map(str::to_owned).to_vec()
    }

    pub(super) fn decision(activation: Activation) -> Decision {
        Decision {
            output: "logits".to_owned(),
            activation,
            good_classes: vec!["ok".to_owned()],
            thresholds: BTreeMap::from([("dent".to_owned(), 0.9)]),
            uncertain: None,
        }
    }

    fn judge(activation: Activation, row: &[f32]) -> Result<Judgement, RowError> {
        let judge = Judge::new(&decision(activation), &labels(), 3).unwrap();
        judge.judge(row)
    }

    fn verdict(activation: Activation, row: &[f32]) -> Verdict {
        judge(activation, row).unwrap().verdict
    }

    #[test]
    fn the_greatest_number_names_the_class() {
        let found = judge(Activation::Softmax, &[1.0, 3.0, 2.0]).unwrap();
        // e^2 / (1 + e + e^2) and 1 - 1 / (1 + e + e^2)
        assert_eq!((found.class, found.label.as_str()), (1, "scratch"));
        assert!((found.score - 0.665_240_94).abs() < 1e-6, "{found:?}");
        assert!((found.defect_score - 0.909_969_4).abs() < 1e-6, "{found:?}");
        assert_eq!(found.verdict, Verdict::Defect);
    }

    #[test]
    fn a_defect_below_its_threshold_is_uncertain() {
        assert_eq!(verdict(Activation::None, &[0.05, 0.05, 0.9]), Verdict::Defect);
        assert_eq!(verdict(Activation::None, &[0.1, 0.05, 0.85]), Verdict::Uncertain);
        assert_eq!(verdict(Activation::None, &[0.8, 0.1, 0.1]), Verdict::Good);
    }

    #[test]
    fn the_band_sends_even_good_parts_to_a_person() {
        let mut decision = decision(Activation::None);
        decision.uncertain = Some(Band { low: 0.25, high: 0.5 });
        let judge = Judge::new(&decision, &labels(), 3).unwrap();
        let verdict = |good: f32| judge.judge(&[good, 1.0 - good, 0.0]).unwrap().verdict;
        assert_eq!(verdict(0.8), Verdict::Good);
        assert_eq!(verdict(0.75), Verdict::Uncertain, "low is inclusive");
        assert_eq!(verdict(0.6), Verdict::Uncertain);
        assert_eq!(verdict(0.5), Verdict::Good, "high is exclusive");
        assert_eq!(verdict(0.4), Verdict::Defect);
    }

    #[test]
    fn the_first_class_wins_a_tie() {
        let found = judge(Activation::Softmax, &[2.0, 2.0, 2.0]).unwrap();
        assert_eq!((found.class, found.verdict), (0, Verdict::Good));
    }

    #[test]
    fn saturated_sigmoids_still_rank_by_their_logits() {
        let found = judge(Activation::Sigmoid, &[30.0, 40.0, -40.0]).unwrap();
        assert_eq!((found.class, found.score), (1, 1.0));
    }

    #[test]
    fn broken_rows_have_an_error_and_no_verdict() {
        let error = |row: &[f32]| judge(Activation::Softmax, row).unwrap_err().kind();
        assert_eq!(error(&[0.0, f32::NAN, 1.0]), "not_finite");
        assert_eq!(error(&[0.0, 1.0, f32::INFINITY]), "not_finite");
        assert_eq!(error(&[f32::NEG_INFINITY, 1.0, 0.0]), "not_finite");
        assert_eq!(error(&[0.0, 1.0]), "row_length");
        assert_eq!(error(&[]), "row_length");
        let error = judge(Activation::None, &[0.0, 3.2, 0.0]).unwrap_err();
        assert_eq!(error.kind(), "not_a_score");
        assert!(error.to_string().contains("3.2"), "{error}");
    }

    #[test]
    fn without_labels_classes_go_by_their_index() {
        let mut decision = decision(Activation::Softmax);
        decision.good_classes = vec!["0".to_owned()];
        decision.thresholds.clear();
        let judge = Judge::new(&decision, &[], 2).unwrap();
        let found = judge.judge(&[0.0, 1.0]).unwrap();
        assert_eq!((found.label.as_str(), found.verdict), ("1", Verdict::Defect));
        decision.good_classes = vec!["2".to_owned(), "00".to_owned()];
        let error = Judge::new(&decision, &[], 2).unwrap_err();
        assert_eq!(error.faults.len(), 2, "{error}");
    }

    #[test]
    fn all_faults_of_a_decision_are_told_at_once() {
        let decision = Decision {
            output: "logits".to_owned(),
            activation: Activation::Softmax,
            good_classes: vec!["good".to_owned()],
            thresholds: BTreeMap::from([("hole".to_owned(), 0.5), ("dent".to_owned(), f32::NAN)]),
            uncertain: Some(Band { low: 0.5, high: 0.5 }),
        };
        let error = Judge::new(&decision, &labels(), 4).unwrap_err();
        let paths: Vec<_> = error.faults.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["labels", "good_classes[0]", "thresholds[\"dent\"]", "thresholds[\"hole\"]", "uncertain"]);
        let empty = Decision {
            good_classes: vec![],
            thresholds: BTreeMap::from([("dent".to_owned(), 1.5)]),
            uncertain: None,
            ..decision
        };
        let error = Judge::new(&empty, &labels(), 3).unwrap_err().to_string();
        assert!(error.contains("good_classes") && error.contains("1.5"), "{error}");
    }

    proptest! {
        /// Sixteenths and whole numbers add without rounding, so the softmax must not notice at all.
        #[test]
        fn a_constant_added_to_all_logits_changes_nothing(
            row in prop::array::uniform3(-400_i16..400),
            constant in -3000_i16..3000,
        ) {
            let row = row.map(|x| f32::from(x) / 16.0);
            let moved = row.map(|x| x + f32::from(constant));
            prop_assert_eq!(judge(Activation::Softmax, &row), judge(Activation::Softmax, &moved));
        }

        #[test]
        fn softmax_scores_are_probabilities_for_any_finite_row(
            row in prop::array::uniform3(prop::num::f32::NORMAL | prop::num::f32::ZERO),
        ) {
            let found = judge(Activation::Softmax, &row).unwrap();
            prop_assert!((1.0 / 3.0 - 1e-6..=1.0).contains(&found.score), "{:?}", found);
            prop_assert!((0.0..=1.0).contains(&found.defect_score), "{:?}", found);
            prop_assert!(row.iter().all(|&x| x <= row[found.class]));
        }

        /// Swapping two defects with equal thresholds may move the class, never the verdict on the part.
        #[test]
        fn defects_may_change_places(row in prop::array::uniform3(-20.0_f32..20.0)) {
            let mut decision = decision(Activation::Softmax);
            decision.thresholds = BTreeMap::from([("dent".to_owned(), 0.6), ("scratch".to_owned(), 0.6)]);
            decision.uncertain = Some(Band { low: 0.3, high: 0.6 });
            let judge = Judge::new(&decision, &labels(), 3).unwrap();
            let here = judge.judge(&row).unwrap();
            let there = judge.judge(&[row[0], row[2], row[1]]).unwrap();
            prop_assert_eq!(here.verdict, there.verdict);
            prop_assert_eq!(here.score, there.score);
        }

        #[test]
        fn more_of_a_defect_never_makes_a_part_good(
            row in prop::array::uniform3(-20.0_f32..20.0),
            more in 0.0_f32..20.0,
        ) {
            let before = judge(Activation::Softmax, &row).unwrap();
            let after = judge(Activation::Softmax, &[row[0], row[1] + more, row[2]]).unwrap();
            prop_assert!(after.defect_score >= before.defect_score - 1e-6);
            prop_assert!(after.verdict != Verdict::Good || before.verdict == Verdict::Good);
        }

        #[test]
        fn a_row_with_a_number_that_is_none_never_gets_a_verdict(
            mut row in prop::collection::vec(-20.0_f32..20.0, 3),
            at in 0_usize..3,
            bad in prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        ) {
            row[at] = bad;
            for activation in [Activation::None, Activation::Softmax, Activation::Sigmoid] {
                prop_assert!(judge(activation, &row).is_err());
            }
        }
    }
}
