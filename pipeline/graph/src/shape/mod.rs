//! Shape inference, with a batch (or other dimension) that may stay a symbol. One file per family of operators; each rule
//! refuses what contradicts the standard (onnx, docs/Operators.md).

mod concat;
mod constant;
mod conv;
mod dim;
mod elementwise;
mod fact;
mod gather;
mod integers;
mod layout;
mod matmul;
mod normalise;
mod pool;
mod quantise;
mod reduce;

use crate::Model;
use crate::onnx::NodeProto;
pub(crate) use concat::{pads, parts};
pub(crate) use constant::tensor as constant_tensor;
pub(crate) use conv::Window;
pub use dim::Dim;
pub(crate) use elementwise::{BINARY, UNARY};
pub(crate) use fact::MAX_RANK;
pub use fact::{Fact, Facts};
pub(crate) use gather::cuts;
pub(crate) use layout::{permutation, reshaped};
pub(crate) use reduce::{REDUCTIONS, axes as reduction_axes, sorted as sorted_axes};

/// Shapes that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A node's inputs do not fit.
    #[error("{node}: {fault}")]
    Node {
        /// The node.
        node: String,
        /// What was found and what was expected.
        fault: String,
    },
    /// A value is not what the model declares.
    #[error("'{name}': the model declares {declared}, but it is {found}")]
    Declared {
        /// The value.
        name: String,
        /// As the model says.
        declared: String,
        /// As it follows from the inputs.
        found: String,
    },
}

/// A node as its rule sees it.
pub(crate) struct Op<'a> {
    pub node: &'a NodeProto,
    pub opset: i64,
    /// One per input; what is left out is unknown.
    inputs: Vec<&'a Fact>,
    /// Names dimensions that a rule cannot tell.
    unknown: std::cell::Cell<usize>,
    place: usize,
}

/// Facts of the outputs, or what was found and what was expected.
type Ruled = Result<Vec<Fact>, String>;

impl<'a> Op<'a> {
    pub fn new(node: &'a NodeProto, opset: i64, facts: &'a Facts, place: usize) -> Self {
        let inputs = node.input.iter().map(|name| facts.get(name)).collect();
        Self { node, opset, inputs, unknown: 0.into(), place }
    }

    /// A list of known integers at input `slot`, not a single one.
    pub fn indices(&self, slot: usize) -> Option<Vec<i64>> {
        self.input(slot).integers().filter(|_| self.input(slot).rank() == Some(1))
    }

    /// What is known of input `slot`; nothing if it is left out.
    pub fn input(&self, slot: usize) -> &Fact {
        const NOTHING: &Fact = &Fact { kind: None, shape: None, elements: None };
        self.inputs.get(slot).copied().unwrap_or(NOTHING)
    }

    /// The shape of input `slot`.
    fn shape(&self, slot: usize) -> Option<&[Dim]> {
        self.input(slot).shape.as_deref()
    }

    /// A dimension that only the run will tell.
    fn unknown(&self) -> Dim {
        let number = self.unknown.replace(self.unknown.get() + 1);
        Dim::symbol(&format!("?{}.{number}", self.place))
    }

    /// A list that is an attribute in old operator sets and input `slot` in newer ones. `Err(())` if the input is there and
    /// its elements are not known.
    pub fn list(&self, attribute: &str, slot: usize) -> Result<Option<Vec<i64>>, ()> {
        if let Some(ints) = self.node.ints(attribute) {
            return Ok(Some(ints.to_vec()));
        }
        match self.node.input_name(slot) {
            None => Ok(None),
            Some(_) => self.input(slot).integers().map(Some).ok_or(()),
        }
    }
}

