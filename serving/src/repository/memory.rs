//! How much memory a model will hold, guessed before it is loaded.
//!
//! `instances x (2.5 x artefact bytes + 24 x max_batch_size x input bytes)`, plus once 25 MiB for the runtime itself.
//!
//! Measured with ONNX Runtime 1.31 on x86-64, one thread, memory arena on: loading held 2.6 times the file (ResNet-50
//! 97 MiB: 258 MiB, ResNet-18: 3.0, with the library in it), and running held 23.4 times the input for ResNet-50 and a
//! MobileNet of 224 and 512 pixels, at batches of 1 and 8 alike: the widest feature maps follow the input's size. Models
//! that are not convolutional, and memory of a GPU, are not what this was measured on.

use takt_artifact::{Preprocess, Signature, TensorSpec};

/// Memory that the runtime takes whatever it runs, in bytes.
pub const RUNTIME_BYTES: u64 = 25 << 20;

/// Memory of a loaded artefact per byte of its files, times two.
const TWICE_PER_ARTEFACT_BYTE: u64 = 5;
/// Working memory per byte of input.
const PER_INPUT_BYTE: u64 = 24;

/// Predicted resident bytes of one version, the runtime itself not included; `None` where an input's size is free.
#[must_use]
pub fn resident_bytes(
    artefact_bytes: u64,
    signature: &Signature,
    preprocess: Option<&Preprocess>,
    max_batch_size: usize,
    instances: usize,
) -> Option<u64> {
    let mut input_bytes: u64 = 0;
    for spec in &signature.inputs {
        input_bytes = input_bytes.saturating_add(sample_bytes(spec, preprocess, max_batch_size > 0)?);
    }
    let working = input_bytes.saturating_mul(PER_INPUT_BYTE).saturating_mul(max_batch_size.max(1) as u64);
    let loaded = artefact_bytes.saturating_mul(TWICE_PER_ARTEFACT_BYTE) / 2;
    Some(loaded.saturating_add(working).saturating_mul(instances as u64))
}

/// Bytes of one sample of an input.
fn sample_bytes(spec: &TensorSpec, preprocess: Option<&Preprocess>, batches: bool) -> Option<u64> {
    let element = spec.datatype.size().unwrap_or(0) as u64;
    if let Some(preprocess) = preprocess.filter(|preprocess| preprocess.input == spec.name) {
        return Some(preprocess.elements() as u64 * element);
    }
    let dims = spec.shape.iter().skip(usize::from(batches));
    dims.into_iter().try_fold(element, |bytes, &dim| Some(bytes.saturating_mul(u64::try_from(dim).ok()?)))
}

#[cfg(test)]
mod tests {
    use takt_artifact::DataType;

    use super::*;

    const MIB: f64 = 1_048_576.0;

    fn model(side: i64) -> Signature {
        Signature {
            inputs: vec![TensorSpec { name: "x".to_owned(), datatype: DataType::Fp32, shape: vec![-1, 3, side, side] }],
            outputs: Vec::new(),
        }
    }

    #[test]
    fn it_is_within_a_fifth_of_what_was_measured() {
        // File in MiB, side, batch, measured growth of resident memory in MiB (module documentation).
        let measured = [
            (97.4, 224, 1, 264.5),
            (97.4, 224, 8, 365.6),
            (42.6, 64, 8, 152.6),
            (12.2, 224, 8, 163.7),
            (12.2, 512, 8, 606.6),
        ];
        for (file, side, batch, measured) in measured {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size of megabytes")]
            let bytes = resident_bytes((file * MIB) as u64, &model(side), None, batch, 1).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "megabytes")]
            let predicted = (bytes + RUNTIME_BYTES) as f64 / MIB;
            assert!((predicted / measured - 1.0).abs() < 0.2, "{predicted} against {measured}");
        }
    }

    #[test]
    fn inputs_of_free_size_are_not_guessed() {
        assert_eq!(resident_bytes(1, &model(-1), None, 8, 1), None);
    }

    #[test]
    fn instances_multiply_it() {
        let one = resident_bytes(1000, &model(8), None, 4, 1).unwrap();
        assert_eq!(resident_bytes(1000, &model(8), None, 4, 3), Some(3 * one));
    }
}
