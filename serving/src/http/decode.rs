//! From an HTTP request to the core's: a JSON object, and behind it the binary data of the tensors that announce some
//! (Triton's binary tensor data extension). Binary data is not copied; JSON data is written out once.

use axum::http::HeaderMap;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use takt_artifact::DataType;

use super::status::Failure;
use super::{raw, tensor};
use crate::core::Core;
use crate::error::InferError;
use crate::protocol::parameters::{
    OutputOption, Parameter, ResponseOptions, apply, apply_headers, output_option, region,
};
use crate::protocol::shared_memory::SharedMemory;
use crate::request::{InferRequest, InputTensor, VersionRef};

/// Header that gives the length of the JSON object in front of binary data, in requests and answers.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// A request with what its answer should look like.
#[derive(Debug)]
pub struct Decoded {
    /// The request.
    pub request: InferRequest,
    /// How each requested output is wanted, in order; empty means all, plain.
    pub outputs: Vec<OutputOption>,
    /// What else is asked of the answer.
    pub options: ResponseOptions,
    /// Whether outputs that do not say otherwise are wanted as binary data.
    pub binary: bool,
}

#[derive(Deserialize)]
struct RequestJson<'a> {
    #[serde(default)]
    id: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(borrow)]
    inputs: Vec<InputJson<'a>>,
    #[serde(default)]
    outputs: Vec<OutputJson>,
}

#[derive(Deserialize)]
struct InputJson<'a> {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OutputJson {
    name: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// Decodes a request for that model and version.
///
/// # Errors
/// Anything that can be seen to be wrong without knowing the model.
pub fn decode(
    core: &Core,
    model: String,
    version: Option<VersionRef>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Decoded, Failure> {
    let mut request = InferRequest::new(model, version);
    let json_length = json_length(headers, body.len())?;
    if json_length == Some(0) {
        let version = core.table().resolve(&request.model, version)?;
        request.inputs = vec![raw::input(&version, body)?];
        apply_headers(&mut request.origin, |key| header(headers, key));
        let binary = !raw::wants_json(headers);
        return Ok(Decoded { request, outputs: Vec::new(), options: ResponseOptions::default(), binary });
    }
    let (json, binary) = body.split_at(json_length.unwrap_or(body.len()));
    let json: RequestJson<'_> = serde_json::from_slice(json)
        .map_err(|error| InferError::invalid(format!("failed to parse the request JSON: {error}")))?;
    request.id.clone_from(&json.id);
    let id = json.id.clone();
    fill(request, json, headers, body.slice_ref(binary), core.shared_memory()).map_err(|error| Failure::of(&error, &id))
}

/// Length of the JSON object; `None` where the header does not say, and the whole body is JSON.
fn json_length(headers: &HeaderMap, body: usize) -> Result<Option<usize>, InferError> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.trim().parse::<usize>().ok());
    match length {
        Some(length) if length <= body => Ok(Some(length)),
        _ => Err(InferError::invalid(format!(
            "Unable to parse Inference-Header-Content-Length: expected the length of the JSON in front of the binary data, \
             at most the body's {body} bytes, got {value:?}"
        ))),
    }
}

fn fill(
    mut request: InferRequest,
    json: RequestJson<'_>,
    headers: &HeaderMap,
    mut binary: Bytes,
    memory: &SharedMemory,
) -> Result<Decoded, InferError> {
    let own = parameters(&json.parameters)?;
    let binary_output = match own.iter().find(|(key, _)| *key == "binary_data_output") {
        None => false,
        Some((_, Parameter::Bool(wanted))) => *wanted,
        Some(_) => return Err(InferError::invalid("parameter 'binary_data_output' must be true or false")),
    };
    let options = apply(&mut request, own)?;
    apply_headers(&mut request.origin, |key| header(headers, key));
    let outputs = json
        .outputs
        .into_iter()
        .map(|output| output_option(output.name, &parameters(&output.parameters)?))
        .collect::<Result<Vec<_>, _>>()?;
    request.outputs = outputs.iter().map(|output| output.name.clone()).collect();
    for input in json.inputs {
        let tensor = input_tensor(input, &request.model, &mut binary, memory)?;
        request.inputs.push(tensor);
    }
    if !binary.is_empty() {
        return Err(InferError::invalid(format!(
            "unexpected additional input data for model '{}': {} bytes behind what the inputs' 'binary_data_size' announce",
            request.model,
            binary.len()
        )));
    }
    Ok(Decoded { request, outputs, options, binary: binary_output })
}

/// One input; takes its binary data, if it has some, from the front of `binary`.
fn input_tensor(
    input: InputJson<'_>,
    model: &str,
    binary: &mut Bytes,
    memory: &SharedMemory,
) -> Result<InputTensor, InferError> {
    let fault =
        |what: String| InferError::invalid(format!("inference input '{}' for model '{model}': {what}", input.name));
    let datatype: DataType = input.datatype.parse().map_err(|error| fault(format!("{error}")))?;
    let parameters = parameters(&input.parameters)?;
    let size = match parameters.iter().find(|(key, _)| *key == "binary_data_size") {
        None => None,
        Some((_, Parameter::Int(size))) if *size >= 0 => Some(*size as usize),
        Some(_) => return Err(fault("'binary_data_size' must be an integer of at least 0".into())),
    };
    let data = match (region(&input.name, parameters)?, size, input.data) {
        (Some(region), None, None) => memory.read(&region, &input.name)?,
        (None, Some(size), None) if size <= binary.len() => binary.split_to(size),
        (None, Some(size), None) => {
            return Err(fault(format!(
                "'binary_data_size' announces {size} bytes, but only {} are left behind the JSON; is \
                 Inference-Header-Content-Length right?",
                binary.len()
            )));
        }
        (None, None, Some(data)) => {
            tensor::from_json(datatype, data).map_err(|error| fault(format!("'data': {error}")))?
        }
        (None, None, None) => {
            return Err(fault(
                "it has no data; give 'data', or 'binary_data_size' and the bytes behind the JSON, or \
                 'shared_memory_region'"
                    .into(),
            ));
        }
        _ => return Err(fault("it has its data in more than one place; send one of them".into())),
    };
    Ok(InputTensor { name: input.name, datatype, shape: input.shape, data })
}

