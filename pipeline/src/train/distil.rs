//! How a teacher is listened to.

use serde::{Deserialize, Serialize};

use super::error::TrainError;

/// Learning from a teacher: `(1 - alpha) CE + alpha T^2 KL + logits_l2 L2 + features L2` (Hinton et al. 2015; Romero et al. 2015,
/// "FitNets", for features), where an L2 is the mean squared difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Distil {
    /// T, by which logits are divided before the softmax.
    pub temperature: f64,
    /// Weight of the teacher's answers against the labels; 1 leaves the labels out.
    pub alpha: f64,
    /// Weight of the mean squared difference of logits; with `alpha` 0 this is the plain L2 of the mission.
    pub logits_l2: f64,
    /// Weight of the mean squared difference of features, each channel averaged over the image; 0 leaves them out.
    #[serde(skip_serializing_if = "is_zero")]
    pub features: f64,
    /// Value of the graph that is compared as features; by default what the classifier's last layer reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tap: Option<String>,
    /// The same in the teacher's graph, where it is called otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher_tap: Option<String>,
    /// Views of each image for which the teacher's answers are kept; epochs go through them in turn.
    pub views: u64,
}

impl Default for Distil {
    fn default() -> Self {
        Self { temperature: 4.0, alpha: 0.9, logits_l2: 0.0, features: 0.0, tap: None, teacher_tap: None, views: 8 }
    }
}

impl Distil {
    /// Names every setting that is out of range.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<(), TrainError> {
        let mut faults = Vec::new();
        if !(self.temperature > 0.0 && self.temperature <= 100.0) {
            faults.push(format!("temperature is {}, expected above 0 and at most 100", self.temperature));
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            faults.push(format!("alpha is {}, expected 0 to 1", self.alpha));
        }
        for (name, weight) in [("logits_l2", self.logits_l2), ("features", self.features)] {
            if !(weight >= 0.0 && weight.is_finite()) {
                faults.push(format!("{name} is {weight}, expected 0 or a positive number"));
            }
        }
        for (name, tap) in [("tap", &self.tap), ("teacher_tap", &self.teacher_tap)] {
            if let Some(tap) = tap.as_ref().filter(|_| self.features == 0.0) {
                faults
                    .push(format!("{name} is '{tap}' and features is 0; give features a weight, or leave {name} out"));
            }
        }
        if !(1..=1024).contains(&self.views) {
            faults.push(format!("views is {}, expected 1 to 1024", self.views));
        }
        if faults.is_empty() { Ok(()) } else { Err(TrainError::Settings(faults.join("; "))) }
    }

    /// What the teacher's value is called, where it is not found.
    pub(super) fn teacher_tap(&self) -> Option<&str> {
        self.teacher_tap.as_deref().or(self.tap.as_deref())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(weight: &f64) -> bool {
    *weight == 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_told_all_at_once() {
        let odd = Distil { alpha: 2.0, features: -1.0, views: 0, ..Distil::default() };
        let told = odd.check().unwrap_err().to_string();
        for part in ["alpha is 2, expected 0 to 1", "features is -1, expected 0 or a positive", "views is 0"] {
            assert!(told.contains(part), "{told}");
        }
        let idle = Distil { tap: Some("pool".to_owned()), ..Distil::default() };
        assert!(idle.check().unwrap_err().to_string().contains("tap is 'pool' and features is 0"));
    }

    #[test]
    fn settings_without_features_read_as_before_there_were_any() {
        let written = serde_json::to_string(&Distil::default()).unwrap();
        assert_eq!(written, r#"{"temperature":4.0,"alpha":0.9,"logits_l2":0.0,"views":8}"#, "results are found by it");
        let features = Distil { features: 0.5, tap: Some("pool".to_owned()), ..Distil::default() };
        let written = serde_json::to_string(&features).unwrap();
        assert_eq!(serde_json::from_str::<Distil>(&written).unwrap(), features, "{written}");
    }
}
