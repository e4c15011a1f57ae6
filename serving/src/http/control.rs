//! Everything but inference: health, metadata, configurations, statistics, the repository, shared memory.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::body::receive;
use super::encode::describe;
use super::router::{HttpServer, Target};
use super::status::Failure;
use crate::error::{ErrorKind, InferError};
use crate::protocol::descriptors::to_json;
use crate::protocol::respond::identity;
use crate::protocol::shared_memory::RegionStatus;
use crate::protocol::{model, statistics};
use crate::registry::version::ServedVersion;

/// Largest body that anything but inference takes.
const MAX_BODY_BYTES: usize = 64 << 10;

type Server = State<Arc<HttpServer>>;
type Answer<T> = Result<T, Failure>;

/// `GET /`: for the person who opened the address in a browser.
pub(super) async fn overview(State(server): Server) -> Json<Value> {
    Json(json!({
        "name": server.core.name(),
        "version": server.core.version(),
        "protocol": "Open Inference Protocol v2 with Triton's extensions",
        "routes": [
            "GET /v2",
            "GET /v2/health/live",
            "GET /v2/health/ready",
            "GET /v2/models/{model}[/versions/{version}][/ready|/config|/stats]",
            "POST /v2/models/{model}[/versions/{version}]/infer",
            "GET /v2/models/stats",
            "GET /monitor",
            "POST /feedback",
            "POST /v2/repository/index",
            "POST /v2/repository/models/{model}/load|unload",
            "GET /v2/systemsharedmemory[/region/{region}]/status",
            "POST /v2/systemsharedmemory/region/{region}/register|unregister",
            "POST /v2/systemsharedmemory/unregister"
        ]
    }))
}

/// `GET /monitor`: what the monitor found at the end of the last pane, with its reasons.
pub(super) async fn monitor(State(server): Server) -> Response {
    Json(&*server.core.monitor().report()).into_response()
}

pub(super) async fn server_metadata(State(server): Server) -> Json<Value> {
    let core = &server.core;
    let extensions: Vec<&str> = core.extensions().collect();
    Json(json!({ "name": core.name(), "version": core.version(), "extensions": extensions }))
}

pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

pub(super) async fn ready(State(server): Server) -> Response {
    readiness(server.core.is_ready(), &json!({ "ready": server.core.is_ready() }))
}

/// An unknown model is not ready, as over gRPC.
pub(super) async fn model_ready(State(server): Server, target: Target) -> Response {
    let ready = server.core.is_model_ready(&target.model, target.version);
    readiness(ready, &json!({ "name": target.model, "ready": ready }))
}

