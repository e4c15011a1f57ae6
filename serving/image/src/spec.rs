//! Whether a version's `Preprocess` can be executed at all; every fault is reported, not only the first.

use std::fmt;

use takt_artifact::DataType;
use takt_artifact::preprocess::{Preprocess, Resize};

/// Longest side of a tensor in pixels; beyond this it is a typing error, not a vision model.
const MAX_TENSOR_SIDE: u32 = 8192;

/// One thing that is wrong with a `Preprocess`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("preprocess.{key}: found {found}, expected {expected}")]
pub struct Fault {
    /// Key within `preprocess`.
    pub key: &'static str,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

/// All faults of a `Preprocess`; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// The faults, in the order of the schema.
    pub faults: Vec<Fault>,
}

impl SpecError {
    /// Stable snake_case label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        "invalid_preprocess"
    }
}

impl std::error::Error for SpecError {}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

pub(crate) fn check(spec: &Preprocess) -> Result<(), SpecError> {
    let mut faults = Faults::default();
    faults.side("width", spec.width);
    faults.side("height", spec.height);
    if let Resize::ShorterSideCrop { shorter } = spec.resize {
        let least = spec.width.max(spec.height);
        if shorter < least || shorter > MAX_TENSOR_SIDE {
            let expected = format!("at least {least}, the longer of width and height, and at most {MAX_TENSOR_SIDE}");
            faults.add("resize.shorter", shorter, expected);
        }
    }
    if !spec.scale.is_finite() || spec.scale == 0.0 {
        faults.add("scale", spec.scale, "a finite number other than 0, such as 0.00392157 (1/255)");
    }
    let channels = spec.color.channels();
    for (key, values) in [("mean", &spec.mean), ("std", &spec.std)] {
        if !values.is_empty() && values.len() != channels {
            let found = format!("{} values", values.len());
            faults.add(key, found, format!("{channels}, one per channel of {:?}, or none", spec.color));
        }
        for value in values.iter().filter(|v| !v.is_finite()) {
            faults.add(key, value, "finite numbers");
        }
    }
    for value in spec.std.iter().filter(|v| **v == 0.0) {
        faults.add("std", value, "numbers other than 0, they divide");
    }
    faults.into_result()
}

/// Whether samples in 0-255 keep their differences as integers of `datatype`. The default `scale` of 1/255 is right
/// for FP32 and would turn every UINT8 picture into zeros and ones.
pub(crate) fn check_datatype(spec: &Preprocess, datatype: DataType) -> Result<(), SpecError> {
    let mut faults = Faults::default();
    match datatype {
        DataType::Fp32 => {}
        DataType::Uint8 | DataType::Int8 => {
            let steepest = (0..spec.color.channels())
                .map(|c| (spec.scale / spec.std.get(c).copied().unwrap_or(1.0)).abs())
                .fold(f32::MAX, f32::min);
            if steepest < 0.1 {
                let expected = format!("1 for an input of type {}, whose samples stay integers", datatype.name());
                faults.add("scale", spec.scale, expected);
            }
        }
        other => faults.add("input", other.name(), "an input of type FP32, UINT8 or INT8 to write an image to"),
    }
    faults.into_result()
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, key: &'static str, found: impl fmt::Display, expected: impl Into<String>) {
        self.0.push(Fault { key, found: found.to_string(), expected: expected.into() });
    }

    fn side(&mut self, key: &'static str, value: u32) {
        if value == 0 || value > MAX_TENSOR_SIDE {
            self.add(key, value, format!("1 to {MAX_TENSOR_SIDE} pixels"));
        }
    }

    fn into_result(self) -> Result<(), SpecError> {
        if self.0.is_empty() { Ok(()) } else { Err(SpecError { faults: self.0 }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Preprocess {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let bad = spec(
            r#"{"input":"x","width":0,"height":9000,"resize":{"mode":"shorter_side_crop","shorter":100},
                "scale":0.0,"mean":[0.5],"std":[1.0,0.0,1.0]}"#,
        );
        let error = check(&bad).unwrap_err();
        let keys: Vec<_> = error.faults.iter().map(|f| f.key).collect();
        assert_eq!(keys, ["width", "height", "resize.shorter", "scale", "mean", "std"]);
        assert!(error.to_string().contains("preprocess.mean: found 1 values, expected 3"));
    }

    #[test]
    fn a_minimal_preprocess_is_valid() {
        check(&spec(r#"{"input":"x","width":224,"height":224}"#)).unwrap();
    }

    #[test]
    fn the_default_scale_is_refused_for_integer_inputs() {
        let plain = spec(r#"{"input":"x","width":8,"height":8}"#);
        assert_eq!(check_datatype(&plain, DataType::Uint8).unwrap_err().faults[0].key, "scale");
        check_datatype(&plain, DataType::Fp32).unwrap();
        check_datatype(&spec(r#"{"input":"x","width":8,"height":8,"scale":1.0}"#), DataType::Uint8).unwrap();
        assert_eq!(check_datatype(&plain, DataType::Bytes).unwrap_err().faults[0].key, "input");
    }
}
