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
    let decoded = decode(core, target.model, target.version, &headers, &received.bytes)?;
    let failed = |error| Failure::of(&error, &decoded.request.id);
    let response = crate::infer::infer(core.table(), &decoded.request).await.map_err(failed)?;
    encode(response, &decoded, core.shared_memory(), received.reserved).map_err(failed)
}
