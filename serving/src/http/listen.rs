//! The HTTP servers: the protocol's, and the one for metrics.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::connect_info::Connected;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use futures_util::StreamExt as _;
use tracing::warn;

use super::router::{HttpServer, router};
use super::status::Failure;
use crate::core::Core;
use crate::protocol::connections::{Connection, ConnectionInfo, Connections};
use crate::protocol::in_flight::InFlightBytes;
use crate::settings::ServerSettings;
use crate::telemetry::metrics::Metrics;

/// Connections of scrapers; a handful is usual.
const MAX_METRICS_CONNECTIONS: usize = 64;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Serves the protocol until `shutdown` resolves, then lets requests in flight end.
///
/// # Errors
/// The listener cannot be set up.
pub async fn serve(
    core: Arc<Core>,
    listener: TcpListener,
    settings: &ServerSettings,
    in_flight: Arc<InFlightBytes>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let connections = Connections::new(listener, settings.max_connections)?;
    let routes = router(HttpServer { core, in_flight, max_body_bytes: settings.max_message_bytes });
    let service = routes.into_make_service_with_connect_info::<ConnectionInfo>();
    Ok(axum::serve(connections, service).with_graceful_shutdown(shutdown).await?)
}

/// Serves `/metrics`, and nothing else, until `shutdown` resolves.
///
/// # Errors
/// The listener cannot be set up.
pub async fn serve_metrics(
    metrics: Metrics,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let connections = Connections::new(listener, MAX_METRICS_CONNECTIONS)?;
    Ok(axum::serve(connections, metrics_router(metrics)).with_graceful_shutdown(shutdown).await?)
}

/// `/metrics`.
pub fn metrics_router(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .fallback(|| async { Failure::new(StatusCode::NOT_FOUND, "only /metrics is here") })
        .with_state(Arc::new(metrics))
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.expose() {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            warn!(%error, "metrics can't be written");
            Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("metrics can't be written: {error}"))
                .into_response()
        }
    }
}

impl axum::serve::Listener for Connections {
    type Io = Connection;
    /// Nothing here depends on who connects.
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        loop {
            match self.next().await {
                Some(Ok(connection)) => return (connection, ()),
                Some(Err(error)) => warn!(%error, "connection not accepted"),
                // The stream has no end.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Connected<IncomingStream<'_, Connections>> for ConnectionInfo {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        stream.io().info()
    }
}