/// Parameters of a JSON object in the core's terms.
///
/// # Errors
/// A value that is neither a string, a number nor a boolean.
pub fn parameters(map: &Map<String, Value>) -> Result<Vec<(&str, Parameter)>, InferError> {
    map.iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Bool(value) => Some(Parameter::Bool(*value)),
                Value::String(value) => Some(Parameter::Text(value.clone())),
                Value::Number(value) => value
                    .as_i64()
                    .map(Parameter::Int)
                    .or_else(|| value.as_u64().map(Parameter::Uint))
                    .or_else(|| value.as_f64().map(Parameter::Double)),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            };
            let value = value.ok_or_else(|| {
                InferError::invalid(format!(
                    "parameter '{key}' must be a string, a number or a boolean, got {}",
                    map[key]
                ))
            })?;
            Ok((key.as_str(), value))
        })
        .collect()
}

fn header(headers: &HeaderMap, key: &str) -> Option<String> {
    Some(headers.get(key)?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Decodes `json` with `binary` behind it.
    fn decode_parts(json: &Value, binary: &[u8]) -> Result<Decoded, InferError> {
        let text = json.to_string();
        let request = InferRequest::new("m".into(), None);
        let json = serde_json::from_str(&text).map_err(|error| InferError::invalid(error.to_string()))?;
        fill(request, json, &HeaderMap::new(), Bytes::copy_from_slice(binary), &SharedMemory::new())
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers write the value in place")]
    fn input(more: Value) -> Value {
        let mut input = json!({"name": "x", "datatype": "INT8", "shape": [1, 2]});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "inputs": [input] })
    }

    #[test]
    fn binary_data_is_cut_in_the_order_of_the_inputs() {
        let sized = |name: &str, size: usize| json!({"name": name, "datatype": "INT8", "shape": [size], "parameters": {"binary_data_size": size}});
        let json = json!({"inputs": [
            sized("a", 2),
            {"name": "b", "datatype": "INT8", "shape": [1], "data": [7]},
            sized("c", 3),
        ]});
        let decoded = decode_parts(&json, b"aaccc").unwrap();
        let data: Vec<&[u8]> = decoded.request.inputs.iter().map(|input| &input.data[..]).collect();
        assert_eq!(data, [&b"aa"[..], &[7], b"ccc"]);
    }

    #[test]
    fn data_must_be_in_one_place_and_all_of_it() {
        for (json, binary, says) in [
            (input(json!({})), &b""[..], "has no data"),
            (input(json!({"data": [1, 2], "parameters": {"binary_data_size": 2}})), b"ab", "more than one place"),
            (input(json!({"parameters": {"binary_data_size": 2}})), b"a", "announces 2 bytes, but only 1"),
            (input(json!({"parameters": {"binary_data_size": 2}})), b"abc", "1 bytes behind"),
            (input(json!({"parameters": {"binary_data_size": -1}})), b"", "at least 0"),
            (input(json!({"datatype": "FLOAT", "data": [1]})), b"", "'FLOAT'"),
            (input(json!({"data": [1, 300]})), b"", "300 is out of range for INT8"),
            (input(json!({"data": [1], "parameters": {"x": [1]}})), b"", "got [1]"),
            (json!({"id": "no inputs"}), b"", "missing field `inputs`"),
        ] {
            let error = decode_parts(&json, binary).unwrap_err();
            assert!(error.message().contains(says), "{json}: {error}");
        }
    }

    #[test]
    fn outputs_say_how_they_are_wanted() {
        let mut json = input(json!({"data": [1, 2]}));
        json["parameters"] = json!({"binary_data_output": true, "priority": 2, "takt_decision": true});
        json["outputs"] = json!([
            {"name": "scores", "parameters": {"binary_data": false}},
            {"name": "classes", "parameters": {"classification": 3}},
        ]);
        let decoded = decode_parts(&json, b"").unwrap();
        assert!(decoded.binary && decoded.options.decision);
        assert_eq!((decoded.request.priority, decoded.request.outputs.len()), (2, 2));
        assert_eq!((decoded.outputs[0].binary, decoded.outputs[1].classification), (Some(false), Some(3)));
    }

    #[test]
    fn the_header_length_must_lie_within_the_body() {
        let headers = |value: &str| HeaderMap::from_iter([(HEADER_LENGTH.parse().unwrap(), value.parse().unwrap())]);
        assert_eq!(json_length(&HeaderMap::new(), 3).unwrap(), None);
        assert_eq!(json_length(&headers("3"), 3).unwrap(), Some(3));
        for wrong in ["4", "-1", "three", ""] {
            assert!(json_length(&headers(wrong), 3).is_err(), "{wrong}");
        }
    }
}
