//! Whether what a model gave is an answer at all: every output of the promised shape, every number finite.

use takt_artifact::{DataType, Signature};
use takt_backend::OutputTensor;

/// What is wrong with an output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOutput {
    /// There are more or fewer outputs than promised, or one has another type or shape.
    #[error("output '{name}' has shape {found:?}, its signature says {expected:?}")]
    Shape {
        /// Name of the output.
        name: String,
        /// Its shape, with the batch.
        found: Vec<usize>,
        /// The promised one; -1 is free.
        expected: Vec<i64>,
    },
    /// A NaN or an infinity.
    #[error("output '{name}' holds a value that is not finite")]
    NotFinite {
        /// Name of the output.
        name: String,
    },
}

/// Holds the outputs of a run against the signature. One pass over the numbers.
///
/// # Errors
/// The first output that is no answer.
pub fn verify(signature: &Signature, outputs: &[OutputTensor]) -> Result<(), BadOutput> {
    for (spec, output) in signature.outputs.iter().zip(outputs) {
        let fits = spec.shape.len() == output.shape.len()
            && spec.shape.iter().zip(&output.shape).skip(1).all(|(&dim, &have)| dim < 0 || dim == have as i64)
            && spec.datatype == output.datatype;
        let name = || spec.name.clone();
        if !fits {
            return Err(BadOutput::Shape { name: name(), found: output.shape.clone(), expected: spec.shape.clone() });
        }
        if !finite(output) {
            return Err(BadOutput::NotFinite { name: name() });
        }
    }
    Ok(())
}

fn finite(output: &OutputTensor) -> bool {
    /// All bits of the exponent of a half are set in a NaN and in an infinity.
    const HALF_EXPONENT: u16 = 0x7c00;
    let data = &output.data;
    match output.datatype {
        DataType::Fp32 => data.chunks_exact(4).all(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]).is_finite()),
        DataType::Fp64 => data
            .chunks_exact(8)
            .all(|b| f64::from_ne_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]).is_finite()),
        DataType::Fp16 => {
            data.chunks_exact(2).all(|b| u16::from_ne_bytes([b[0], b[1]]) & HALF_EXPONENT != HALF_EXPONENT)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use takt_artifact::TensorSpec;

    use super::*;

    fn check(shape: &[usize], values: &[f32]) -> Result<(), BadOutput> {
        let spec = TensorSpec { name: "scores".into(), datatype: DataType::Fp32, shape: vec![-1, 2] };
        let signature = Signature { inputs: Vec::new(), outputs: vec![spec] };
        let data = Bytes::from(values.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>());
        verify(&signature, &[OutputTensor { datatype: DataType::Fp32, shape: shape.to_vec(), data }])
    }

    #[test]
    fn numbers_of_the_promised_shape_are_an_answer() {
        assert_eq!(check(&[1, 2], &[0.0, -3.0]), Ok(()));
    }

    #[test]
    fn another_shape_and_no_number_are_named() {
        let error = check(&[2, 1], &[0.0, 1.0]).unwrap_err();
        assert_eq!(error.to_string(), "output 'scores' has shape [2, 1], its signature says [-1, 2]");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(check(&[1, 2], &[0.0, bad]), Err(BadOutput::NotFinite { name: "scores".into() }));
        }
    }
}
