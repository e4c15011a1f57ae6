//! What tests ask a server, and what they make of the answers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use takt_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use takt_proto::inference::repository_index_response::ModelIndex;
use takt_proto::inference::*;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::server::Server;
use super::{SOON, STEP};

pub type Client = GrpcInferenceServiceClient<Channel>;

/// Waits until a line of the index satisfies `look`.
pub async fn index_shows(
    client: &mut Client,
    model: &str,
    version: u64,
    look: impl Fn(&ModelIndex) -> bool,
) -> ModelIndex {
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < SOON {
        if let Some(line) = index_line(client, model, version).await {
            if look(&line) {
                return line;
            }
            last = Some(line);
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("waited {SOON:?} in vain for a state of '{model}' version {version}; last seen: {last:?}");
}

pub async fn index_line(client: &mut Client, model: &str, version: u64) -> Option<ModelIndex> {
    let index = client.repository_index(RepositoryIndexRequest::default()).await.ok()?.into_inner();
    index.models.into_iter().find(|line| line.name == model && line.version == version.to_string())
}

pub async fn is_ready(client: &mut Client) -> bool {
    client.server_ready(ServerReadyRequest {}).await.is_ok_and(|answer| answer.into_inner().ready)
}

pub async fn is_model_ready(client: &mut Client, model: &str) -> bool {
    let request = ModelReadyRequest { name: model.into(), version: String::new() };
    client.model_ready(request).await.is_ok_and(|answer| answer.into_inner().ready)
}

pub async fn infer(client: &mut Client, request: ModelInferRequest) -> Result<ModelInferResponse, Status> {
    client.model_infer(request).await.map(tonic::Response::into_inner)
}

/// The version that answers a good request.
pub async fn version_of(client: &mut Client, model: &str) -> Result<u64, Status> {
    infer(client, image(model, 1)).await.map(|answer| answer.model_version.parse().unwrap())
}

/// Asks until a version answers; returns it with the time that took.
pub async fn answers_again(client: &mut Client, model: &str) -> (u64, Duration) {
    let begun = Instant::now();
    loop {
        match version_of(client, model).await {
            Ok(version) => return (version, begun.elapsed()),
            Err(status) => assert!(begun.elapsed() < SOON, "'{model}' does not answer again: {status}"),
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Whether a client that gets this code tries again: the answer when a worker dies under a request. A broken connection
/// is UNAVAILABLE to most gRPC libraries; tonic calls it UNKNOWN where the stream had begun.
pub fn can_retry(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}

/// A request of zeros for `classifier` and its kin.
pub fn image(model: &str, rows: i64) -> ModelInferRequest {
    tensor_request(model, "image", "FP32", &[rows, 3, 16, 16], vec![0; rows as usize * 3 * 16 * 16 * 4])
}

pub fn tensor(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
        ..InferInputTensor::default()
    }
}

pub fn tensor_request(model: &str, name: &str, datatype: &str, shape: &[i64], raw: Vec<u8>) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.into(),
        inputs: vec![tensor(name, datatype, shape)],
        raw_input_contents: vec![Bytes::from(raw)],
        ..ModelInferRequest::default()
    }
}

/// A request of one encoded image for the shipped model.
pub fn encoded(image: &[u8]) -> ModelInferRequest {
    let mut raw = u32::try_from(image.len()).unwrap().to_le_bytes().to_vec();
    raw.extend_from_slice(image);
    tensor_request("surface-defects", "image", "BYTES", &[1], raw)
}

pub fn output(name: &str, parameters: &[(&str, ParameterChoice)]) -> InferRequestedOutputTensor {
    let parameters = parameters.iter().map(|(key, choice)| ((*key).to_owned(), parameter(choice.clone()))).collect();
    InferRequestedOutputTensor { name: name.into(), parameters }
}

pub fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

/// With a deadline of its own.
pub fn within<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// What a call without a gRPC library gave: nothing stands between the test and the wire.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: i32,
    pub message: String,
    pub body: Vec<u8>,
}

/// Calls a method by HTTP/2 alone, with a `grpc-timeout` that no timer of the client's enforces.
pub async fn raw_call(
    server: &Server,
    method: &str,
    message: &impl prost::Message,
    timeout: Option<&str>,
) -> RawAnswer {
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request =
        http::Request::post(format!("http://{}/inference.GRPCInferenceService/{method}", server.address()))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    let mut client = client.ready().await.unwrap();
    let (response, mut send) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let encoded = message.encode_to_vec();
    let mut framed = vec![0];
    framed.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
    framed.extend(encoded);
    send.send_data(framed.into(), true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut data = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        data.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    let text = |key: &str| trailers.get(key).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    RawAnswer {
        status: text("grpc-status").parse().unwrap(),
        message: text("grpc-message"),
        body: data.split_off(data.len().min(5)),
    }
}

pub fn floats(raw: &[u8]) -> Vec<f32> {
    raw.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Sum of a model's `inference_count` over its versions.
pub async fn statistics(client: &mut Client, model: &str) -> ModelStatistics {
    let request = ModelStatisticsRequest { name: model.into(), version: String::new() };
    client.model_statistics(request).await.unwrap().into_inner().model_stats.remove(0)
}
