//! The signature of an ONNX graph, read from the file itself so that it is the one every runtime reports.

use std::path::Path;

use takt_artifact::{DataType, Signature, TensorSpec};
use tract_onnx::pb::tensor_proto::DataType as OnnxType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{GraphProto, ValueInfoProto};

use super::NAME;
use crate::LoadError;

/// Inputs that are not initialisers (files of IR version 3 list those too) and outputs, in graph order.
pub fn signature(path: &Path, graph: &GraphProto) -> Result<Signature, LoadError> {
    let given = |info: &&ValueInfoProto| !graph.initializer.iter().any(|tensor| tensor.name == info.name);
    Ok(Signature {
        inputs: graph.input.iter().filter(given).map(|info| spec(path, "input", info)).collect::<Result<_, _>>()?,
        outputs: graph.output.iter().map(|info| spec(path, "output", info)).collect::<Result<_, _>>()?,
    })
}

/// Whether the file gives the shape of every output; where it does not, the optimised plan knows better.
pub fn lacks_shape(info: &ValueInfoProto) -> bool {
    match info.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
        Some(Value::TensorType(tensor)) => tensor.shape.is_none(),
        None => true,
    }
}

fn spec(path: &Path, side: &str, info: &ValueInfoProto) -> Result<TensorSpec, LoadError> {
    let refused = |found: String| LoadError::ElementType {
        path: path.to_owned(),
        runtime: NAME,
        tensor: format!("{side} '{}'", info.name),
        found,
    };
    let Some(Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Err(refused("something else than a tensor".to_owned()));
    };
    let found = OnnxType::try_from(tensor.elem_type).map_err(|_| refused(format!("ONNX type {}", tensor.elem_type)))?;
    let datatype = datatype(found).ok_or_else(|| refused(found.as_str_name().to_owned()))?;
    let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let shape = dims.iter().map(|dim| match &dim.value {
        Some(Dimension::DimValue(value)) => (*value).max(-1),
        _ => -1,
    });
    Ok(TensorSpec { name: info.name.clone(), datatype, shape: shape.collect() })
}

fn datatype(onnx: OnnxType) -> Option<DataType> {
    Some(match onnx {
        OnnxType::Bool => DataType::Bool,
        OnnxType::Uint8 => DataType::Uint8,
        OnnxType::Uint16 => DataType::Uint16,
        OnnxType::Uint32 => DataType::Uint32,
        OnnxType::Uint64 => DataType::Uint64,
        OnnxType::Int8 => DataType::Int8,
        OnnxType::Int16 => DataType::Int16,
        OnnxType::Int32 => DataType::Int32,
        OnnxType::Int64 => DataType::Int64,
        OnnxType::Float16 => DataType::Fp16,
        OnnxType::Float => DataType::Fp32,
        OnnxType::Double => DataType::Fp64,
        _ => return None,
    })
}
