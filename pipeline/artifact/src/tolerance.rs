//! How far an output may be off from the golden one, and the comparison that says where it is further.

use std::fmt;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::DataType;
use crate::fault::Fault;
use crate::manifest::Precision;

/// Allowed distance of a number from the expected one: `absolute + relative * max |expected|`, the greatest magnitude
/// being that of the whole output. A logit near 0 carries the rounding of its greater neighbours, so measuring it by
/// its own size would ask for what no runtime can give.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// In units of the output.
    pub absolute: f64,
    /// As a share of the output's greatest magnitude.
    pub relative: f64,
}

impl Tolerance {
    /// Same numbers, other order of summation: runtimes sum thousands of products in blocks of their own, each sum
    /// off by some units of 2^-24; fused layers and fast exponentials add to it.
    pub const FP32: Self = Self { absolute: 1e-5, relative: 1e-3 };

    /// 11 significant bits per stored value, 2^-11 = 4.9e-4 each, through some tens of layers.
    pub const FP16: Self = Self { absolute: 1e-3, relative: 2e-2 };

    /// Steps of 1/255 of each layer's range, and kernels that round or saturate differently; measured on residual
    /// networks as a few steps of the output, up to a tenth of its range where 8-bit weights saturate.
    pub const INT8: Self = Self { absolute: 1e-2, relative: 1e-1 };
}

/// Tolerances by precision of the artefact that runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "named as the precisions are")]
pub struct Tolerances {
    pub fp32: Tolerance,
    pub fp16: Tolerance,
    pub int8: Tolerance,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self { fp32: Tolerance::FP32, fp16: Tolerance::FP16, int8: Tolerance::INT8 }
    }
}

impl Tolerances {
    /// The tolerance for an artefact of this precision.
    #[must_use]
    pub const fn of(&self, precision: Precision) -> Tolerance {
        match precision {
            Precision::Fp32 => self.fp32,
            Precision::Fp16 => self.fp16,
            Precision::Int8 => self.int8,
        }
    }

    pub(crate) fn faults(&self) -> Vec<Fault> {
        [("fp32", self.fp32), ("fp16", self.fp16), ("int8", self.int8)]
            .into_iter()
            .filter(|(_, t)| ![t.absolute, t.relative].iter().all(|x| x.is_finite() && *x >= 0.0))
            .map(|(key, t)| {
                Fault::new(
                    format!("tolerances.{key}"),
                    format!("absolute {}, relative {}", t.absolute, t.relative),
                    "finite numbers of at least 0",
                    "leave it out for the default",
                )
            })
            .collect()
    }
}

/// A tensor that somebody else owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorView<'a> {
    /// Element type.
    pub datatype: DataType,
    /// Shape, batch included.
    pub shape: &'a [usize],
    /// Elements, little-endian.
    pub data: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// Bytes its shape asks for; `None` where that has no answer.
    #[must_use]
    pub fn expected_len(&self) -> Option<usize> {
        self.shape.iter().try_fold(self.datatype.size()?, |len, &dim| len.checked_mul(dim))
    }

    /// Its elements as numbers, 64-bit integers rounded; none for BYTES.
    pub fn numbers(self) -> impl Iterator<Item = f64> + 'a {
        let size = self.datatype.size().unwrap_or(usize::MAX);
        let datatype = self.datatype;
        self.data.chunks_exact(size).map(move |element| number(datatype, element))
    }
}

/// The greatest distance from what was expected.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MaxError {
    /// In units of the output.
    pub absolute: f64,
    /// As a share of the output's greatest magnitude.
    pub relative: f64,
}

impl MaxError {
    /// The greater of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { absolute: self.absolute.max(other.absolute), relative: self.relative.max(other.relative) }
    }
}

