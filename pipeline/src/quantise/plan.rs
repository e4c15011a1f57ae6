//! Which values of a graph get a grid, and which share one.
//!
//! ONNX Runtime turns `DequantizeLinear -> op -> QuantizeLinear` into an integer kernel, and takes away a ReLU or Clip before
//! a QuantizeLinear whose grid clips as much. So a grid stands on every activation that an integer kernel reads, behind the
//! ReLU and never before it, and on what the kernel gives out. Operators that only move numbers keep the grid of their
//! input. TensorRT chooses its own outputs, so there grids stand on inputs alone.

use std::collections::{BTreeMap, BTreeSet};

use takt_graph::Model;
use takt_graph::graph::Index;
use takt_graph::onnx::NodeProto;
use takt_graph::onnx::tensor_proto::DataType;
use takt_graph::shape::Facts;

use super::{QuantiseError, Target};

/// What is to be quantised.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Values with a grid, and the value that names the group with which each shares it.
    pub grids: BTreeMap<String, String>,
    /// Places of the nodes whose weights are quantised.
    pub weighted: BTreeSet<usize>,
    /// Nodes with weights that stay in single precision.
    pub float: Vec<String>,
}

/// What a node is to quantisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Conv, Gemm or MatMul with constant weights.
    Weighted,
    /// An integer kernel with grids of its own on all sides.
    Integer,
    /// Moves or picks numbers.
    Passing,
    /// Puts tensors side by side.
    Concat,
    Float,
}

impl Plan {
    /// Plans for `target`; nodes named in `keep` stay in single precision.
    pub fn new(model: &Model, facts: &Facts, target: Target, keep: &BTreeSet<String>) -> Result<Self, QuantiseError> {
        let graph = model.graph();
        let planner = Planner { index: graph.index(), facts, nodes: &graph.node, target };
        known(keep, &graph.node)?;
        let mut plan = Self::default();
        let mut marked = BTreeSet::new();
        let mut shared: Vec<(String, String)> = Vec::new();
        // Backwards, so that a node that only moves numbers knows whether somebody wants them on a grid.
        for (place, node) in graph.node.iter().enumerate().rev() {
            let role = if keep.contains(node.name()) { Role::Float } else { planner.role(node) };
            match role {
                Role::Weighted => {
                    plan.weighted.insert(place);
                    marked.extend(planner.activation(node, 0));
                    if node.is("Conv") && target.integer_everywhere() {
                        marked.extend(planner.carried(node));
                    }
                }
                Role::Integer => {
                    marked.extend((0..node.input.len()).filter_map(|slot| planner.activation(node, slot)));
                    if target.integer_everywhere() {
                        marked.extend(planner.carried(node));
                    }
                }
                Role::Passing if node.output.iter().any(|output| marked.contains(output)) => {
                    let Some(input) = planner.activation(node, 0) else { continue };
                    for output in node.output.iter().filter(|output| !planner.index.is_output(output)) {
                        marked.insert(output.clone());
                        shared.push((output.clone(), input.clone()));
                    }
                    marked.insert(input);
                }
                Role::Concat if marked.contains(&node.output[0]) => {
                    for slot in 0..node.input.len() {
                        let Some(input) = planner.activation(node, slot) else { continue };
                        // A table per input costs ONNX Runtime nothing; TensorRT copies only what has one grid.
                        if !target.integer_everywhere() {
                            shared.push((input.clone(), node.output[0].clone()));
                        }
                        marked.insert(input);
                    }
                }
                Role::Float if planner.has_weights(node) => plan.float.push(node.label()),
                _ => {}
            }
        }
        if plan.weighted.is_empty() {
            return Err(QuantiseError::Nothing);
        }
        plan.float.reverse();
        plan.grids = groups(marked, &shared);
        Ok(plan)
    }
}

/// Names the nodes that are not there.
fn known(keep: &BTreeSet<String>, nodes: &[NodeProto]) -> Result<(), QuantiseError> {
    let missing = keep.iter().find(|name| !nodes.iter().any(|node| node.name() == *name));
    let Some(name) = missing else { return Ok(()) };
    let like = nodes
        .iter()
        .map(NodeProto::name)
        .find(|there| !there.is_empty() && (there.contains(name.as_str()) || name.contains(there)));
    let hint = like.map(|like| format!("; did you mean '{like}'?")).unwrap_or_default();
    Err(QuantiseError::NoSuchNode { name: name.clone(), hint })
}

