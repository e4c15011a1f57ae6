//! Bodies of requests, received under the server's limits, and of answers, sent without copying tensors.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::status::Failure;
use crate::error::{ErrorKind, InferError};
use crate::protocol::in_flight::{InFlightBytes, Reserved};

/// A whole request body, counted among the bytes in flight for as long as `reserved` lives.
#[derive(Debug)]
pub struct Received {
    /// The body.
    pub bytes: Bytes,
    /// Its share of the bytes in flight.
    pub reserved: Reserved,
}

/// Receives a body of at most `limit` bytes. What it says of its length is reserved before any of it is read; a body
/// that does not say (chunked) is reserved as it comes.
///
/// # Errors
/// It is compressed, too large, does not fit beside what is in flight, or ends early.
pub async fn receive(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    in_flight: &Arc<InFlightBytes>,
) -> Result<Received, Failure> {
    check_encoding(headers)?;
    let mut reserved = Reserved::none(Arc::clone(in_flight));
    let mut reserve = |total: usize| match total {
        total if total > limit => Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the body has {total} bytes or more, expected at most {limit}; send less, or raise max_message_bytes, which bounds inference"
            ),
        )),
        total => {
            reserved.grow_to(total).map_err(|refusal| InferError::new(ErrorKind::ResourceExhausted, refusal).into())
        }
    };
    let declared = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    reserve(declared.unwrap_or(0))?;
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::new(StatusCode::BAD_REQUEST, format!("the body ended after {} bytes: {error}", bytes.len()))
        })?;
        let Ok(chunk) = frame.into_data() else { continue };
        let total = bytes.len().saturating_add(chunk.len());
        reserve(total)?;
        if bytes.is_empty() {
            if declared == Some(total) {
                return Ok(Received { bytes: chunk, reserved });
            }
            bytes.reserve(declared.unwrap_or(0));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Received { bytes: bytes.freeze(), reserved })
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(CONTENT_ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding == "identity" => Ok(()),
        Some(encoding) => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!(
                "Content-Encoding {encoding:?} is not supported; send the body uncompressed (an encoded image is compressed \
                 already)"
            ),
        )),
    }
}

/// An answer's body of several parts, none of which is copied.
pub struct Parts {
    parts: VecDeque<Bytes>,
    _reserved: Reserved,
}

impl Parts {
    /// These parts one after the other; the request's bytes stay counted until they have been sent.
    #[must_use]
    pub fn new(parts: VecDeque<Bytes>, reserved: Reserved) -> Self {
        Self { parts, _reserved: reserved }
    }
}

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.parts.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.parts.iter().map(|part| part.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn chunked(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> =
            chunks.iter().map(|chunk| Ok::<_, Infallible>(Bytes::from_static(chunk.as_bytes()))).collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn receive_with(body: Body, limit: usize, in_flight: usize) -> Result<Received, Failure> {
        receive(&HeaderMap::new(), body, limit, &Arc::new(InFlightBytes::new(in_flight))).await
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together_and_counted() {
        let in_flight = Arc::new(InFlightBytes::new(100));
        let received = receive(&HeaderMap::new(), chunked(&["ab", "c", "def"]), 100, &in_flight).await.unwrap();
        assert_eq!((&received.bytes[..], in_flight.used()), (&b"abcdef"[..], 6));
        drop(received);
        assert_eq!(in_flight.used(), 0);
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_refused_whether_it_says_its_length_or_not() {
        for body in [Body::from("abcdef"), chunked(&["abc", "def"])] {
            let refused = receive_with(body, 5, 100).await.unwrap_err();
            assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert!(refused.message.contains("max_message_bytes"), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_fit_beside_the_others_is_refused() {
        let refused = receive_with(Body::from("abcdef"), 100, 5).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.message.contains("max_in_flight_bytes"), "{refused:?}");
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused() {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, "gzip".parse().unwrap())]);
        let refused = receive(&headers, Body::from("x"), 9, &Arc::new(InFlightBytes::new(9))).await.unwrap_err();
        assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(refused.message.contains("gzip"), "{refused:?}");
    }
}
