//! What is known of a value before the model runs.

use std::collections::HashMap;
use std::fmt;

use super::Dim;
use crate::onnx::tensor_proto::DataType;
use crate::onnx::tensor_shape_proto::Dimension;
use crate::onnx::tensor_shape_proto::dimension::Value as DimValue;
use crate::onnx::type_proto::{self, Value as TypeValue};
use crate::onnx::{TensorProto, TensorShapeProto, TypeProto, ValueInfoProto};

/// What is known of a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fact {
    /// Element type; `None` if unknown.
    pub kind: Option<DataType>,
    /// Dimensions; `None` if not even their number is known.
    pub shape: Option<Vec<Dim>>,
    /// The elements of a small tensor of integers: shapes, axes, sizes on their way through the graph.
    pub elements: Option<Vec<Dim>>,
}

/// What is known of every value of a graph, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts(pub(super) HashMap<String, Fact>);

/// What is said to be larger is taken to be unknown.
const MAX_SIZE: i64 = 1 << 40;

/// More dimensions than any operator works on.
pub(crate) const MAX_RANK: usize = 64;

/// Tensors with more elements than this are no shapes.
pub(super) const MAX_ELEMENTS: usize = 64;

impl Fact {
    /// A value of known type and shape.
    #[must_use]
    pub const fn new(kind: Option<DataType>, shape: Vec<Dim>) -> Self {
        Self { kind, shape: Some(shape), elements: None }
    }

    /// Of an initialiser.
    #[must_use]
    pub fn of_tensor(tensor: &TensorProto) -> Self {
        let kind = tensor.kind().ok();
        let shape = tensor.shape().ok();
        let small =
            shape.as_ref().is_some_and(|shape| shape.len() < 2 && shape.iter().product::<usize>() <= MAX_ELEMENTS);
        let elements = if small { tensor.i64s().ok() } else { None };
        Self {
            kind,
            shape: shape.map(|shape| shape.into_iter().map(Dim::from).collect()),
            elements: elements.map(|elements| elements.into_iter().map(Dim::from).collect()),
        }
    }

    /// As the model declares an input, an output or a value between. `unknown` names dimensions without a name.
    #[must_use]
    pub fn declared(value: &ValueInfoProto, unknown: &mut dyn FnMut() -> Dim) -> Self {
        let Some(TypeValue::TensorType(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
            return Self::default();
        };
        let mut dim = |dim: &Dimension| match &dim.value {
            Some(DimValue::DimValue(size)) if (0..=MAX_SIZE).contains(size) => Dim::from(*size),
            Some(DimValue::DimParam(name)) if !name.is_empty() => Dim::symbol(name),
            _ => unknown(),
        };
        let kind = DataType::try_from(tensor.elem_type()).ok().filter(|&kind| kind != DataType::Undefined);
        let shape = tensor.shape.as_ref().filter(|shape| shape.dim.len() <= MAX_RANK);
        let shape = shape.map(|shape| shape.dim.iter().map(&mut dim).collect());
        Self { kind, shape, elements: None }
    }

    /// As a declaration in the model.
    #[must_use]
    pub fn declare(&self, name: &str) -> ValueInfoProto {
        let dim = |dim: &Dim| {
            let value = match dim.known() {
                Some(size) => Some(DimValue::DimValue(size)),
                None => Some(dim.to_string()).filter(|name| !name.contains(['?', '*'])).map(DimValue::DimParam),
            };
            Dimension { value, denotation: None }
        };
        let shape = self.shape.as_ref().map(|shape| TensorShapeProto { dim: shape.iter().map(dim).collect() });
        let tensor = type_proto::Tensor { elem_type: self.kind.map(Into::into), shape };
        let kind = TypeProto { value: Some(TypeValue::TensorType(tensor)), denotation: None };
        ValueInfoProto { name: Some(name.to_owned()), r#type: Some(kind), ..Default::default() }
    }

    /// Number of dimensions.
    #[must_use]
    pub fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }

    /// Dimension `axis`.
    #[must_use]
    pub fn dim(&self, axis: usize) -> Option<&Dim> {
        self.shape.as_ref().and_then(|shape| shape.get(axis))
    }

    /// The elements, if all are numbers.
    #[must_use]
    pub fn integers(&self) -> Option<Vec<i64>> {
        self.elements.as_ref()?.iter().map(Dim::known).collect()
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shape {
            None => f.write_str("[..]"),
            Some(shape) => {
                let dims: Vec<_> = shape.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", dims.join(", "))
            }
        }
    }
}

impl Facts {
    /// What is known of `value`; nothing if there is no such value.
    #[must_use]
    pub fn get(&self, value: &str) -> &Fact {
        const NOTHING: &Fact = &Fact { kind: None, shape: None, elements: None };
        self.0.get(value).unwrap_or(NOTHING)
    }

    /// The shape of `value`, if all its dimensions are numbers.
    #[must_use]
    pub fn sizes(&self, value: &str) -> Option<Vec<usize>> {
        self.get(value).shape.as_ref()?.iter().map(Dim::size).collect()
    }

    /// All values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.0.iter().map(|(name, fact)| (name.as_str(), fact))
    }
}
