//! Values that follow from the graph alone, and shapes as values.

use super::fact::MAX_ELEMENTS;
use super::{Dim, Fact, Op, Ruled};
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{NodeProto, TensorProto};

/// The tensor a `Constant` node gives; `None` if it is of a kind we leave alone (sparse, strings).
pub(crate) fn tensor(node: &NodeProto) -> Option<TensorProto> {
    let name = node.output_name(0)?;
    let scalar = |attribute: &str| node.attribute_named(attribute);
    let mut tensor = if let Some(tensor) = node.tensor("value") {
        tensor.clone()
    } else if let Some(value) = node.int("value_int") {
        TensorProto::from_i64(name, &[], &[value])
    } else if let Some(values) = node.ints("value_ints") {
        TensorProto::from_i64(name, &[values.len()], values)
    } else if let Some(value) = node.float("value_float") {
        TensorProto::from_f32(name, &[], &[value])
    } else {
        let values = &scalar("value_floats")?.floats;
        TensorProto::from_f32(name, &[values.len()], values)
    };
    tensor.name = Some(name.to_owned());
    tensor.check().ok().map(|()| tensor)
}

pub(super) fn constant(op: &Op<'_>) -> Ruled {
    Ok(vec![tensor(op.node).as_ref().map(Fact::of_tensor).unwrap_or_default()])
}

/// `Shape`, with the borders it has from operator set 15 on.
pub(super) fn shape(op: &Op<'_>) -> Ruled {
    let kind = Some(DataType::Int64);
    let Some(shape) = op.shape(0) else { return Ok(vec![Fact::new(kind, vec![op.unknown()])]) };
    let rank = i64::try_from(shape.len()).unwrap_or(i64::MAX);
    let border = |name: &str, default: i64| {
        let at = op.node.int(name).unwrap_or(default);
        let at = if at < 0 { at.saturating_add(rank) } else { at };
        usize::try_from(at.clamp(0, rank)).unwrap_or_default()
    };
    let (start, end) = (border("start", 0), border("end", rank));
    let elements = shape[start..end.max(start)].to_vec();
    Ok(vec![Fact { kind, shape: Some(vec![elements.len().into()]), elements: Some(elements) }])
}

pub(super) fn size(op: &Op<'_>) -> Ruled {
    let elements = op.shape(0).and_then(Dim::product).map(|all| vec![all]);
    Ok(vec![Fact { kind: Some(DataType::Int64), shape: Some(Vec::new()), elements }])
}

pub(super) fn of_shape(op: &Op<'_>) -> Ruled {
    let value = op.node.tensor("value");
    let kind = value.map_or(Some(DataType::Float), |value| value.kind().ok());
    let Some(shape) = op.input(0).elements.clone() else { return Ok(vec![Fact { kind, ..Fact::default() }]) };
    let value = value.and_then(|value| value.i64s().ok()).and_then(|values| values.first().copied());
    let length = match shape.as_slice() {
        [] => Some(1),
        [length] => length.size().filter(|&length| length <= MAX_ELEMENTS),
        _ => None,
    };
    let elements = value.zip(length).map(|(value, length)| vec![value.into(); length]);
    Ok(vec![Fact { kind, shape: Some(shape), elements }])
}
