//! Operators that work on each element, with broadcasting (onnx, docs/Broadcasting.md).

use super::{Dim, Fact, Op, Ruled, integers};
use crate::onnx::tensor_proto::DataType;

/// One operand, output like it; further inputs are scalars or slopes.
pub(crate) const UNARY: [&str; 37] = [
    "Abs",
    "Acos",
    "Asin",
    "Atan",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
    "Cosh",
    "Sinh",
    "IsNaN",
];

/// Operands broadcast to one shape.
pub(crate) const BINARY: [&str; 18] = [
    "Add",
    "And",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
];

const TRUTH: [&str; 8] = ["And", "Equal", "Greater", "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual", "Or"];

pub(super) fn unary(op: &Op<'_>) -> Ruled {
    let input = op.input(0);
    let elements = match op.node.op_type() {
        "Identity" | "Floor" | "Ceil" | "Round" => input.elements.clone(),
        _ => None,
    };
    Ok(vec![Fact { kind: kind(op), elements, ..input.clone() }])
}

pub(super) fn binary(op: &Op<'_>) -> Ruled {
    let shape = broadcast(op, (0..op.node.input.len()).collect())?;
    Ok(vec![Fact { kind: kind(op), shape, elements: integers::binary(op) }])
}

/// `Where`.
pub(super) fn choose(op: &Op<'_>) -> Ruled {
    Ok(vec![Fact { kind: op.input(1).kind, shape: broadcast(op, vec![0, 1, 2])?, elements: None }])
}

/// `Dropout`, whose second output is a mask.
pub(super) fn dropout(op: &Op<'_>) -> Ruled {
    let input = op.input(0);
    Ok(vec![input.clone(), Fact { kind: Some(DataType::Bool), elements: None, ..input.clone() }])
}

pub(super) fn cast(op: &Op<'_>) -> Ruled {
    let to = op.node.int("to").and_then(|to| i32::try_from(to).ok()).and_then(|to| DataType::try_from(to).ok());
    let to = to.ok_or("found no element type to cast to")?;
    Ok(vec![Fact { kind: Some(to), ..op.input(0).clone() }])
}

pub(super) fn cast_like(op: &Op<'_>) -> Ruled {
    Ok(vec![Fact { kind: op.input(1).kind, ..op.input(0).clone() }])
}

fn kind(op: &Op<'_>) -> Option<DataType> {
    if TRUTH.contains(&op.node.op_type()) { Some(DataType::Bool) } else { op.input(0).kind }
}

fn broadcast(op: &Op<'_>, slots: Vec<usize>) -> Result<Option<Vec<Dim>>, String> {
    let mut shape = Vec::new();
    for slot in slots {
        let Some(next) = op.shape(slot) else { return Ok(None) };
        shape = together(op, &shape, next)?;
    }
    Ok(Some(shape))
}

/// The shape two operands broadcast to.
pub(super) fn together(op: &Op<'_>, left: &[Dim], right: &[Dim]) -> Result<Vec<Dim>, String> {
    let rank = left.len().max(right.len());
    let one = Dim::from(1_i64);
    let at = |shape: &[Dim], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis].clone(),
        None => one.clone(),
    };
    let join = |axis| {
        let (left, right) = (at(left, axis), at(right, axis));
        match (left.known(), right.known()) {
            _ if left == right => Ok(left),
            (Some(1), _) => Ok(right),
            (_, Some(1)) => Ok(left),
            (Some(a), Some(b)) => Err(format!(
                "found {a} and {b} on axis {axis} of {} and {}, expected the same or 1",
                op.input(0),
                op.input(1)
            )),
            // Whatever the other turns out to be, it has to be this or 1.
            (Some(_), None) => Ok(left),
            (None, Some(_)) => Ok(right),
            (None, None) => Ok(op.unknown()),
        }
    };
    (0..rank).map(join).collect()
}
