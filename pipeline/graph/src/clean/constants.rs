//! What follows from the graph alone becomes an initialiser: `Constant` nodes, chains of shape arithmetic, and the few ways
//! exporters write a constant tensor.

use crate::onnx::tensor_proto::DataType;
use crate::onnx::{NodeProto, TensorProto};
use crate::patch::{Pass, Patch};
use crate::shape::{Facts, constant_tensor};
use crate::{Index, Model};

/// Folds `Constant` nodes and everything whose elements inference knows.
#[derive(Debug, Clone, Copy)]
pub struct FoldConstants;

/// A repeated constant larger than this is left to the run.
const MAX_EXPANDED: usize = 1 << 16;

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn propose(&self, model: &Model, facts: &Facts) -> Result<Patch, String> {
        let graph = model.graph();
        let index = graph.index();
        let mut patch = Patch::default();
        for (place, node) in graph.node.iter().enumerate() {
            let Some(name) = node.output_name(0).filter(|name| node.standard() && !index.is_output(name)) else {
                continue;
            };
            if node.output.len() > 1 {
                continue;
            }
            let folded = match node.op_type() {
                "Constant" => constant_tensor(node),
                _ => integers(name, facts).or_else(|| moved(node, name, &index, facts)),
            };
            if let Some(tensor) = folded {
                patch.remove(place);
                patch.set_initializer(tensor);
            }
        }
        Ok(patch)
    }
}

/// A small tensor of integers that shape inference has computed.
fn integers(name: &str, facts: &Facts) -> Option<TensorProto> {
    let fact = facts.get(name);
    let values = fact.integers()?;
    let shape = facts.sizes(name)?;
    if shape.iter().product::<usize>() != values.len() {
        return None;
    }
    match fact.kind? {
        DataType::Int64 => Some(TensorProto::from_i64(name, &shape, &values)),
        DataType::Int32 => {
            let values = values.into_iter().map(i32::try_from).collect::<Result<Vec<_>, _>>().ok()?;
            Some(TensorProto::from_i32(name, &shape, &values))
        }
        _ => None,
    }
}

/// A constant tensor of any type under another shape, repeated, or cast to the type it has.
fn moved(node: &NodeProto, name: &str, index: &Index<'_>, facts: &Facts) -> Option<TensorProto> {
    let tensor = index.constant(node.input_name(0)?)?;
    let shape = facts.sizes(name)?;
    let count: usize = shape.iter().product();
    let there = tensor.count().ok()?;
    let moved = match node.op_type() {
        "Cast" | "CastLike" => facts.get(name).kind == tensor.kind().ok(),
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => true,
        "Expand" => there == 1 && count <= MAX_EXPANDED,
        _ => false,
    };
    if !moved {
        return None;
    }
    let data = tensor.data().ok()?;
    let data = if there == count { data.to_vec() } else { data.repeat(count) };
    Some(TensorProto::from_bytes(name, tensor.kind().ok()?, &shape, data))
}
