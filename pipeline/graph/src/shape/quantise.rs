//! Quantisation: shapes stay, element types change.

use super::{Fact, Op, Ruled, axis};
use crate::onnx::tensor_proto::DataType;

pub(super) fn quantise(op: &Op<'_>) -> Ruled {
    check_scale(op)?;
    let told = op.node.int("output_dtype").and_then(|kind| DataType::try_from(i32::try_from(kind).ok()?).ok());
    let told = told.filter(|&kind| kind != DataType::Undefined);
    let kind = op.input(2).kind.or(told).or(Some(DataType::Uint8));
    Ok(vec![Fact { kind, shape: op.input(0).shape.clone(), elements: None }])
}

pub(super) fn dequantise(op: &Op<'_>) -> Ruled {
    check_scale(op)?;
    let kind = op.input(1).kind.or(Some(DataType::Float));
    Ok(vec![Fact { kind, shape: op.input(0).shape.clone(), elements: None }])
}

/// One scale, or one per element of `axis`.
fn check_scale(op: &Op<'_>) -> Result<(), String> {
    let (Some(shape), Some([length])) = (op.shape(0), op.shape(1)) else { return Ok(()) };
    if length.known() == Some(1) {
        return Ok(());
    }
    let at = axis(op.node.int("axis").unwrap_or(1), shape.len())?;
    match length.known().zip(shape[at].known()) {
        Some((scales, size)) if scales != size => {
            Err(format!("found {scales} scales for {size} elements on axis {at} of {}, expected one each", op.input(0)))
        }
        _ => Ok(()),
    }
}