fn readiness(ready: bool, body: &Value) -> Response {
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

pub(super) async fn model_metadata(State(server): Server, target: Target) -> Answer<Response> {
    let version = resolve(&server, &target)?;
    let metadata = model::metadata(&version, &server.core.served_versions(&target.model));
    let mut answer = json_response(to_json(&metadata, "inference.ModelMetadataResponse")?);
    describe(answer.headers_mut(), identity(&version));
    Ok(answer)
}

pub(super) async fn model_config(State(server): Server, target: Target) -> Answer<Response> {
    let config = model::config(&*resolve(&server, &target)?);
    Ok(json_response(to_json(&config, "inference.ModelConfig")?))
}

pub(super) async fn model_statistics(State(server): Server, target: Target) -> Answer<Response> {
    statistics_of(&server, &target.model, target.version)
}

pub(super) async fn all_statistics(State(server): Server) -> Answer<Response> {
    statistics_of(&server, "", None)
}

fn statistics_of(server: &HttpServer, model: &str, version: Option<u64>) -> Answer<Response> {
    let versions = server.core.versions_for_statistics(model, version)?;
    let model_stats = versions.iter().map(|version| statistics::statistics(version)).collect();
    let message = takt_proto::inference::ModelStatisticsResponse { model_stats };
    Ok(json_response(to_json(&message, "inference.ModelStatisticsResponse")?))
}

fn resolve(server: &HttpServer, target: &Target) -> Result<Arc<ServedVersion>, InferError> {
    server.core.table().resolve(&target.model, target.version)
}

#[derive(Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

pub(super) async fn repository_index(
    State(server): Server,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Vec<Value>>> {
    let request: IndexRequest = control_body(&server, &headers, body).await?;
    let entries = server.core.index(request.ready).into_iter().map(|entry| {
        let mut json = json!({ "name": entry.model, "state": entry.state.label(), "reason": entry.reason });
        if let Some(version) = entry.version {
            json["version"] = version.to_string().into();
        }
        json
    });
    Ok(Json(entries.collect()))
}

#[derive(Default, Deserialize)]
struct LoadRequest {
    #[serde(default)]
    parameters: Map<String, Value>,
}

pub(super) async fn load(State(server): Server, target: Target, headers: HeaderMap, body: Body) -> Answer<Json<Value>> {
    let request: LoadRequest = control_body(&server, &headers, body).await?;
    model::check_load_parameters(&target.model, request.parameters.keys().map(String::as_str))?;
    server.core.load_model(&target.model).await?;
    Ok(Json(json!({})))
}

pub(super) async fn unload(State(server): Server, target: Target) -> Answer<Json<Value>> {
    server.core.unload_model(&target.model).await?;
    Ok(Json(json!({})))
}

pub(super) async fn memory_status(State(server): Server) -> Answer<Json<Vec<Value>>> {
    regions(&server, "")
}

pub(super) async fn memory_region_status(State(server): Server, Path(name): Path<String>) -> Answer<Json<Vec<Value>>> {
    regions(&server, &name)
}

fn regions(server: &HttpServer, name: &str) -> Answer<Json<Vec<Value>>> {
    let regions = server.core.shared_memory().status(name)?.into_iter().map(|region| {
        let RegionStatus { name, key, offset, byte_size } = region;
        json!({ "name": name, "key": key, "offset": offset, "byte_size": byte_size })
    });
    Ok(Json(regions.collect()))
}

/// A region as a client registers it.
#[derive(Deserialize)]
struct RegisterRequest {
    key: String,
    #[serde(default)]
    offset: u64,
    byte_size: u64,
}

pub(super) async fn memory_register(
    State(server): Server,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Value>> {
    let received = receive(&headers, body, MAX_BODY_BYTES, &server.in_flight).await?;
    let RegisterRequest { key, offset, byte_size } = parse(&received.bytes)?;
    server.core.shared_memory().register(RegionStatus { name, key, offset, byte_size })?;
    Ok(Json(json!({})))
}

pub(super) async fn memory_unregister(State(server): Server, Path(name): Path<String>) -> Json<Value> {
    server.core.shared_memory().unregister(&name);
    Json(json!({}))
}

pub(super) async fn memory_unregister_all(State(server): Server) -> Json<Value> {
    server.core.shared_memory().unregister("");
    Json(json!({}))
}

/// No region is ever registered, so the list is empty: clients that clean up unconditionally go on working.
pub(super) async fn cuda_memory_status() -> Json<Value> {
    Json(json!([]))
}

pub(super) async fn nothing_to_do() -> Json<Value> {
    Json(json!({}))
}

pub(super) async fn cuda_memory_register() -> Failure {
    unimplemented("CUDA shared memory", "send the tensor in the request, or use system shared memory")
}

pub(super) async fn logging() -> Failure {
    unimplemented("changing log settings", "set the log level when the server starts")
}

pub(super) async fn tracing() -> Failure {
    unimplemented("changing trace settings", "there are no traces")
}

fn unimplemented(what: &str, instead: &str) -> Failure {
    InferError::new(ErrorKind::Unimplemented, format!("{what} is not supported; {instead}")).into()
}

/// An optional JSON body.
async fn control_body<T: DeserializeOwned + Default>(
    server: &HttpServer,
    headers: &HeaderMap,
    body: Body,
) -> Answer<T> {
    let received = receive(headers, body, MAX_BODY_BYTES, &server.in_flight).await?;
    if received.bytes.is_empty() { Ok(T::default()) } else { Ok(parse(&received.bytes)?) }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InferError> {
    serde_json::from_slice(bytes)
        .map_err(|error| InferError::invalid(format!("failed to parse the request JSON: {error}")))
}

fn json_response(json: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}
