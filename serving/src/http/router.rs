//! The routes.

use std::sync::Arc;

use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{RequestPartsExt as _, Router};
use serde::Deserialize;

use super::control;
use super::feedback::feedback;
use super::infer::infer;
use super::status::Failure;
use crate::core::Core;
use crate::protocol::connections::ConnectionInfo;
use crate::protocol::in_flight::InFlightBytes;
use crate::protocol::parameters::parse_version;

/// What every route works with.
pub struct HttpServer {
    /// The server behind the protocols.
    pub core: Arc<Core>,
    /// Bytes in flight of all protocols.
    pub in_flight: Arc<InFlightBytes>,
    /// Largest body of an inference request.
    pub max_body_bytes: usize,
}

/// The model, and the version if one is named, of a route.
#[derive(Debug, Clone)]
pub struct Target {
    /// Model name.
    pub model: String,
    /// Version; `None` lets the server choose.
    pub version: Option<u64>,
}

#[derive(Deserialize)]
struct RawTarget {
    model: String,
    #[serde(default)]
    version: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Path(raw) = parts
            .extract::<Path<RawTarget>>()
            .await
            .map_err(|rejection| Failure::new(rejection.status(), rejection.body_text()))?;
        Ok(Self { version: parse_version(&raw.version)?, model: raw.model })
    }
}

/// Every route of the protocol.
pub fn router(server: HttpServer) -> Router {
    let model = Router::new()
        .route("/", get(control::model_metadata))
        .route("/ready", get(control::model_ready))
        .route("/config", get(control::model_config))
        .route("/stats", get(control::model_statistics))
        .route("/infer", post(infer));
    let repository = Router::new()
        .route("/index", post(control::repository_index))
        .route("/models/{model}/load", post(control::load))
        .route("/models/{model}/unload", post(control::unload));
    let memory = Router::new()
        .route("/status", get(control::memory_status))
        .route("/unregister", post(control::memory_unregister_all))
        .route("/region/{name}/status", get(control::memory_region_status))
        .route("/region/{name}/register", post(control::memory_register))
        .route("/region/{name}/unregister", post(control::memory_unregister));
    let cuda_memory = Router::new()
        .route("/status", get(control::cuda_memory_status))
        .route("/unregister", post(control::nothing_to_do))
        .route("/region/{name}/status", get(control::cuda_memory_status))
        .route("/region/{name}/register", post(control::cuda_memory_register))
        .route("/region/{name}/unregister", post(control::nothing_to_do));
    Router::new()
        .route("/", get(control::overview))
        .route("/v2", get(control::server_metadata))
        .route("/v2/health/live", get(control::live))
        .route("/v2/health/ready", get(control::ready))
        .route("/v2/models/stats", get(control::all_statistics))
        .route("/monitor", get(control::monitor))
        .route("/feedback", post(feedback))
        .nest("/v2/models/{model}", model.clone())
        .nest("/v2/models/{model}/versions/{version}", model)
        .nest("/v2/repository", repository)
        .nest("/v2/systemsharedmemory", memory)
        .nest("/v2/cudasharedmemory", cuda_memory)
        .route("/v2/logging", any(control::logging))
        .route("/v2/trace/setting", any(control::tracing))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn(refuse_surplus_connections))
        .with_state(Arc::new(server))
}

async fn unknown(uri: Uri) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, format!("'{}' is not a route of this server; GET / lists them", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    let message = format!("'{}' does not take {method}; use the other of GET and POST", uri.path());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

async fn refuse_surplus_connections(request: Request, next: Next) -> Response {
    let info = request.extensions().get::<ConnectInfo<ConnectionInfo>>();
    match info.and_then(|ConnectInfo(info)| info.refusal()) {
        Some(refusal) => Failure::new(StatusCode::SERVICE_UNAVAILABLE, refusal).into_response(),
        None => next.run(request).await,
    }
}
