//! Between our bytes and tract's tensors: inputs are copied once (tract wants to own them), outputs are lent out as they are.

use std::sync::Arc;

use bytes::Bytes;
use half::slice::HalfBitsSliceExt;
use takt_artifact::{DataType, TensorSpec};
use tract_onnx::prelude::{Datum, DatumType, IntoArcTensor, TValue, Tensor, TractResult};

use crate::tensor::elements;
use crate::{InputView, OutputTensor, RunError};

/// A tensor with a copy of the input; its byte length was checked before.
pub fn input(view: &InputView<'_>) -> Result<TValue, RunError> {
    fn tensor<T: Datum + Copy + bytemuck::AnyBitPattern>(
        view: &InputView<'_>,
    ) -> Result<TractResult<Tensor>, RunError> {
        Ok(Tensor::from_shape(view.shape, elements::<T>(view.data)?))
    }
    let made = match view.datatype {
        DataType::Bool => Tensor::from_shape(view.shape, crate::tensor::booleans(view.data)?),
        DataType::Uint8 => tensor::<u8>(view)?,
        DataType::Uint16 => tensor::<u16>(view)?,
        DataType::Uint32 => tensor::<u32>(view)?,
        DataType::Uint64 => tensor::<u64>(view)?,
        DataType::Int8 => tensor::<i8>(view)?,
        DataType::Int16 => tensor::<i16>(view)?,
        DataType::Int32 => tensor::<i32>(view)?,
        DataType::Int64 => tensor::<i64>(view)?,
        DataType::Fp16 => Tensor::from_shape(view.shape, elements::<u16>(view.data)?.reinterpret_cast::<half::f16>()),
        DataType::Fp32 => tensor::<f32>(view)?,
        DataType::Fp64 => tensor::<f64>(view)?,
        DataType::Bf16 | DataType::Bytes => {
            return Err(RunError::Input(format!("tract does not take {} inputs", view.datatype)));
        }
    };
    made.map(TValue::from).map_err(|error| RunError::Input(format!("tract does not take this input: {error:#}")))
}

/// The output as bytes; cast only where tract computed it in another type than the graph declares (shapes, mostly).
pub fn output(value: TValue, spec: &TensorSpec) -> Result<OutputTensor, RunError> {
    let mut tensor = value.into_arc_tensor();
    if DataType::Bytes == spec.datatype || datatype(tensor.datum_type()) != Some(spec.datatype) {
        let cast = datum_type(spec.datatype).map(|wanted| tensor.cast_to_dt(wanted).map(std::borrow::Cow::into_owned));
        tensor = match cast {
            Some(Ok(cast)) => Arc::new(cast),
            _ => {
                return Err(RunError::Runtime(format!(
                    "tract computed output '{}' as {:?}, the graph declares {}",
                    spec.name,
                    tensor.datum_type(),
                    spec.datatype
                )));
            }
        };
    }
    let shape = tensor.shape().to_vec();
    Ok(OutputTensor { datatype: spec.datatype, shape, data: Bytes::from_owner(Lent(tensor)) })
}

struct Lent(Arc<Tensor>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Ours for tract's; `None` where there is none.
pub fn datatype(datum: DatumType) -> Option<DataType> {
    Some(match datum.unquantized() {
        DatumType::Bool => DataType::Bool,
        DatumType::U8 => DataType::Uint8,
        DatumType::U16 => DataType::Uint16,
        DatumType::U32 => DataType::Uint32,
        DatumType::U64 => DataType::Uint64,
        DatumType::I8 => DataType::Int8,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 => DataType::Int64,
        DatumType::F16 => DataType::Fp16,
        DatumType::F32 => DataType::Fp32,
        DatumType::F64 => DataType::Fp64,
        _ => return None,
    })
}

fn datum_type(datatype: DataType) -> Option<DatumType> {
    let known = [
        DatumType::Bool,
        DatumType::U8,
        DatumType::U16,
        DatumType::U32,
        DatumType::U64,
        DatumType::I8,
        DatumType::I16,
        DatumType::I32,
        DatumType::I64,
        DatumType::F16,
        DatumType::F32,
        DatumType::F64,
    ];
    known.into_iter().find(|datum| self::datatype(*datum) == Some(datatype))
}