/// Infers what is known of every value.
///
/// Values behind an operator without a rule are as the model declares them, or unknown.
///
/// # Errors
/// A node's inputs contradict the standard, or an output contradicts its declaration.
pub fn infer(model: &Model) -> Result<Facts, ShapeError> {
    let graph = model.graph();
    let mut facts = Facts::default();
    let mut unnamed = 0;
    let mut unknown = || {
        unnamed += 1;
        Dim::symbol(&format!("?in.{unnamed}"))
    };
    for input in &graph.input {
        facts.0.insert(input.name().to_owned(), Fact::declared(input, &mut unknown));
    }
    for tensor in &graph.initializer {
        facts.0.insert(tensor.name().to_owned(), Fact::of_tensor(tensor));
    }
    let declared = graph.value_info.iter().chain(&graph.output);
    let declared: std::collections::HashMap<_, _> = declared.map(|value| (value.name(), value)).collect();
    for (place, node) in graph.node.iter().enumerate() {
        let op = Op::new(node, model.opset(), &facts, place);
        let ruled = match rule(node) {
            Some(rule) => rule(&op).map_err(|fault| ShapeError::Node { node: node.label(), fault })?,
            None => Vec::new(),
        };
        let mut ruled = ruled.into_iter();
        for name in &node.output {
            let mut fact = ruled.next().unwrap_or_default();
            // Chains could double either with each node.
            if fact.rank().is_some_and(|rank| rank > fact::MAX_RANK) {
                let fault = format!("found an output of {} dimensions", fact.rank().unwrap_or(0));
                return Err(ShapeError::Node { node: node.label(), fault });
            }
            fact.elements = fact.elements.filter(|elements| elements.len() <= fact::MAX_ELEMENTS);
            if let Some(value) = declared.get(name.as_str()) {
                let told = Fact::declared(value, &mut unknown);
                contradicts(name, &told, &fact)?;
                fact.kind = fact.kind.or(told.kind);
                fact.shape = fact.shape.or(told.shape);
            }
            facts.0.insert(name.clone(), fact);
        }
    }
    Ok(facts)
}

/// Only numbers contradict one another: exporters write names that mean nothing.
fn contradicts(name: &str, declared: &Fact, found: &Fact) -> Result<(), ShapeError> {
    let (Some(told), Some(shape)) = (&declared.shape, &found.shape) else { return Ok(()) };
    let differ =
        |(told, found): (&Dim, &Dim)| told.known().zip(found.known()).is_some_and(|(told, found)| told != found);
    if told.len() == shape.len() && !told.iter().zip(shape).any(differ) {
        return Ok(());
    }
    Err(ShapeError::Declared { name: name.to_owned(), declared: declared.to_string(), found: found.to_string() })
}

/// The rule for a node's operator.
fn rule(node: &NodeProto) -> Option<fn(&Op<'_>) -> Ruled> {
    if !node.standard() {
        return None;
    }
    Some(match node.op_type() {
        "Conv" => conv::conv,
        "MaxPool" | "AveragePool" => pool::pool,
        "GlobalAveragePool" | "GlobalMaxPool" => pool::global,
        "BatchNormalization" => normalise::batch,
        "LayerNormalization" => normalise::layer,
        "Softmax" | "LogSoftmax" => normalise::softmax,
        op if elementwise::UNARY.contains(&op) => elementwise::unary,
        op if elementwise::BINARY.contains(&op) => elementwise::binary,
        "Where" => elementwise::choose,
        "Dropout" => elementwise::dropout,
        "Cast" => elementwise::cast,
        "CastLike" => elementwise::cast_like,
        op if reduce::REDUCTIONS.contains(&op) => reduce::reduce,
        "Gemm" => matmul::gemm,
        "MatMul" => matmul::matmul,
        "Concat" => concat::concat,
        "Split" => concat::split,
        "Pad" => concat::pad,
        "Expand" => layout::expand,
        "Slice" => gather::slice,
        "Gather" => gather::gather,
        "Reshape" => layout::reshape,
        "Flatten" => layout::flatten,
        "Transpose" => layout::transpose,
        "Squeeze" => layout::squeeze,
        "Unsqueeze" => layout::unsqueeze,
        "Shape" => constant::shape,
        "Size" => constant::size,
        "Constant" => constant::constant,
        "ConstantOfShape" => constant::of_shape,
        "QuantizeLinear" => quantise::quantise,
        "DequantizeLinear" => quantise::dequantise,
        _ => return None,
    })
}

/// Axis `axis` of a value with `rank` dimensions, counted from the end if negative.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
    let inside = from_start.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    inside.ok_or_else(|| format!("found axis {axis}, expected one of a value with {rank} dimensions"))
}

#[cfg(test)]
mod tests;
