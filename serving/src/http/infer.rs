//! The route that infers.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::body::receive;
use super::decode::decode;
use super::encode::encode;
use super::router::{HttpServer, Target};
use super::status::Failure;

/// Receives, decodes, runs and encodes one request.
pub(super) async fn infer(
    State(server): State<Arc<HttpServer>>,
    target: Target,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let core = &server.core;
    let received = receive(&headers, body, server.max_body_bytes, &server.in_flight).await?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut span = core.traces().begin("http", &target.model, header);
    let decoded = decode(core, target.model, target.version, &headers, &received.bytes)?;
    if let Some(span) = &mut span {
        span.parsed();
    }
    let failed = |error| Failure::of(&error, &decoded.request.id);
    let result = crate::infer::infer(core.table(), &decoded.request).await;
    if let Some(span) = span {
        span.end(result.as_ref());
    }
    let response = result.map_err(failed)?;
    encode(response, &decoded, core.shared_memory(), received.reserved).map_err(failed)
}
