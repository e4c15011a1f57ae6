//! Between our bytes and ONNX Runtime's tensors, without a copy either way.

use std::fmt::Debug;

use bytemuck::{AnyBitPattern, NoUninit};
use bytes::Bytes;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef};
use takt_artifact::DataType;

use crate::tensor::{booleans, elements};
use crate::{InputView, OutputTensor, RunError};

/// A tensor over the caller's bytes.
pub fn input<'v>(view: &InputView<'v>) -> Result<SessionInputValue<'v>, RunError> {
    fn plain<'v, T>(view: &InputView<'v>) -> Result<SessionInputValue<'v>, RunError>
    where
        T: AnyBitPattern + PrimitiveTensorElementType + Debug,
    {
        over(view.shape, elements::<T>(view.data)?)
    }
    match view.datatype {
        DataType::Bool => over(view.shape, booleans(view.data)?),
        DataType::Uint8 => plain::<u8>(view),
        DataType::Uint16 => plain::<u16>(view),
        DataType::Uint32 => plain::<u32>(view),
        DataType::Uint64 => plain::<u64>(view),
        DataType::Int8 => plain::<i8>(view),
        DataType::Int16 => plain::<i16>(view),
        DataType::Int32 => plain::<i32>(view),
        DataType::Int64 => plain::<i64>(view),
        DataType::Fp16 => over(view.shape, elements::<u16>(view.data)?.reinterpret_cast::<f16>()),
        DataType::Bf16 => over(view.shape, elements::<u16>(view.data)?.reinterpret_cast::<bf16>()),
        DataType::Fp32 => plain::<f32>(view),
        DataType::Fp64 => plain::<f64>(view),
        DataType::Bytes => Err(RunError::Input("string inputs are not served".to_owned())),
    }
}

fn over<'v, T>(shape: &'v [usize], data: &'v [T]) -> Result<SessionInputValue<'v>, RunError>
where
    T: PrimitiveTensorElementType + Debug + Clone + 'static,
{
    let tensor = TensorRef::from_array_view((shape, data));
    tensor
        .map(SessionInputValue::from)
        .map_err(|error| RunError::Input(format!("ONNX Runtime does not take this input: {error}")))
}

/// The output, lent out in place: its memory goes back to ONNX Runtime when the last slice of the bytes is dropped.
pub fn output(value: DynValue, name: &str) -> Result<OutputTensor, RunError> {
    let failed = |reason: &str| RunError::Runtime(format!("output '{name}' of ONNX Runtime cannot be read: {reason}"));
    let datatype =
        value.dtype().tensor_type().and_then(datatype).ok_or_else(|| failed(&format!("it is a {}", value.dtype())))?;
    let shape = value.dtype().tensor_shape().ok_or_else(|| failed("it has no shape"))?;
    let shape = shape
        .iter()
        .map(|&dim| usize::try_from(dim).map_err(|_| failed("a dimension is negative")))
        .collect::<Result<_, _>>()?;
    bytes_of(&value, datatype).map_err(|error| failed(&error.to_string()))?;
    Ok(OutputTensor { datatype, shape, data: Bytes::from_owner(Lent { value, datatype }) })
}

struct Lent {
    value: DynValue,
    datatype: DataType,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        // Read once before it was lent, so it can be read again.
        bytes_of(&self.value, self.datatype).unwrap_or_default()
    }
}

fn bytes_of(value: &DynValue, datatype: DataType) -> ort::Result<&[u8]> {
    fn plain<T: NoUninit + PrimitiveTensorElementType>(value: &DynValue) -> ort::Result<&[u8]> {
        value.try_extract_tensor::<T>().map(|(_, elements)| bytemuck::cast_slice(elements))
    }
    match datatype {
        DataType::Bool => plain::<bool>(value),
        DataType::Uint8 => plain::<u8>(value),
        DataType::Uint16 => plain::<u16>(value),
        DataType::Uint32 => plain::<u32>(value),
        DataType::Uint64 => plain::<u64>(value),
        DataType::Int8 => plain::<i8>(value),
        DataType::Int16 => plain::<i16>(value),
        DataType::Int32 => plain::<i32>(value),
        DataType::Int64 => plain::<i64>(value),
        DataType::Fp16 => {
            value.try_extract_tensor::<f16>().map(|(_, halves)| bytemuck::cast_slice(halves.reinterpret_cast()))
        }
        DataType::Bf16 => {
            value.try_extract_tensor::<bf16>().map(|(_, halves)| bytemuck::cast_slice(halves.reinterpret_cast()))
        }
        DataType::Fp32 => plain::<f32>(value),
        DataType::Fp64 => plain::<f64>(value),
        DataType::Bytes => Err(ort::Error::new("string outputs are not served")),
    }
}

/// Ours for ONNX Runtime's; `None` for what is not served.
pub fn datatype(element: TensorElementType) -> Option<DataType> {
    Some(match element {
        TensorElementType::Bool => DataType::Bool,
        TensorElementType::Uint8 => DataType::Uint8,
        TensorElementType::Uint16 => DataType::Uint16,
        TensorElementType::Uint32 => DataType::Uint32,
        TensorElementType::Uint64 => DataType::Uint64,
        TensorElementType::Int8 => DataType::Int8,
        TensorElementType::Int16 => DataType::Int16,
        TensorElementType::Int32 => DataType::Int32,
        TensorElementType::Int64 => DataType::Int64,
        TensorElementType::Float16 => DataType::Fp16,
        TensorElementType::Bfloat16 => DataType::Bf16,
        TensorElementType::Float32 => DataType::Fp32,
        TensorElementType::Float64 => DataType::Fp64,
        _ => return None,
    })
}
