//! From the core's answer to HTTP: a JSON object, and behind it the outputs that are wanted as binary data. Those are
//! not copied on the way.

use std::collections::VecDeque;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

use super::body::Parts;
use super::decode::{Decoded, HEADER_LENGTH};
use super::tensor::Elements;
use crate::error::InferError;
use crate::infer::InferResponse;
use crate::protocol::in_flight::Reserved;
use crate::protocol::parameters::RegionSlice;
use crate::protocol::respond::{Delivered, decision, deliver, provenance};
use crate::protocol::shared_memory::SharedMemory;
use crate::request::NamedTensor;

#[derive(Serialize)]
struct ResponseJson<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters>,
    outputs: Vec<OutputJson<'a>>,
}

#[derive(Serialize)]
struct Parameters {
    takt_decision: String,
}

#[derive(Serialize)]
struct OutputJson<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [usize],
    #[serde(flatten)]
    place: Place<'a>,
}

/// Where an output's elements are.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Place<'a> {
    Data(Elements<'a>),
    #[serde(rename = "parameters")]
    Binary {
        binary_data_size: usize,
    },
    #[serde(rename = "parameters")]
    Shared {
        shared_memory_region: &'a str,
        shared_memory_offset: usize,
        shared_memory_byte_size: usize,
    },
}

/// One output on its way out.
enum Outgoing {
    Json(NamedTensor),
    Binary(NamedTensor),
    Shared(NamedTensor, RegionSlice),
}

/// Encodes an answer to `decoded`; `reserved` is held until it has been sent.
///
/// # Errors
/// An output could not be delivered as asked.
pub fn encode(
    mut response: InferResponse,
    decoded: &Decoded,
    memory: &SharedMemory,
    reserved: Reserved,
) -> Result<Response, InferError> {
    let tensors = std::mem::take(&mut response.outputs);
    let mut outputs = Vec::with_capacity(tensors.len());
    for (index, tensor) in tensors.into_iter().enumerate() {
        let option = decoded.outputs.get(index);
        let binary = option.and_then(|option| option.binary).unwrap_or(decoded.binary);
        outputs.push(match deliver(tensor, option, &response, memory)? {
            Delivered::Inline(tensor) if binary => Outgoing::Binary(tensor),
            Delivered::Inline(tensor) => Outgoing::Json(tensor),
            Delivered::Shared(tensor, region) => Outgoing::Shared(tensor, region),
        });
    }
    let decision = decoded.options.decision.then(|| decision(&response)).transpose()?;
    let json = ResponseJson {
        model_name: &response.version.id.model,
        model_version: response.version.id.version.to_string(),
        id: &decoded.request.id,
        parameters: decision.map(|takt_decision| Parameters { takt_decision }),
        outputs: outputs.iter().map(OutputJson::from).collect(),
    };
    let json = serde_json::to_vec(&json)
        .map_err(|error| InferError::invalid(format!("the outputs can't be written as JSON: {error}")))?;
    let mut answer = assemble(json, outputs, reserved);
    describe(answer.headers_mut(), provenance(&response));
    Ok(answer)
}

/// Says in headers what is not part of the protocol's answer.
pub(super) fn describe(headers: &mut HeaderMap, entries: impl IntoIterator<Item = (&'static str, String)>) {
    for (key, value) in entries {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(key), value);
        }
    }
}

impl<'a> From<&'a Outgoing> for OutputJson<'a> {
    fn from(output: &'a Outgoing) -> Self {
        let (tensor, place) = match output {
            Outgoing::Json(tensor) => (tensor, Place::Data(Elements { datatype: tensor.datatype, raw: &tensor.data })),
            Outgoing::Binary(tensor) => (tensor, Place::Binary { binary_data_size: tensor.data.len() }),
            Outgoing::Shared(tensor, region) => {
                let place = Place::Shared {
                    shared_memory_region: &region.region,
                    shared_memory_offset: region.offset,
                    shared_memory_byte_size: region.len,
                };
                (tensor, place)
            }
        };
        Self { name: &tensor.name, datatype: tensor.datatype.name(), shape: &tensor.shape, place }
    }
}

fn assemble(json: Vec<u8>, outputs: Vec<Outgoing>, reserved: Reserved) -> Response {
    let json_length = json.len();
    let mut parts = VecDeque::from([Bytes::from(json)]);
    let mut binary = false;
    for output in outputs {
        if let Outgoing::Binary(tensor) = output {
            binary = true;
            parts.push_back(tensor.data);
        }
    }
    let mut answer = Response::new(Body::new(Parts::new(parts, reserved)));
    let content_type = if binary { "application/octet-stream" } else { "application/json" };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if binary {
        answer.headers_mut().insert(HeaderName::from_static(HEADER_LENGTH), HeaderValue::from(json_length));
    }
    answer
}

#[cfg(test)]
mod tests {
    use takt_artifact::DataType;

    use super::*;

    fn tensor() -> NamedTensor {
        NamedTensor {
            name: "y".into(),
            datatype: DataType::Uint8,
            shape: vec![1, 2],
            data: Bytes::from_static(&[3, 4]),
        }
    }

    #[test]
    fn every_place_of_an_output_has_its_own_json() {
        let region = RegionSlice { region: "r".into(), offset: 8, len: 2 };
        let outputs = [Outgoing::Json(tensor()), Outgoing::Binary(tensor()), Outgoing::Shared(tensor(), region)];
        let json: Vec<String> =
            outputs.iter().map(|output| serde_json::to_string(&OutputJson::from(output)).unwrap()).collect();
        let with = |place: &str| format!(r#"{{"name":"y","datatype":"UINT8","shape":[1,2],{place}}}"#);
        assert_eq!(
            json,
            [
                with(r#""data":[3,4]"#),
                with(r#""parameters":{"binary_data_size":2}"#),
                with(
                    r#""parameters":{"shared_memory_region":"r","shared_memory_offset":8,"shared_memory_byte_size":2}"#
                ),
            ]
        );
    }
}
