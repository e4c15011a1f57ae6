//! `golden.safetensors`: a few inputs with the outputs they must give, run before a version serves.
//!
//! | tensor | holds |
//! |---|---|
//! | `input.<name>` | the input `<name>`, batch included |
//! | `image.<name>` | an encoded image (JPEG, PNG, BMP) as one-dimensional UINT8, for the input that `preprocess` fills |
//! | `image.<name>#<k>` | the same for row k of a batch, k from 0 without gaps |
//! | `output.<name>` | the output `<name>` that the inputs, or else the images, must give, batch included |
//!
//! Where both `input.<name>` and `image.<name>` are there, the image prepared must also give the input: training and
//! serving then provably see the same picture. Elements are little-endian, as the format says. The metadata key `takt`
//! may hold `{"schema": 1, "tolerances": {"fp32": {...}, ...}}`; what it leaves out is as in [`Tolerances::default`].

mod file;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::fault::Fault;
use crate::tolerance::{GoldenMismatch, MaxError, TensorView, Tolerance, Tolerances, compare};
use crate::{DataType, Signature, TensorSpec};

pub use file::SCHEMA;

/// Inputs with the outputs they must give.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Golden {
    /// Input tensors by name.
    pub inputs: BTreeMap<String, GoldenTensor>,
    /// Encoded images by the name of the input they become, one per row of the batch.
    pub images: BTreeMap<String, Vec<Vec<u8>>>,
    /// Expected outputs by name; every number is finite.
    pub outputs: BTreeMap<String, GoldenTensor>,
    /// How far a run may be off.
    pub tolerances: Tolerances,
}

/// A tensor that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenTensor {
    /// Element type; never [`DataType::Bytes`].
    pub datatype: DataType,
    /// Shape, batch included.
    pub shape: Vec<usize>,
    /// Elements, little-endian.
    pub data: Vec<u8>,
}

impl GoldenTensor {
    /// Borrowed.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        TensorView { datatype: self.datatype, shape: &self.shape, data: &self.data }
    }
}

impl Golden {
    /// Everything in which it disagrees with the version's signature.
    #[must_use]
    pub fn disagreements(&self, signature: &Signature) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (prefix, named, specs) in
            [("input", &self.inputs, &signature.inputs), ("output", &self.outputs, &signature.outputs)]
        {
            for (name, tensor) in named {
                let path = format!("{prefix}.{name}");
                faults.extend(disagreement(path, tensor, specs.iter().find(|s| s.name == *name)));
            }
        }
        for spec in &signature.inputs {
            let name = &spec.name;
            if !self.inputs.contains_key(name) && !self.images.contains_key(name) {
                faults.push(Fault::new(
                    format!("input.{name}"),
                    "nothing",
                    format!("the input '{name}' or an image for it"),
                    "every input must be given to run the model",
                ));
            }
        }
        for name in self.images.keys().filter(|name| signature.input(name).is_none()) {
            faults.push(Fault::new(
                format!("image.{name}"),
                format!("an image for '{name}'"),
                "an input of the signature",
                "rename the tensor",
            ));
        }
        faults
    }

    /// Holds what a run gave against every expected output. `actual` looks an output up by name.
    ///
    /// # Errors
    /// The first number that is further off than `tolerance` allows, or an output of another type or shape.
    pub fn compare<'a>(
        &self,
        mut actual: impl FnMut(&str) -> Option<TensorView<'a>>,
        tolerance: Tolerance,
    ) -> Result<MaxError, GoldenMismatch> {
        let mut worst = MaxError::default();
        for (name, expected) in &self.outputs {
            let actual = actual(name).ok_or_else(|| GoldenMismatch::NoOutput { output: name.clone() })?;
            worst = worst.max(compare(name, expected.view(), actual, tolerance)?);
        }
        Ok(worst)
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (prefix, named) in [("input", &self.inputs), ("output", &self.outputs)] {
            for (name, tensor) in named {
                let path = format!("{prefix}.{name}");
                faults.extend(wrong_length(&path, tensor));
                if prefix == "output" {
                    faults.extend(not_finite(&path, tensor));
                }
            }
        }
        let given =
            [("input.", !self.inputs.is_empty() || !self.images.is_empty()), ("output.", !self.outputs.is_empty())];
        for (prefix, _) in given.iter().filter(|(_, given)| !given) {
            faults.push(Fault::new(
                *prefix,
                "none",
                "at least one input or image, and at least one output",
                "run the model on a few inputs and store both",
            ));
        }
        faults.extend(self.tolerances.faults());
        faults
    }
}

fn wrong_length(path: &str, tensor: &GoldenTensor) -> Option<Fault> {
    let wanted = tensor.view().expected_len();
    (wanted != Some(tensor.data.len())).then(|| {
        Fault::new(
            path,
            format!("{} bytes", tensor.data.len()),
            format!("{} of shape {:?}", tensor.datatype, tensor.shape),
            "store the whole tensor",
        )
    })
}

fn not_finite(path: &str, tensor: &GoldenTensor) -> Option<Fault> {
    let view = tensor.view();
    let mut numbers = view.numbers();
    let at = numbers.position(|number| !number.is_finite())?;
    Some(Fault::new(
        path,
        format!("a number that is not finite at {at}"),
        "finite numbers",
        "choose other inputs, or repair the model",
    ))
}

fn disagreement(path: String, tensor: &GoldenTensor, spec: Option<&TensorSpec>) -> Option<Fault> {
    let found = format!("{} of shape {:?}", tensor.datatype, tensor.shape);
    let expected = match spec {
        None => "a tensor of the signature".to_owned(),
        Some(spec) if spec.datatype == tensor.datatype && spec.admits(&tensor.shape) => {
            return None;
        }
        Some(spec) => format!("{} of shape {:?}", spec.datatype, spec.shape),
    };
    Some(Fault::new(path, found, expected, "record the golden file with this model"))
}
