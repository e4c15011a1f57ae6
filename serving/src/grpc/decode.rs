//! From a protobuf request to the core's. Raw contents are not copied; typed contents are written out once.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use takt_artifact::DataType;
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::model_infer_request::InferInputTensor;
use takt_proto::inference::{InferParameter, InferTensorContents, ModelInferRequest};
use tonic::metadata::MetadataMap;

use crate::error::InferError;
use crate::protocol::parameters::{
    OutputOption, Parameter, ResponseOptions, apply, apply_headers, output_option, parse_version, region,
};
use crate::protocol::shared_memory::SharedMemory;
use crate::request::{InferRequest, InputTensor};

/// A request with what its answer should look like.
#[derive(Debug)]
pub struct Decoded {
    /// The request.
    pub request: InferRequest,
    /// How each requested output is wanted, in order; empty means all, plain.
    pub outputs: Vec<OutputOption>,
    /// What else is asked of the answer.
    pub options: ResponseOptions,
}

/// Decodes a request.
///
/// # Errors
/// Anything that can be seen to be wrong without knowing the model.
pub fn decode(
    message: ModelInferRequest,
    metadata: &MetadataMap,
    memory: &SharedMemory,
) -> Result<Decoded, InferError> {
    let mut request = InferRequest::new(message.model_name, parse_version(&message.model_version)?);
    request.id = message.id;
    let options = apply(&mut request, parameters(&message.parameters)?)?;
    apply_headers(&mut request.origin, |key| Some(metadata.get(key)?.to_str().ok()?.to_owned()));
    let outputs = message
        .outputs
        .into_iter()
        .map(|output| output_option(output.name, &parameters(&output.parameters)?))
        .collect::<Result<Vec<_>, _>>()?;
    request.outputs = outputs.iter().map(|output| output.name.clone()).collect();
    request.inputs = inputs(&request.model, message.inputs, message.raw_input_contents, memory)?;
    Ok(Decoded { request, outputs, options })
}

/// Parameters of a message in the core's terms.
///
/// # Errors
/// A parameter without a value.
pub fn parameters(map: &HashMap<String, InferParameter>) -> Result<Vec<(&str, Parameter)>, InferError> {
    map.iter()
        .map(|(key, value)| {
            let value = match &value.parameter_choice {
                Some(ParameterChoice::BoolParam(value)) => Parameter::Bool(*value),
                Some(ParameterChoice::Int64Param(value)) => Parameter::Int(*value),
                Some(ParameterChoice::Uint64Param(value)) => Parameter::Uint(*value),
                Some(ParameterChoice::DoubleParam(value)) => Parameter::Double(*value),
                Some(ParameterChoice::StringParam(value)) => Parameter::Text(value.clone()),
                None => return Err(InferError::invalid(format!("parameter '{key}' has no value; give it one"))),
            };
            Ok((key.as_str(), value))
        })
        .collect()
}

