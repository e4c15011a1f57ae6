//! Pooling.

use super::conv::Window;
use super::{Fact, Op, Ruled};
use crate::onnx::tensor_proto::DataType;

/// `MaxPool`, `AveragePool`.
pub(super) fn pool(op: &Op<'_>) -> Ruled {
    let fact = |shape| Fact { kind: op.input(0).kind, shape, elements: None };
    let Some(input) = op.shape(0) else { return Ok(vec![fact(None)]) };
    if input.len() < 3 {
        return Err(format!("found input {}, expected [N, C, spatial..]", op.input(0)));
    }
    let window = Window::of(op.node, input.len() - 2, None)?;
    let mut shape = input[..2].to_vec();
    shape.extend(window.outs(op, &input[2..])?);
    let indices = Fact::new(Some(DataType::Int64), shape.clone());
    Ok(vec![fact(Some(shape)), indices])
}

/// `GlobalAveragePool`, `GlobalMaxPool`.
pub(super) fn global(op: &Op<'_>) -> Ruled {
    let shape = op.shape(0).map(|shape| {
        shape.iter().enumerate().map(|(axis, dim)| if axis < 2 { dim.clone() } else { 1.into() }).collect()
    });
    Ok(vec![Fact { kind: op.input(0).kind, shape, elements: None }])
}
