//! `POST /feedback`: labels as JSON, one per line or one alone, as `takt_monitoring::events` writes them.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};
use takt_monitoring::events::Label;
use takt_monitoring::feedback::Received;

use super::body::receive;
use super::router::HttpServer;
use super::status::Failure;
use crate::error::InferError;
use crate::protocol::labels::MOST_LABELS;

/// Largest body: a thousand labels with the longest names.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Takes all labels of the body, or none where one is wrong.
pub(super) async fn feedback(
    State(server): State<Arc<HttpServer>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let received = receive(&headers, body, MAX_BODY_BYTES, &server.in_flight).await?;
    let labels = parse(&received.bytes)?;
    let (mut added, mut revised, mut known) = (0_u32, 0_u32, 0_u32);
    for label in labels {
        match server.core.monitor().label(label).await? {
            Received::New => added += 1,
            Received::Revised => revised += 1,
            Received::Known => known += 1,
        }
    }
    Ok(Json(json!({ "added": added, "revised": revised, "known": known })))
}

fn parse(bytes: &[u8]) -> Result<Vec<Label>, InferError> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let lines: Vec<_> = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    if lines.is_empty() || lines.len() > MOST_LABELS {
        let found = lines.len();
        return Err(InferError::invalid(format!(
            "found {found} labels, expected 1 to {MOST_LABELS}, one JSON object per line"
        )));
    }
    let label = |(at, line): (usize, &[u8])| {
        Label::parse(line).map_err(|error| InferError::invalid(format!("line {}: {error}", at + 1)))
    };
    lines.into_iter().map(label).collect()
}