fn inputs(
    model: &str,
    tensors: Vec<InferInputTensor>,
    raw: Vec<Bytes>,
    memory: &SharedMemory,
) -> Result<Vec<InputTensor>, InferError> {
    let raw_count = raw.len();
    let mut raw = raw.into_iter();
    let mut inputs = Vec::with_capacity(tensors.len());
    let mut inline = 0;
    for tensor in tensors {
        let datatype: DataType = tensor.datatype.parse().map_err(|error| {
            InferError::invalid(format!("inference input '{}' for model '{model}': {error}", tensor.name))
        })?;
        let region = region(&tensor.name, parameters(&tensor.parameters)?)?;
        let data = match (region, tensor.contents) {
            (Some(region), None) => memory.read(&region, &tensor.name)?,
            (Some(region), Some(_)) => {
                return Err(InferError::invalid(format!(
                    "unexpected 'contents' of input '{}' for model '{model}': its data is in shared memory region '{}'; send \
                     one of them",
                    tensor.name, region.region
                )));
            }
            (None, Some(contents)) if raw_count == 0 => typed(&tensor.name, model, datatype, &contents)?,
            (None, Some(_)) => {
                return Err(InferError::invalid(format!(
                    "contents field must not be specified when using raw_input_contents for '{}' for model '{model}'; send one \
                     of them",
                    tensor.name
                )));
            }
            (None, None) => {
                inline += 1;
                raw.next().ok_or_else(|| {
                    InferError::invalid(format!(
                        "input '{}' for model '{model}' has no data: expected entry {inline} of raw_input_contents, got {raw_count} \
                         entries",
                        tensor.name
                    ))
                })?
            }
        };
        inputs.push(InputTensor { name: tensor.name, datatype, shape: tensor.shape, data });
    }
    if raw.next().is_some() {
        return Err(InferError::invalid(format!(
            "unexpected number of raw_input_contents for model '{model}': expected {inline}, one per input that is not in \
             shared memory, got {raw_count}"
        )));
    }
    Ok(inputs)
}

/// Writes typed contents out as raw bytes.
fn typed(name: &str, model: &str, datatype: DataType, contents: &InferTensorContents) -> Result<Bytes, InferError> {
    fn write<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Bytes {
        values.iter().flat_map(|&value| bytes(value)).collect::<Vec<u8>>().into()
    }
    let lengths = [
        ("bool_contents", contents.bool_contents.len()),
        ("int_contents", contents.int_contents.len()),
        ("int64_contents", contents.int64_contents.len()),
        ("uint_contents", contents.uint_contents.len()),
        ("uint64_contents", contents.uint64_contents.len()),
        ("fp32_contents", contents.fp32_contents.len()),
        ("fp64_contents", contents.fp64_contents.len()),
        ("bytes_contents", contents.bytes_contents.len()),
    ];
    let expected = match datatype {
        DataType::Bool => "bool_contents",
        DataType::Int8 | DataType::Int16 | DataType::Int32 => "int_contents",
        DataType::Int64 => "int64_contents",
        DataType::Uint8 | DataType::Uint16 | DataType::Uint32 => "uint_contents",
        DataType::Uint64 => "uint64_contents",
        DataType::Fp32 => "fp32_contents",
        DataType::Fp64 => "fp64_contents",
        DataType::Bytes => "bytes_contents",
        DataType::Fp16 | DataType::Bf16 => {
            return Err(InferError::invalid(format!(
                "input '{name}' for model '{model}': {datatype} has no typed contents; use raw_input_contents"
            )));
        }
    };
    if let Some((wrong, _)) = lengths.iter().find(|(field, length)| *field != expected && *length > 0) {
        return Err(InferError::invalid(format!(
            "input '{name}' for model '{model}' has values in '{wrong}', but {datatype} belongs into '{expected}'"
        )));
    }
    let narrow = |value: String| {
        InferError::invalid(format!("input '{name}' for model '{model}': {value} is out of range for {datatype}"))
    };
    let ints = &contents.int_contents;
    let uints = &contents.uint_contents;
    Ok(match datatype {
        DataType::Bool => write(&contents.bool_contents, |value| [u8::from(value)]),
        DataType::Int8 => write(&checked::<i8, _>(ints, narrow)?, i8::to_le_bytes),
        DataType::Int16 => write(&checked::<i16, _>(ints, narrow)?, i16::to_le_bytes),
        DataType::Int32 => write(ints, i32::to_le_bytes),
        DataType::Int64 => write(&contents.int64_contents, i64::to_le_bytes),
        DataType::Uint8 => write(&checked::<u8, _>(uints, narrow)?, u8::to_le_bytes),
        DataType::Uint16 => write(&checked::<u16, _>(uints, narrow)?, u16::to_le_bytes),
        DataType::Uint32 => write(uints, u32::to_le_bytes),
        DataType::Uint64 => write(&contents.uint64_contents, u64::to_le_bytes),
        DataType::Fp32 => write(&contents.fp32_contents, f32::to_le_bytes),
        DataType::Fp64 => write(&contents.fp64_contents, f64::to_le_bytes),
        DataType::Bytes | DataType::Fp16 | DataType::Bf16 => byte_strings(&contents.bytes_contents, narrow)?,
    })
}

