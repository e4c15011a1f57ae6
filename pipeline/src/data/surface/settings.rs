//! What a person says of a plan, in a file or on the command line; what is not said stays as it is by default.

use serde::Deserialize;

use super::plan::{Counts, Knobs, Plan};

/// The part of a plan that somebody asked for.
///
/// As TOML, every key optional:
///
/// ```toml
/// seed = 7
/// size = 128
/// scale = 0.1             # of every number of images that is not given below
/// [counts]
/// test = 500
/// [knobs]
/// contrast = 0.8
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// See [`Plan::seed`].
    pub seed: Option<u64>,
    /// See [`Plan::size`].
    pub size: Option<u16>,
    /// See [`Plan::jpeg_quality`].
    pub jpeg_quality: Option<u8>,
    /// Factor on every default number of images.
    pub scale: Option<f64>,
    /// Numbers of images, exactly.
    pub counts: CountSettings,
    /// What makes the images easy or hard.
    pub knobs: KnobSettings,
}

/// The part of [`Counts`] that somebody asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "named by their splits")]
pub struct CountSettings {
    pub train: Option<u32>,
    pub validation: Option<u32>,
    pub calibration: Option<u32>,
    pub test: Option<u32>,
    pub reference: Option<u32>,
}

/// The part of [`Knobs`] that somebody asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "as in `Knobs`")]
pub struct KnobSettings {
    pub ok_share: Option<f32>,
    pub contrast: Option<f32>,
    pub lighting: Option<f32>,
    pub blur: Option<f32>,
    pub noise: Option<f32>,
    pub station_shift: Option<f32>,
}

/// Settings that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not TOML, or a key that is unknown or of another type.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// A scale that is no factor.
    #[error("scale is {found}, expected a factor above 0 and up to 1000")]
    Scale {
        /// What was given.
        found: String,
    },
}

impl Settings {
    /// Reads settings from TOML.
    ///
    /// # Errors
    /// The first key that is unknown or of another type, with its line.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        Ok(toml::from_str(text)?)
    }

    /// These settings, and where they say nothing, the others.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let (counts, knobs) = (self.counts, self.knobs);
        Self {
            seed: self.seed.or(other.seed),
            size: self.size.or(other.size),
            jpeg_quality: self.jpeg_quality.or(other.jpeg_quality),
            scale: self.scale.or(other.scale),
            counts: CountSettings {
                train: counts.train.or(other.counts.train),
                validation: counts.validation.or(other.counts.validation),
                calibration: counts.calibration.or(other.counts.calibration),
                test: counts.test.or(other.counts.test),
                reference: counts.reference.or(other.counts.reference),
            },
            knobs: KnobSettings {
                ok_share: knobs.ok_share.or(other.knobs.ok_share),
                contrast: knobs.contrast.or(other.knobs.contrast),
                lighting: knobs.lighting.or(other.knobs.lighting),
                blur: knobs.blur.or(other.knobs.blur),
                noise: knobs.noise.or(other.knobs.noise),
                station_shift: knobs.station_shift.or(other.knobs.station_shift),
            },
        }
    }

    /// The default plan with these settings; [`Plan::check`] says whether it can be carried out.
    ///
    /// # Errors
    /// A `scale` that is no factor.
    pub fn plan(self) -> Result<Plan, SettingsError> {
        let plan = Plan::default();
        let scale = self.scale.unwrap_or(1.0);
        if !(scale > 0.0 && scale <= 1000.0) {
            return Err(SettingsError::Scale { found: scale.to_string() });
        }
        let (counts, knobs) = (plan.counts.scaled(scale), plan.knobs);
        Ok(Plan {
            seed: self.seed.unwrap_or(plan.seed),
            size: self.size.unwrap_or(plan.size),
            jpeg_quality: self.jpeg_quality.unwrap_or(plan.jpeg_quality),
            counts: Counts {
                train: self.counts.train.unwrap_or(counts.train),
                validation: self.counts.validation.unwrap_or(counts.validation),
                calibration: self.counts.calibration.unwrap_or(counts.calibration),
                test: self.counts.test.unwrap_or(counts.test),
                reference: self.counts.reference.unwrap_or(counts.reference),
            },
            knobs: Knobs {
                ok_share: self.knobs.ok_share.unwrap_or(knobs.ok_share),
                contrast: self.knobs.contrast.unwrap_or(knobs.contrast),
                lighting: self.knobs.lighting.unwrap_or(knobs.lighting),
                blur: self.knobs.blur.unwrap_or(knobs.blur),
                noise: self.knobs.noise.unwrap_or(knobs.noise),
                station_shift: self.knobs.station_shift.unwrap_or(knobs.station_shift),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_the_default_plan() {
        assert_eq!(Settings::parse("").unwrap().plan().unwrap(), Plan::default());
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_a_count_before_the_scale() {
        let file = Settings::parse("seed = 7\nscale = 0.1\n[counts]\ntest = 500\n[knobs]\nblur = 0.5").unwrap();
        let line = Settings { seed: Some(9), ..Settings::default() };
        let plan = line.or(file).plan().unwrap();
        assert_eq!((plan.seed, plan.counts.train, plan.counts.test, plan.knobs.blur), (9, 600, 500, 0.5));
    }

    #[test]
    fn an_unknown_key_is_named_with_those_there_are() {
        let message = Settings::parse("[knobs]\ncontarst = 2.0").unwrap_err().to_string();
        assert!(message.contains("contarst") && message.contains("contrast"), "{message}");
    }

    #[test]
    fn a_scale_that_is_no_factor_is_refused() {
        for scale in [0.0, -1.0, f64::NAN, 1e9] {
            let settings = Settings { scale: Some(scale), ..Settings::default() };
            assert!(settings.plan().unwrap_err().to_string().contains("expected a factor above 0"));
        }
    }
}
