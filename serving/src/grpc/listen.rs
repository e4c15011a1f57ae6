//! The gRPC server: services, limits and graceful end.

use std::net::TcpListener;
use std::sync::Arc;

use takt_proto::DESCRIPTOR_SET;
use takt_proto::admin::model_admin_server::ModelAdminServer;
use takt_proto::feedback::feedback_server::FeedbackServer;
use takt_proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic_health::server::HealthReporter;

use super::InferenceService;
use super::admin::AdminService;
use super::feedback::FeedbackService;
use super::in_flight::InFlightLayer;
use crate::core::Core;
use crate::protocol::connections::{Connection, ConnectionInfo, Connections};
use crate::protocol::in_flight::InFlightBytes;
use crate::settings::ServerSettings;

/// Bytes a client may send ahead per stream and per connection: an uncompressed 1080p frame, and several of them.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// Largest HTTP/2 frame: the protocol's default of 16 KiB costs a raw image hundreds of reads.
const MAX_FRAME: u32 = 256 << 10;

/// What health checks ask for: the server as a whole, or its service.
const SERVICES: [&str; 2] = ["", "inference.GRPCInferenceService"];
/// How often readiness is compared with what health checks are told.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(50);

/// Serves until `shutdown` resolves, then lets requests in flight end.
///
/// # Errors
/// The listener or the reflection service cannot be set up, or accepting fails for good.
pub async fn serve(
    core: Arc<Core>,
    listener: TcpListener,
    settings: &ServerSettings,
    in_flight: Arc<InFlightBytes>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let connections = Connections::new(listener, settings.max_connections)?;
    let inference = GrpcInferenceServiceServer::new(InferenceService::new(Arc::clone(&core)))
        .max_decoding_message_size(settings.max_message_bytes)
        .max_encoding_message_size(settings.max_message_bytes);
    let admin = ModelAdminServer::new(AdminService::new(Arc::clone(&core)));
    let feedback = FeedbackServer::new(FeedbackService::new(Arc::clone(&core)));
    let (health, health_service) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let reflection_alpha = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()?;
    let reporter = tokio::spawn(report_health(core, health));
    let result = Server::builder()
        .max_concurrent_streams(settings.max_streams_per_connection)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .layer(InFlightLayer { server: in_flight, largest_message: settings.max_message_bytes })
        .add_service(inference)
        .add_service(admin)
        .add_service(feedback)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(reflection_alpha)
        .serve_with_incoming_shutdown(connections, shutdown)
        .await;
    reporter.abort();
    Ok(result?)
}

impl Connected for Connection {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info()
    }
}

/// Keeps `grpc.health.v1.Health` equal to the server's readiness.
async fn report_health(core: Arc<Core>, mut health: HealthReporter) {
    let mut last = None;
    loop {
        let ready = core.is_ready();
        if last != Some(ready) {
            let status =
                if ready { tonic_health::ServingStatus::Serving } else { tonic_health::ServingStatus::NotServing };
            for service in SERVICES {
                health.set_service_status(service, status).await;
            }
            last = Some(ready);
        }
        if core.is_draining() {
            break;
        }
        tokio::select! {
            () = core.drain_begun() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    // A watch never ends by itself; without its sender it does, after the last status, and does not hold up the drain.
    tokio::time::sleep(LOOK_EVERY).await;
    for service in SERVICES {
        health.clear_service_status(service).await;
    }
}
