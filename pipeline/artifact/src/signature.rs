//! Names, element types and shapes of a model's inputs and outputs.

use serde::{Deserialize, Serialize};

use crate::DataType;

/// One input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSpec {
    /// Name in the ONNX graph.
    pub name: String,
    /// Element type.
    pub datatype: DataType,
    /// Full shape as in the ONNX graph, batch dimension included; -1 where a dimension is free.
    pub shape: Vec<i64>,
}

impl TensorSpec {
    /// Whether a tensor of this shape may stand here: the same rank, and the same size wherever it is not free.
    #[must_use]
    pub fn admits(&self, shape: &[usize]) -> bool {
        self.shape.len() == shape.len()
            && self.shape.iter().zip(shape).all(|(&dim, &found)| dim == -1 || usize::try_from(dim) == Ok(found))
    }
}

/// The inputs and outputs of a model, in graph order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Inputs that a request must give.
    pub inputs: Vec<TensorSpec>,
    /// Outputs that a response can carry.
    pub outputs: Vec<TensorSpec>,
}

impl Signature {
    /// The input of that name.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|spec| spec.name == name)
    }

    /// The output of that name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&TensorSpec> {
        self.outputs.iter().find(|spec| spec.name == name)
    }

    /// Whether the first dimension of every input and output is free, so that requests can share a batch.
    #[must_use]
    pub fn has_free_batch(&self) -> bool {
        let mut tensors = self.inputs.iter().chain(&self.outputs);
        !self.inputs.is_empty() && tensors.all(|spec| spec.shape.first() == Some(&-1))
    }
}
