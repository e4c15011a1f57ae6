//! What is to be generated: the seed, the size, how many, and how hard.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::data::split::Split;

/// Schema of `dataset.json`.
const SCHEMA: u32 = 1;

/// Raised whenever the same plan begins to give other pixels.
const GENERATOR_VERSION: u32 = 1;

/// Everything that decides a data set, byte for byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Start of all randomness.
    pub seed: u64,
    /// Side of the square images, in pixels.
    pub size: u16,
    /// Number of images per split.
    pub counts: Counts,
    /// What makes the images easy or hard.
    pub knobs: Knobs,
    /// JPEG quality, 1 to 100; chroma is subsampled 4:2:0 as cameras do.
    pub jpeg_quality: u8,
}

/// Number of images per split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "named by their splits")]
pub struct Counts {
    pub train: u32,
    pub validation: u32,
    // Left out where there are none: a plan from before these splits keeps its record, and with it its digest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calibration: u32,
    pub test: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reference: u32,
}

/// What makes the images easy or hard. All but `ok_share` are factors on what the generator was tuned with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// Fraction of images without a defect; the five defects share the rest equally. 1/6 balances all classes.
    pub ok_share: f32,
    /// How much defects stand out.
    pub contrast: f32,
    /// How uneven and how changing the light is.
    pub lighting: f32,
    /// Width of the lens blur.
    pub blur: f32,
    /// Strength of the sensor noise.
    pub noise: f32,
    /// How much stations differ from one another in exposure, colour, sharpness and noise.
    pub station_shift: f32,
}

/// What a plan asks for that cannot be generated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan cannot be generated: {}", .faults.join("; "))]
pub struct PlanError {
    /// One sentence per fault: setting, what was found, what is possible.
    pub faults: Vec<String>,
}

/// The contents of `dataset.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    schema: u32,
    generator: String,
    generator_version: u32,
    pub(super) plan: Plan,
}

impl Default for Plan {
    fn default() -> Self {
        Self { seed: 1, size: 256, counts: Counts::default(), knobs: Knobs::default(), jpeg_quality: 90 }
    }
}

impl Default for Counts {
    /// With 20,000 images of test and two models that disagree on 2 % of them, a drop in accuracy is known to 0.15
    /// points; 5,000 of reference are 200 panes of 25 parts.
    fn default() -> Self {
        Self { train: 6000, validation: 2000, calibration: 500, test: 20_000, reference: 5000 }
    }
}

impl Default for Knobs {
    fn default() -> Self {
        Self { ok_share: 0.4, contrast: 1.0, lighting: 1.0, blur: 1.0, noise: 1.0, station_shift: 1.0 }
    }
}

impl Counts {
    /// Number of images of one split.
    #[must_use]
    pub const fn of(self, split: Split) -> u32 {
        match split {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Calibration => self.calibration,
            Split::Test => self.test,
            Split::Reference => self.reference,
        }
    }

    /// Every count times `factor`, rounded; a split that has images keeps at least one.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and `as` saturates")]
    pub fn scaled(self, factor: f64) -> Self {
        let scale = |count: u32| ((f64::from(count) * factor).round() as u32).max(count.min(1));
        Self {
            train: scale(self.train),
            validation: scale(self.validation),
            calibration: scale(self.calibration),
            test: scale(self.test),
            reference: scale(self.reference),
        }
    }

    /// Number of images of all splits.
    #[must_use]
    pub fn total(self) -> u64 {
        Split::ALL.map(|split| u64::from(self.of(split))).iter().sum()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Plan {
    /// Names every setting that is out of range.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut faults = Vec::new();
        let mut within = |name: &str, found: f64, low: f64, high: f64| {
            if !(low..=high).contains(&found) {
                faults.push(format!("{name} is {found}, expected {low} to {high}"));
            }
        };
        within("size", f64::from(self.size), 64.0, 2048.0);
        within("jpeg_quality", f64::from(self.jpeg_quality), 1.0, 100.0);
        within("number of images", self.counts.total() as f64, 1.0, 1e7);
        let knobs = self.knobs;
        within("ok_share", f64::from(knobs.ok_share), 0.0, 1.0);
        within("contrast", f64::from(knobs.contrast), 0.0, 4.0);
        within("lighting", f64::from(knobs.lighting), 0.0, 4.0);
        within("blur", f64::from(knobs.blur), 0.0, 4.0);
        within("noise", f64::from(knobs.noise), 0.0, 4.0);
        within("station_shift", f64::from(knobs.station_shift), 0.0, 4.0);
        if faults.is_empty() { Ok(()) } else { Err(PlanError { faults }) }
    }

    /// The contents of `dataset.json`: the plan and the generator that can carry it out.
    pub(super) fn record(&self) -> String {
        let record = Record {
            schema: SCHEMA,
            generator: "surface-defects".to_owned(),
            generator_version: GENERATOR_VERSION,
            plan: self.clone(),
        };
        // A struct of numbers and strings always serialises; an empty record would be refused by every reader.
        serde_json::to_string_pretty(&record).unwrap_or_default() + "\n"
    }

    /// sha256 (lower-case hex) of `dataset.json`, which decides every byte of the data set.
    #[must_use]
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(self.record());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_plan_is_named_at_once() {
        let mut plan = Plan { size: 8, jpeg_quality: 0, ..Plan::default() };
        plan.knobs.contrast = f32::NAN;
        let message = plan.check().unwrap_err().to_string();
        for part in [
            "size is 8, expected 64 to 2048",
            "jpeg_quality is 0, expected 1 to 100",
            "contrast is NaN, expected 0 to 4",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn the_record_reads_back_as_the_same_plan() {
        let plan = Plan { seed: u64::MAX, ..Plan::default() };
        let record: Record = serde_json::from_str(&plan.record()).unwrap();
        assert_eq!(record.plan, plan);
    }

    #[test]
    fn splits_without_images_leave_the_record_as_it_was_before_there_were_any() {
        let counts = Counts { calibration: 0, reference: 0, ..Counts::default() };
        let record = Plan { counts, ..Plan::default() }.record();
        assert!(!record.contains("calibration") && !record.contains("reference"), "{record}");
        assert_eq!(serde_json::from_str::<Record>(&record).unwrap().plan.counts, counts);
    }

    #[test]
    fn scaling_keeps_proportions_and_no_split_vanishes() {
        let small = Counts::default().scaled(0.01);
        assert_eq!(small, Counts { train: 60, validation: 20, calibration: 5, test: 200, reference: 50 });
        assert_eq!(Counts::default().scaled(1e-9).total(), 5);
        assert_eq!(Counts { reference: 0, ..small }.scaled(2.0).reference, 0);
    }

    #[test]
    fn the_digest_tells_plans_apart() {
        let other = Plan { seed: 2, ..Plan::default() };
        assert_ne!(Plan::default().digest(), other.digest());
    }
}
