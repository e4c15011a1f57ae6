//! How sure a row is, whatever it says: what drift of a model's answers is measured on.

use super::{Activation, Judge, RowError, narrow, sigmoid};

/// Figures of one row's scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// The greatest score, 0 to 1.
    pub top: f32,
    /// Shannon entropy in nats of the scores, made to sum to 1; 0 to ln(classes).
    pub entropy: f32,
    /// The greatest score minus the second greatest; the greatest itself where there is one class.
    pub margin: f32,
}

impl Judge {
    /// How sure the row is. Allocates nothing.
    ///
    /// # Errors
    /// A row that holds no usable numbers, as [`Judge::judge`].
    pub fn confidence(&self, row: &[f32]) -> Result<Confidence, RowError> {
        let best = self.argmax(row)?;
        let score = |x: f32| match self.activation {
            Activation::None => f64::from(x).max(0.0),
            Activation::Sigmoid => sigmoid(x),
            // Shifted by the greatest number, so that exp cannot overflow.
            Activation::Softmax => (f64::from(x) - f64::from(row[best])).exp(),
        };
        let (mut sum, mut weighted, mut second) = (0.0, 0.0, 0.0_f64);
        for (class, &x) in row.iter().enumerate() {
            let score = score(x);
            sum += score;
            if score > 0.0 {
                weighted += score * score.ln();
            }
            if class != best {
                second = second.max(score);
            }
        }
        let top = score(row[best]);
        // -sum p ln p with p = score / sum.
        let entropy = if sum > 0.0 { (sum.ln() - weighted / sum).max(0.0) } else { 0.0 };
        let unit = if self.activation == Activation::Softmax { sum } else { 1.0 };
        #[expect(clippy::cast_possible_truncation, reason = "features are published in single precision")]
        let entropy = entropy as f32;
        Ok(Confidence { top: narrow(top / unit), entropy, margin: narrow((top - second) / unit) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decision, labels};
    use super::*;

    fn confidence(activation: Activation, row: &[f32]) -> Confidence {
        Judge::new(&decision(activation), &labels(), 3).unwrap().confidence(row).unwrap()
    }

    fn close(found: Confidence, top: f32, entropy: f32, margin: f32) {
        let near = |a: f32, b: f32| (a - b).abs() < 1e-6;
        assert!(near(found.top, top) && near(found.entropy, entropy) && near(found.margin, margin), "{found:?}");
    }

    #[test]
    fn equal_logits_are_as_unsure_as_can_be() {
        close(confidence(Activation::Softmax, &[7.0; 3]), 1.0 / 3.0, 3.0_f32.ln(), 0.0);
    }

    #[test]
    fn one_class_far_above_the_others_is_sure_without_overflow() {
        close(confidence(Activation::Softmax, &[-3e38, 3e38, 0.0]), 1.0, 0.0, 1.0);
    }

    #[test]
    fn scores_are_taken_as_they_are() {
        // -(0.5 ln 0.5 + 0.3 ln 0.3 + 0.2 ln 0.2)
        close(confidence(Activation::None, &[0.3, 0.5, 0.2]), 0.5, 1.029_653, 0.2);
    }

    #[test]
    fn sigmoid_scores_need_not_sum_to_one() {
        let found = confidence(Activation::Sigmoid, &[0.0, 0.0, 0.0]);
        close(found, 0.5, 3.0_f32.ln(), 0.0);
    }

    #[test]
    fn a_broken_row_has_none() {
        let judge = Judge::new(&decision(Activation::Softmax), &labels(), 3).unwrap();
        assert_eq!(judge.confidence(&[0.0, f32::NAN, 1.0]).unwrap_err().kind(), "not_finite");
    }
}