/// Every value leads to the one its group is named after.
fn groups(marked: BTreeSet<String>, shared: &[(String, String)]) -> BTreeMap<String, String> {
    let mut leads: BTreeMap<String, String> = marked.into_iter().map(|name| (name.clone(), name)).collect();
    for (a, b) in shared {
        let (Some(a), Some(b)) = (leads.get(a).cloned(), leads.get(b).cloned()) else { continue };
        let (first, other) = if a < b { (a, b) } else { (b, a) };
        leads.values_mut().filter(|lead| **lead == other).for_each(|lead| lead.clone_from(&first));
    }
    leads
}

struct Planner<'a> {
    index: Index<'a>,
    facts: &'a Facts,
    nodes: &'a [NodeProto],
    target: Target,
}

impl Planner<'_> {
    fn role(&self, node: &NodeProto) -> Role {
        if !node.standard() {
            return Role::Float;
        }
        let integer = |yes: bool| if yes { Role::Integer } else { Role::Float };
        let both = || node.input.len() == 2 && (0..2).all(|slot| self.activation(node, slot).is_some());
        match node.op_type() {
            "Conv" | "Gemm" | "MatMul" if self.quantisable(node) => Role::Weighted,
            "Add" => integer(both()),
            "Mul" => integer(self.target.integer_everywhere() && both()),
            "GlobalAveragePool" | "AveragePool" | "Sigmoid" | "LeakyRelu" => integer(self.target.integer_everywhere()),
            "MaxPool" | "Reshape" | "Flatten" | "Transpose" | "Squeeze" | "Unsqueeze" | "Split" | "Slice" => {
                Role::Passing
            }
            "Concat" => Role::Concat,
            _ => Role::Float,
        }
    }

    fn has_weights(&self, node: &NodeProto) -> bool {
        matches!(node.op_type(), "Conv" | "Gemm" | "MatMul" | "ConvTranspose")
    }

    /// Constant weights of two dimensions or, for Conv, four; a bias that is constant too; a plain product.
    fn quantisable(&self, node: &NodeProto) -> bool {
        let constant = |slot| node.input_name(slot).and_then(|name| self.index.constant(name));
        let rank = if node.is("Conv") { 4 } else { 2 };
        let weights =
            constant(1).is_some_and(|weight| weight.dims.len() == rank && weight.kind() == Ok(DataType::Float));
        let bias = node.input_name(2).is_none()
            || constant(2)
                .is_some_and(|bias| constant(1).is_some_and(|weight| bias.dims == [weight.dims[channel_axis(node)]]));
        let plain = node.float("alpha").unwrap_or(1.0) == 1.0
            && node.float("beta").unwrap_or(1.0) == 1.0
            && node.int("transA").unwrap_or(0) == 0;
        weights && bias && plain && self.activation(node, 0).is_some()
    }

    /// Input `slot`, if it is computed from the image, in single precision.
    fn activation(&self, node: &NodeProto, slot: usize) -> Option<String> {
        let name = node.input_name(slot).filter(|name| self.index.initializer(name).is_none())?;
        (self.facts.get(name).kind == Some(DataType::Float)).then(|| name.to_owned())
    }

    /// What the node gives out, behind a ReLU or Clip that melts into it; nothing if the graph gives it out.
    fn carried(&self, node: &NodeProto) -> Option<String> {
        let output = node.output_name(0)?;
        let behind = self.index.only_consumer(output).and_then(|place| self.nodes.get(place));
        let output = match behind.filter(|node| node.is("Relu") || node.is("Clip")) {
            Some(activation) => activation.output_name(0)?,
            None => output,
        };
        (!self.index.is_output(output)).then(|| output.to_owned())
    }
}

/// The axis of a weight that holds the outputs.
pub(super) fn channel_axis(node: &NodeProto) -> usize {
    match node.op_type() {
        "Conv" => 0,
        "Gemm" if node.int("transB").unwrap_or(0) != 0 => 0,
        _ => 1,
    }
}
