//! Whether the inputs of a run fit the model. Shared by the runtimes, so that both refuse the same with the same words.

use takt_artifact::Signature;

use crate::{InputView, RunError};

/// Checks number, element types, ranks, fixed dimensions and byte lengths of `inputs`.
///
/// # Errors
/// [`RunError::Input`], naming the input, what was found and what was expected.
pub(crate) fn inputs(signature: &Signature, inputs: &[InputView<'_>]) -> Result<(), RunError> {
    if inputs.len() != signature.inputs.len() {
        return Err(RunError::Input(format!(
            "{} inputs were given, the model takes {}",
            inputs.len(),
            signature.inputs.len()
        )));
    }
    for (view, spec) in inputs.iter().zip(&signature.inputs) {
        let fits = |(found, expected): (&usize, &i64)| *expected < 0 || i64::try_from(*found) == Ok(*expected);
        if view.datatype != spec.datatype {
            return Err(RunError::Input(format!(
                "input '{}' is {}, the model takes {}",
                spec.name, view.datatype, spec.datatype
            )));
        }
        if view.shape.len() != spec.shape.len() || !view.shape.iter().zip(&spec.shape).all(fits) {
            return Err(RunError::Input(format!(
                "input '{}' has shape {:?}, the model takes {:?}",
                spec.name, view.shape, spec.shape
            )));
        }
        let elements = view.shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim));
        let expected = elements.zip(view.datatype.size()).and_then(|(elements, size)| elements.checked_mul(size));
        if expected != Some(view.data.len()) {
            return Err(RunError::Input(format!(
                "input '{}' of shape {:?} and type {} came with {} bytes of data, expected {}",
                spec.name,
                view.shape,
                view.datatype,
                view.data.len(),
                expected.map_or_else(|| "a size that fits in memory".to_owned(), |bytes| bytes.to_string())
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use takt_artifact::{DataType, TensorSpec};

    use super::*;

    fn refusal(datatype: DataType, shape: &[usize], data: &[u8]) -> String {
        let signature = Signature {
            inputs: vec![TensorSpec { name: "x".to_owned(), datatype: DataType::Fp32, shape: vec![-1, 2] }],
            outputs: Vec::new(),
        };
        inputs(&signature, &[InputView { datatype, shape, data }])
            .map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn every_misfit_names_input_found_and_expected() {
        assert_eq!(refusal(DataType::Fp32, &[3, 2], &[0; 24]), "");
        assert_eq!(refusal(DataType::Int8, &[3, 2], &[0; 6]), "input 'x' is INT8, the model takes FP32");
        assert_eq!(refusal(DataType::Fp32, &[3], &[0; 12]), "input 'x' has shape [3], the model takes [-1, 2]");
        assert_eq!(refusal(DataType::Fp32, &[3, 3], &[0; 36]), "input 'x' has shape [3, 3], the model takes [-1, 2]");
        assert_eq!(
            refusal(DataType::Fp32, &[3, 2], &[0; 23]),
            "input 'x' of shape [3, 2] and type FP32 came with 23 bytes of data, expected 24"
        );
        assert!(refusal(DataType::Fp32, &[usize::MAX, 2], &[]).ends_with("expected a size that fits in memory"));
    }
}
