//! From the core's answer to protobuf. Output bytes are not copied on the way.

use std::collections::HashMap;

use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::model_infer_response::InferOutputTensor;
use takt_proto::inference::{InferParameter, ModelInferResponse};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use super::decode::Decoded;
use crate::error::InferError;
use crate::infer::InferResponse;
use crate::protocol::respond::{Delivered, decision, deliver, identity, provenance};
use crate::protocol::shared_memory::SharedMemory;
use crate::registry::version::ServedVersion;

/// Encodes an answer to `decoded`.
///
/// # Errors
/// An output could not be delivered as asked.
pub fn encode(
    response: &mut InferResponse,
    decoded: &Decoded,
    memory: &SharedMemory,
) -> Result<ModelInferResponse, InferError> {
    let tensors = std::mem::take(&mut response.outputs);
    let mut outputs = Vec::with_capacity(tensors.len());
    let mut raw_output_contents = Vec::with_capacity(tensors.len());
    for (index, tensor) in tensors.into_iter().enumerate() {
        let (tensor, parameters) = match deliver(tensor, decoded.outputs.get(index), response, memory)? {
            Delivered::Inline(tensor) => (tensor, HashMap::new()),
            Delivered::Shared(tensor, region) => {
                let parameters = [
                    ("shared_memory_region", ParameterChoice::StringParam(region.region)),
                    ("shared_memory_offset", ParameterChoice::Int64Param(region.offset as i64)),
                    ("shared_memory_byte_size", ParameterChoice::Int64Param(region.len as i64)),
                ];
                (tensor, parameters.map(|(key, choice)| (key.to_owned(), parameter(choice))).into())
            }
        };
        outputs.push(InferOutputTensor {
            name: tensor.name,
            datatype: tensor.datatype.name().to_owned(),
            shape: tensor.shape.iter().map(|&dim| dim as i64).collect(),
            parameters,
            contents: None,
        });
        raw_output_contents.push(tensor.data);
    }
    let mut parameters = HashMap::new();
    if decoded.options.decision {
        parameters.insert("takt_decision".to_owned(), parameter(ParameterChoice::StringParam(decision(response)?)));
    }
    Ok(ModelInferResponse {
        model_name: response.version.id.model.to_string(),
        model_version: response.version.id.version.to_string(),
        id: decoded.request.id.clone(),
        parameters,
        outputs,
        raw_output_contents,
    })
}

/// Says in metadata which prediction this is and who answered.
pub fn describe(metadata: &mut MetadataMap, response: &InferResponse) {
    insert(metadata, provenance(response));
}

/// Says in metadata which version this is and what runs it.
pub fn describe_version(metadata: &mut MetadataMap, version: &ServedVersion) {
    insert(metadata, identity(version));
}

fn insert(metadata: &mut MetadataMap, entries: impl IntoIterator<Item = (&'static str, String)>) {
    for (key, value) in entries {
        if let Ok(value) = AsciiMetadataValue::try_from(value) {
            metadata.insert(key, value);
        }
    }
}

/// A protobuf parameter.
#[must_use]
pub fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}
