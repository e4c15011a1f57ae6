//! What a model costs: multiply-accumulates and parameters, per node, for one sample.

use crate::Model;
use crate::onnx::NodeProto;
use crate::onnx::tensor_proto::DataType;
use crate::shape::{Facts, ShapeError, infer};

/// What one node costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCost {
    /// The node's place in the graph.
    pub node: usize,
    /// Its [label](NodeProto::label).
    pub label: String,
    /// Multiply-accumulates of convolutions and matrix products, with every unknown dimension 1; other operators count 0.
    pub macs: u64,
    /// Elements of the initialisers it reads that are weights: integers that say sizes do not count. Shared ones count where
    /// they are first read.
    pub parameters: u64,
}

/// Sums over all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Parameters.
    pub parameters: u64,
}

/// Costs per node, in the graph's order.
///
/// # Errors
/// The model's shapes are impossible.
pub fn per_node(model: &Model) -> Result<Vec<NodeCost>, ShapeError> {
    let facts = infer(model)?;
    let index = model.graph().index();
    let cost = |(place, node): (usize, &NodeProto)| {
        let weights =
            node.input.iter().filter(|name| index.consumers(name).first().is_some_and(|first| first.node == place));
        let mut weights: Vec<_> = weights.filter_map(|name| index.constant(name)).collect();
        weights.dedup_by_key(|tensor| tensor.name());
        let is_weight = |kind| !matches!(kind, DataType::Int64 | DataType::Bool | DataType::String);
        let weights = weights.into_iter().filter(|tensor| tensor.kind().is_ok_and(is_weight));
        let parameters = weights.filter_map(|tensor| tensor.count().ok()).map(|count| count as u64).sum();
        NodeCost { node: place, label: node.label(), macs: macs(node, &facts).unwrap_or(0), parameters }
    };
    Ok(model.graph().node.iter().enumerate().map(cost).collect())
}

/// Costs of the whole model.
///
/// # Errors
/// The model's shapes are impossible.
pub fn total(model: &Model) -> Result<Cost, ShapeError> {
    let nodes = per_node(model)?;
    let sum = |of: fn(&NodeCost) -> u64| nodes.iter().map(of).fold(0, u64::saturating_add);
    Ok(Cost { macs: sum(|cost| cost.macs), parameters: sum(|cost| cost.parameters) })
}

/// Outputs times what each sums over. `None` for operators that do not count.
fn macs(node: &NodeProto, facts: &Facts) -> Option<u64> {
    let size = |value: &str, axis: usize| {
        facts.get(value).dim(axis)?.eval(&|_| Some(1)).and_then(|dim| u64::try_from(dim).ok())
    };
    let count = |value: &str, from: usize| {
        (from..facts.get(value).rank()?)
            .try_fold(1_u64, |product, axis| Some(product.saturating_mul(size(value, axis)?)))
    };
    let (a, b, output) = (node.input_name(0)?, node.input_name(1)?, node.output_name(0)?);
    let summed = match node.op_type() {
        "Conv" => count(b, 1)?,
        "Gemm" => size(a, usize::from(node.int("transA").unwrap_or(0) == 0))?,
        "MatMul" => size(a, facts.get(a).rank()?.checked_sub(1)?)?,
        _ => return None,
    };
    Some(count(output, 0)?.saturating_mul(summed)).filter(|_| node.standard())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{ResNetOptions, resnet18, resnet50};

    /// The figures of torchvision's documentation: 1.81 and 4.09 billion, 11,689,512 and 25,557,032 parameters, to which
    /// running means and variances are added here: 2 x 4,800 and 2 x 26,560.
    #[test]
    fn resnets_cost_what_is_published() {
        let options = ResNetOptions { classes: 1000, input: [3, 224, 224], ..ResNetOptions::default() };
        let small = total(&resnet18(&options, 0).unwrap()).unwrap();
        assert_eq!((small.macs / 10_000_000, small.parameters), (181, 11_689_512 + 2 * 4_800));
        let large = total(&resnet50(&options, 0).unwrap()).unwrap();
        assert_eq!((large.macs / 10_000_000, large.parameters), (408, 25_557_032 + 2 * 26_560));
    }
}
