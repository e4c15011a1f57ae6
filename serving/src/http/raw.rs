//! Requests without JSON (`Inference-Header-Content-Length: 0`): the body is the data of the model's only input. For a
//! model that takes images an encoded image will do, which makes `curl --data-binary @part.jpg` a client.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use bytes::{BufMut, Bytes, BytesMut};
use takt_artifact::DataType;

use crate::error::InferError;
use crate::registry::version::ServedVersion;
use crate::request::InputTensor;

/// The only input of that version, with the shape that its length implies.
///
/// # Errors
/// The version has several inputs, or a shape that the length does not settle.
pub(super) fn input(version: &ServedVersion, body: &Bytes) -> Result<InputTensor, InferError> {
    let fault = |what: String| {
        InferError::invalid(format!(
            "a request without JSON for model '{}': {what}; send the JSON and its length in \
             Inference-Header-Content-Length",
            version.id.model
        ))
    };
    let [spec] = version.signature.inputs.as_slice() else {
        return Err(fault(format!("the model has {} inputs, expected one", version.signature.inputs.len())));
    };
    if version.image.is_some() && takt_image::sniff(body).is_some() {
        return one_string(spec.name.clone(), vec![1], body).ok_or_else(|| fault("the image is too large".into()));
    }
    let dims = version.request_shape(spec);
    let Some(size) = spec.datatype.size() else {
        let shape = vec![1; dims.len()];
        return one_string(spec.name.clone(), shape, body).ok_or_else(|| fault("the body is too large".into()));
    };
    let shape = implied(&dims, body.len() / size)
        .ok_or_else(|| fault(format!("{} bytes do not settle the shape {dims:?} of {}", body.len(), spec.datatype)))?;
    Ok(InputTensor { name: spec.name.clone(), datatype: spec.datatype, shape, data: body.clone() })
}

/// Whether the answer should be JSON rather than the binary data that such requests get.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("application/json"))
}

/// The shape with its one free dimension, if any, filled so that it holds `elements`.
fn implied(dims: &[i64], elements: usize) -> Option<Vec<i64>> {
    let fixed = dims.iter().filter(|&&dim| dim >= 0).try_fold(1_i64, |product, &dim| product.checked_mul(dim))?;
    let free = i64::try_from(elements).ok()?.checked_div(fixed)?;
    match dims.iter().filter(|&&dim| dim < 0).count() {
        // Whether the length is right is checked with the shape, as for every request.
        0 | 1 => Some(dims.iter().map(|&dim| if dim < 0 { free } else { dim }).collect()),
        _ => None,
    }
}

fn one_string(name: String, shape: Vec<i64>, body: &[u8]) -> Option<InputTensor> {
    let mut data = BytesMut::with_capacity(4 + body.len());
    data.put_u32_le(u32::try_from(body.len()).ok()?);
    data.put_slice(body);
    Some(InputTensor { name, datatype: DataType::Bytes, shape, data: data.freeze() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_free_dimension_follows_from_the_length() {
        assert_eq!(implied(&[-1, 3, 2], 12), Some(vec![2, 3, 2]));
        assert_eq!(implied(&[3, 2], 5), Some(vec![3, 2]));
        assert_eq!(implied(&[-1, -1], 4), None);
        assert_eq!(implied(&[-1, 0], 4), None);
        assert_eq!(implied(&[i64::MAX, 2], 4), None);
    }

    #[test]
    fn json_is_answered_to_those_who_accept_it() {
        let accept = |value: &str| HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]);
        assert!(wants_json(&accept("text/html, application/json;q=0.9")));
        assert!(!wants_json(&accept("*/*")) && !wants_json(&HeaderMap::new()));
    }
}