fn checked<T, V>(values: &[V], narrow: impl Fn(String) -> InferError) -> Result<Vec<T>, InferError>
where
    T: TryFrom<V>,
    V: Copy + std::fmt::Display,
{
    values.iter().map(|&value| T::try_from(value).map_err(|_| narrow(value.to_string()))).collect()
}

fn byte_strings(values: &[Bytes], narrow: impl Fn(String) -> InferError) -> Result<Bytes, InferError> {
    let mut data = BytesMut::with_capacity(values.iter().map(|value| value.len() + 4).sum());
    for value in values {
        let length = u32::try_from(value.len()).map_err(|_| narrow(format!("a string of {} bytes", value.len())))?;
        data.put_u32_le(length);
        data.put_slice(value);
    }
    Ok(data.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(datatype: &str, contents: Option<InferTensorContents>) -> InferInputTensor {
        InferInputTensor {
            name: "x".into(),
            datatype: datatype.into(),
            shape: vec![1, 2],
            parameters: HashMap::new(),
            contents,
        }
    }

    fn decode_one(input: InferInputTensor, raw: &[&'static [u8]]) -> Result<Decoded, InferError> {
        let message = ModelInferRequest {
            model_name: "m".into(),
            inputs: vec![input],
            raw_input_contents: raw.iter().map(|bytes| Bytes::from_static(bytes)).collect(),
            ..ModelInferRequest::default()
        };
        decode(message, &MetadataMap::new(), &SharedMemory::new())
    }

    #[test]
    fn typed_contents_become_little_endian_bytes() {
        let contents = InferTensorContents { int_contents: vec![1, -2], ..InferTensorContents::default() };
        let decoded = decode_one(tensor("INT16", Some(contents)), &[]).unwrap();
        assert_eq!(&decoded.request.inputs[0].data[..], [1, 0, 0xfe, 0xff]);
    }

    #[test]
    fn typed_values_out_of_range_are_refused() {
        let contents = InferTensorContents { int_contents: vec![300], ..InferTensorContents::default() };
        let error = decode_one(tensor("INT8", Some(contents)), &[]).unwrap_err();
        assert!(error.message().contains("300 is out of range for INT8"), "{error}");
    }

    #[test]
    fn both_contents_for_one_tensor_are_refused() {
        let contents = InferTensorContents { fp32_contents: vec![1.0], ..InferTensorContents::default() };
        let error = decode_one(tensor("FP32", Some(contents)), &[b"abcd"]).unwrap_err();
        assert!(error.message().contains("raw_input_contents"), "{error}");
    }

    #[test]
    fn values_in_the_wrong_field_name_the_right_one() {
        let contents = InferTensorContents { int_contents: vec![1], ..InferTensorContents::default() };
        let error = decode_one(tensor("FP32", Some(contents)), &[]).unwrap_err();
        assert!(error.message().contains("'fp32_contents'"), "{error}");
    }

    #[test]
    fn missing_and_surplus_raw_contents_are_counted() {
        assert!(decode_one(tensor("FP32", None), &[]).unwrap_err().message().contains("has no data"));
        let error = decode_one(tensor("FP32", None), &[b"a", b"b"]).unwrap_err();
        assert!(error.message().contains("expected 1") && error.message().contains("got 2"), "{error}");
    }

    #[test]
    fn unknown_datatypes_are_named() {
        assert!(decode_one(tensor("FLOAT", None), &[b""]).unwrap_err().message().contains("'FLOAT'"));
    }
}
