//! What each operator ties. A rule accounts for the axes it knows; the driver locks the others.

mod concat;
mod conv;
mod layout;
mod matmul;

use std::collections::HashSet;

use super::Role;
use super::shuffle;
use super::slices::Slices;
use crate::Model;
use crate::onnx::NodeProto;
use crate::shape::{BINARY, Facts, Op, REDUCTIONS, UNARY, axis, reduction_axes};

/// Ties everything in a model.
pub(super) fn tie_all<'a>(model: &'a Model, facts: &'a Facts) -> Slices<'a> {
    let graph = model.graph();
    let index = graph.index();
    let mut slices = Slices::new(facts);
    for value in &graph.input {
        slices.lock_value(value.name(), &format!("the graph takes '{}'", value.name()));
    }
    let mut done = HashSet::new();
    for (place, node) in graph.node.iter().enumerate().filter(|(_, node)| !node.output.is_empty()) {
        if let Some(shuffle) = shuffle::at(graph, &index, facts, place) {
            layout::shuffle(&shuffle, &mut slices);
            done.extend(shuffle.nodes);
        }
        if done.contains(&place) {
            continue;
        }
        let op = Op::new(node, model.opset(), facts, place);
        let reason = match rule(node) {
            Some(rule) if known(&op, facts) => {
                rule(&op, &mut slices);
                format!("{} does not let it vary", node.label())
            }
            Some(_) => format!("{}: not all shapes are known", node.label()),
            None => format!("{} has no rule for pruning", node.label()),
        };
        let bodies = node.subgraphs().flat_map(crate::graph::captured);
        let names = node.input.iter().chain(&node.output).map(String::as_str).chain(bodies);
        slices.lock_untouched(names.filter(|name| !name.is_empty()), &reason);
    }
    for value in &graph.output {
        slices.lock_value(value.name(), &format!("the graph gives out '{}'", value.name()));
    }
    slices
}

/// Without ranks no rule can speak of axes.
fn known(op: &Op<'_>, facts: &Facts) -> bool {
    let names = op.node.input.iter().chain(&op.node.output);
    names.filter(|name| !name.is_empty()).all(|name| facts.get(name).shape.is_some())
}

type Rule = for<'a> fn(&Op<'a>, &mut Slices<'a>);

fn rule(node: &NodeProto) -> Option<Rule> {
    if !node.standard() {
        return None;
    }
    Some(match node.op_type() {
        "Conv" => conv::conv,
        "MaxPool" | "AveragePool" | "GlobalAveragePool" | "GlobalMaxPool" => conv::pool,
        "BatchNormalization" => conv::batch_norm,
        "LayerNormalization" => layer_norm,
        "Softmax" | "LogSoftmax" => softmax,
        "Gemm" => matmul::gemm,
        "MatMul" => matmul::matmul,
        "Concat" => concat::concat,
        "Split" => concat::split,
        "Slice" => concat::slice,
        "Gather" => concat::gather,
        "Pad" => concat::pad,
        "Reshape" | "Flatten" => layout::reshape,
        "Transpose" => layout::transpose,
        "Squeeze" | "Unsqueeze" => layout::reshape,
        "QuantizeLinear" | "DequantizeLinear" => quantise,
        op if REDUCTIONS.contains(&op) => reduce,
        op if UNARY.contains(&op) => like_input,
        "Dropout" | "Cast" | "CastLike" => like_input,
        op if BINARY.contains(&op) => broadcast,
        "Where" => broadcast,
        _ => return None,
    })
}

/// Outputs like the first input.
fn like_input<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let Some(input) = op.node.input_name(0) else { return };
    for slot in 0..op.node.output.len() {
        if let Some(output) = op.node.output_name(slot) {
            slices.tie_all(input, output, |_| false);
        }
    }
}

fn broadcast<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let Some(output) = op.node.output_name(0) else { return };
    for slot in 0..op.node.input.len() {
        if let Some(input) = op.node.input_name(slot) {
            slices.tie_broadcast(input, output);
        }
    }
}

/// What is reduced is left to be locked.
fn reduce<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    let rank = slices.rank(input);
    let Ok(Some(axes)) = reduction_axes(op, rank) else { return };
    let keep = op.node.int("keepdims").unwrap_or(1) != 0;
    let mut at = 0;
    for axis in 0..rank {
        let reduced = axes.contains(&axis);
        if !reduced {
            slices.tie((input, axis), (output, at));
        }
        at += usize::from(keep || !reduced);
    }
}

fn softmax<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    if let Ok(over) = axis(op.node.int("axis").unwrap_or(-1), slices.rank(input)) {
        slices.tie_all(input, output, |axis| axis == over);
    }
}

/// Dropping a channel changes the mean the others are normalised by, as it does in training from scratch without it.
fn layer_norm<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    slices.tie_all(input, output, |_| false);
    for slot in 1..op.node.input.len() {
        if let Some(weight) = op.node.input_name(slot) {
            slices.tie_broadcast(weight, output);
            let role = if slot == 1 { Role::Scale } else { Role::Shift };
            slices.roles.entry((weight, 0)).or_insert(role);
        }
    }
}

/// Scales and zero points are one for all, or one per element of an axis.
fn quantise<'a>(op: &Op<'a>, slices: &mut Slices<'a>) {
    let (Some(input), Some(output)) = (op.node.input_name(0), op.node.output_name(0)) else { return };
    let Ok(at) = axis(op.node.int("axis").unwrap_or(1), slices.rank(input)) else {
        // A scalar has no axis to name.
        return slices.tie_all(input, output, |_| false);
    };
    slices.tie_all(input, output, |_| false);
    for name in (1..3).filter_map(|slot| op.node.input_name(slot)) {
        if slices.rank(name) == 1 {
            slices.tie((name, 0), (output, at));
        }
    }
}