/// Why an output is not the golden one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GoldenMismatch {
    /// The run did not give the output.
    #[error("output '{output}': the run did not give it")]
    NoOutput {
        /// Its name.
        output: String,
    },
    /// The output has another type or shape.
    #[error("output '{output}': found {found}, expected {expected}")]
    Form {
        /// Its name.
        output: String,
        /// Type and shape.
        found: String,
        /// Type and shape of the golden one.
        expected: String,
    },
    /// A number is too far off.
    #[error(
        "output '{output}' at {}: found {found}, expected {expected}, off by {:.3e} where {allowed:.3e} is allowed",
        Index(index),
        (found - expected).abs()
    )]
    Value {
        /// Its name.
        output: String,
        /// Where in its shape.
        index: Vec<usize>,
        /// The number.
        found: f64,
        /// The golden one.
        expected: f64,
        /// Distance that is allowed; 0 for integers.
        allowed: f64,
    },
}

impl GoldenMismatch {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoOutput { .. } => "no_output",
            Self::Form { .. } => "form",
            Self::Value { .. } => "value",
        }
    }
}

/// Holds one output against the golden one. Floating-point numbers must be finite and within tolerance; integers and
/// booleans equal.
///
/// # Errors
/// The first number too far off, or another type or shape.
pub fn compare(
    output: &str,
    expected: TensorView<'_>,
    actual: TensorView<'_>,
    tolerance: Tolerance,
) -> Result<MaxError, GoldenMismatch> {
    let same_form = expected.datatype == actual.datatype && expected.shape == actual.shape;
    if !same_form || expected.data.len() != actual.data.len() {
        return Err(GoldenMismatch::Form { output: output.to_owned(), found: form(actual), expected: form(expected) });
    }
    let scale = expected.numbers().map(f64::abs).fold(0.0, f64::max);
    let allowed = match expected.datatype {
        DataType::Fp16 | DataType::Bf16 | DataType::Fp32 | DataType::Fp64 => {
            tolerance.absolute + tolerance.relative * scale
        }
        _ => 0.0,
    };
    let mut worst = 0.0_f64;
    for (at, (expected, found)) in expected.numbers().zip(actual.numbers()).enumerate() {
        let off = (found - expected).abs();
        // A NaN is never within tolerance.
        if off.is_nan() || off > allowed {
            return Err(GoldenMismatch::Value {
                output: output.to_owned(),
                index: index(at, actual.shape),
                found,
                expected,
                allowed,
            });
        }
        worst = worst.max(off);
    }
    Ok(MaxError { absolute: worst, relative: if scale > 0.0 { worst / scale } else { 0.0 } })
}

/// Row-major position `at` as an index per dimension.
fn index(mut at: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&dim| {
            let i = at % dim.max(1);
            at /= dim.max(1);
            i
        })
        .collect();
    index.reverse();
    index
}

fn form(tensor: TensorView<'_>) -> String {
    let TensorView { datatype, shape, data } = tensor;
    format!("{datatype} of shape {shape:?} in {} bytes", data.len())
}

struct Index<'a>(&'a [usize]);

