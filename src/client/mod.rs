//! A client of the inference protocol: what `infer`, `models`, `rollout` and `demo` ask a server.

mod classify;
mod failure;
mod prediction;
mod url;

use std::time::Duration;

use anyhow::{Context, anyhow};
use takt_proto::admin::model_admin_client::ModelAdminClient;
use takt_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use takt_proto::rollout::rollouts_client::RolloutsClient;
use tonic::transport::Channel;

pub use classify::{Classifier, Origin, Question};
pub use failure::{Failure, told};
pub use prediction::{Prediction, Ranked};
pub use url::ServerUrl;

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest message, as on the server's side.
const MAX_MESSAGE_BYTES: usize = i32::MAX as usize;

/// The protocol's methods over one connection; clones share it.
pub type Grpc = GrpcInferenceServiceClient<Channel>;

/// Our admin methods over one connection.
pub type Admin = ModelAdminClient<Channel>;

/// Our methods about rollouts over one connection.
pub type Rollouts = RolloutsClient<Channel>;

/// Where the server is.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// Where the server's gRPC port is
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:8001")]
    pub url: ServerUrl,
}

/// Opens a connection.
///
/// # Errors
/// Nothing answers there; says where, and how to start a server.
pub async fn connect(url: &ServerUrl) -> anyhow::Result<Grpc> {
    let client = Grpc::new(channel(url).await?);
    Ok(client.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
}

/// Opens a connection for admin methods.
///
/// # Errors
/// As [`connect`].
pub async fn connect_admin(url: &ServerUrl) -> anyhow::Result<Admin> {
    Ok(Admin::new(channel(url).await?))
}

/// Opens a connection for what is asked about rollouts.
///
/// # Errors
/// As [`connect`].
pub async fn connect_rollouts(url: &ServerUrl) -> anyhow::Result<Rollouts> {
    Ok(Rollouts::new(channel(url).await?))
}

async fn channel(url: &ServerUrl) -> anyhow::Result<Channel> {
    let connected = url.endpoint()?.connect_timeout(CONNECT_TIMEOUT).connect().await;
    connected.map_err(anyhow::Error::from).map_err(|error| {
        anyhow!(
            "no server answers at {url} ({}); start one with `takt serve --model-repository DIR` or `takt demo`, or name \
             another with --url HOST:PORT (its gRPC port, 8001 unless told otherwise)",
            error.root_cause()
        )
    })
}

/// Runs a client on this thread.
///
/// # Errors
/// The system gives no event loop, or what `work` returns.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for the network")?
        .block_on(work)
}