impl fmt::Display for Index<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "64-bit integers are only shown")]
fn number(datatype: DataType, element: &[u8]) -> f64 {
    // The caller hands over exactly the element's bytes; an array of another length cannot come up.
    fn le<const N: usize>(element: &[u8]) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(element);
        bytes
    }
    match datatype {
        DataType::Bool | DataType::Uint8 => f64::from(element[0]),
        DataType::Int8 => f64::from(i8::from_le_bytes(le(element))),
        DataType::Uint16 => f64::from(u16::from_le_bytes(le(element))),
        DataType::Int16 => f64::from(i16::from_le_bytes(le(element))),
        DataType::Uint32 => f64::from(u32::from_le_bytes(le(element))),
        DataType::Int32 => f64::from(i32::from_le_bytes(le(element))),
        DataType::Uint64 => u64::from_le_bytes(le(element)) as f64,
        DataType::Int64 => i64::from_le_bytes(le(element)) as f64,
        DataType::Fp16 => f16::from_le_bytes(le(element)).to_f64(),
        DataType::Bf16 => bf16::from_le_bytes(le(element)).to_f64(),
        DataType::Fp32 => f64::from(f32::from_le_bytes(le(element))),
        DataType::Fp64 => f64::from_le_bytes(le(element)),
        DataType::Bytes => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn fp32(expected: &[f32], actual: &[f32], tolerance: Tolerance) -> Result<MaxError, GoldenMismatch> {
        let (expected, actual) = (bytes(expected), bytes(actual));
        let shape = [expected.len() / 8, 2];
        let view = |data| TensorView { datatype: DataType::Fp32, shape: &shape, data };
        compare("logits", view(&expected), view(&actual), tolerance)
    }

    #[test]
    fn the_greatest_distance_is_told() {
        let found = fp32(&[1.0, -4.0], &[1.0, -4.001], Tolerance::FP32).unwrap();
        assert!((found.absolute - 1e-3).abs() < 1e-6, "{found:?}");
        assert!((found.relative - 2.5e-4).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn a_number_too_far_off_is_told_with_its_place() {
        let error = fp32(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.5], Tolerance::FP32).unwrap_err();
        assert_eq!(
            error.to_string(),
            "output 'logits' at [1, 1]: found 4.5, expected 4, off by 5.000e-1 where 4.010e-3 is allowed"
        );
        assert_eq!(error.kind(), "value");
        let off = fp32(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.3], Tolerance::INT8);
        assert!(off.is_ok(), "a tenth of the range is quantisation: {off:?}");
    }

    #[test]
    fn a_number_that_is_none_is_never_within_tolerance() {
        let wide = Tolerance { absolute: f64::MAX, relative: 0.0 };
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(fp32(&[1.0, 2.0], &[1.0, bad], wide).is_err(), "{bad}");
        }
    }

    #[test]
    fn integers_must_be_equal() {
        let view = |data| TensorView { datatype: DataType::Int64, shape: &[1], data };
        let (three, four) = (3_i64.to_le_bytes(), 4_i64.to_le_bytes());
        assert!(compare("class", view(&three), view(&three), Tolerance::INT8).is_ok());
        let error = compare("class", view(&three), view(&four), Tolerance::INT8).unwrap_err();
        assert!(error.to_string().contains("found 4, expected 3"), "{error}");
    }

    #[test]
    fn another_type_or_shape_is_told_before_any_number() {
        let data = [0; 8];
        let view = |datatype, shape| TensorView { datatype, shape, data: &data };
        let expected = view(DataType::Fp32, &[1, 2]);
        for actual in [view(DataType::Fp32, &[2, 1]), view(DataType::Int32, &[1, 2])] {
            let error = compare("logits", expected, actual, Tolerance::FP32).unwrap_err();
            assert_eq!(error.kind(), "form", "{error}");
        }
    }

    #[test]
    fn half_precision_numbers_are_read_as_such() {
        let half: Vec<u8> = [f16::from_f32(1.5), f16::from_f32(-2.0)].iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = TensorView { datatype: DataType::Fp16, shape: &[2], data: &half };
        assert_eq!(view.numbers().collect::<Vec<_>>(), [1.5, -2.0]);
        let brain = bf16::from_f32(0.5).to_le_bytes();
        let view = TensorView { datatype: DataType::Bf16, shape: &[1], data: &brain };
        assert_eq!(view.numbers().collect::<Vec<_>>(), [0.5]);
    }

    proptest! {
        #[test]
        fn what_passes_is_within_the_stated_distance(
            pairs in prop::collection::vec((-10.0_f32..10.0, -0.02_f32..0.02), 2..20),
        ) {
            let pairs = &pairs[..pairs.len() / 2 * 2];
            let expected: Vec<f32> = pairs.iter().map(|p| p.0).collect();
            let actual: Vec<f32> = pairs.iter().map(|p| p.0 + p.1).collect();
            let scale = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            let worst = expected.iter().zip(&actual).fold(0.0, |m: f64, (e, a)| m.max((f64::from(*a) - f64::from(*e)).abs()));
            let allowed = Tolerance::FP32.absolute + Tolerance::FP32.relative * f64::from(scale);
            match fp32(&expected, &actual, Tolerance::FP32) {
                Ok(found) => {
                    prop_assert!(worst <= allowed);
                    prop_assert_eq!(found.absolute, worst);
                }
                Err(_) => prop_assert!(worst > allowed),
            }
        }
    }
}
