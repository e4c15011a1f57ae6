//! The service: one short method per RPC.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use takt_proto::inference::grpc_inference_service_server::GrpcInferenceService;
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::*;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::deadline::Deadline;
use super::decode::decode;
use super::encode::{describe, describe_version, encode, parameter};
use super::in_flight::CallBytes;
use super::shared_memory;
use super::status::status;
use crate::core::Core;
use crate::error::{ErrorKind, InferError};
use crate::infer::{InferResponse, infer};
use crate::protocol::parameters::parse_version;
use crate::protocol::{model, statistics};
use crate::telemetry::traces::RequestSpan;

/// Answers the protocol's RPCs from the server's core.
pub struct InferenceService {
    core: Arc<Core>,
}

type Answer<T> = Result<Response<T>, Status>;
type ResponseStream = Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

impl InferenceService {
    /// A service over that core.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for InferenceService {
    type ModelStreamInferStream = ResponseStream;

    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        Ok(Response::new(ServerReadyResponse { ready: self.core.is_ready() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let request = request.into_inner();
        let version = parse_version(&request.version)?;
        Ok(Response::new(ModelReadyResponse { ready: self.core.is_model_ready(&request.name, version) }))
    }

    async fn server_metadata(&self, _: Request<ServerMetadataRequest>) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(ServerMetadataResponse {
            name: self.core.name().to_owned(),
            version: self.core.version().to_owned(),
            extensions: self.core.extensions().map(str::to_owned).collect(),
        }))
    }

    async fn model_metadata(&self, request: Request<ModelMetadataRequest>) -> Answer<ModelMetadataResponse> {
        let request = request.into_inner();
        let version = self.core.table().resolve(&request.name, parse_version(&request.version)?)?;
        let versions = self.core.served_versions(&request.name);
        let mut answer = Response::new(model::metadata(&version, &versions));
        describe_version(answer.metadata_mut(), &version);
        Ok(answer)
    }

    async fn model_config(&self, request: Request<ModelConfigRequest>) -> Answer<ModelConfigResponse> {
        let request = request.into_inner();
        let version = self.core.table().resolve(&request.name, parse_version(&request.version)?)?;
        Ok(Response::new(ModelConfigResponse { config: Some(model::config(&version)) }))
    }

    async fn model_statistics(&self, request: Request<ModelStatisticsRequest>) -> Answer<ModelStatisticsResponse> {
        let request = request.into_inner();
        let versions = self.core.versions_for_statistics(&request.name, parse_version(&request.version)?)?;
        let model_stats = versions.iter().map(|version| statistics::statistics(version)).collect();
        Ok(Response::new(ModelStatisticsResponse { model_stats }))
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        let (metadata, extensions, message) = request.into_parts();
        let (id, caller) = (message.id.clone(), Caller { metadata, deadline: extensions.get().copied() });
        let (response, message) = run(&self.core, message, &caller).await.map_err(|error| status(&error, &id))?;
        let mut answer = Response::new(message);
        describe(answer.metadata_mut(), &response);
        Ok(answer)
    }

    /// One response per request, in order. An error travels in its response and the stream goes on. When the server drains
    /// it answers what it has received, and ends.
    async fn model_stream_infer(&self, request: Request<Streaming<ModelInferRequest>>) -> Answer<ResponseStream> {
        let (metadata, extensions, requests) = request.into_parts();
        let core = Arc::clone(&self.core);
        let bytes = extensions.get::<Arc<CallBytes>>().cloned();
        // Ahead of the one being answered others may run, so that a stream fills batches; `buffered` keeps the order.
        let ahead = core.stream_window();
        let caller = Arc::new(Caller { metadata, deadline: extensions.get().copied() });
        let responses = requests
            .take_until(self.core.drain_begun())
            .map(move |message| {
                let (core, caller) = (Arc::clone(&core), Arc::clone(&caller));
                async move { Ok(stream_response(&core, message?, &caller).await) }
            })
            .buffered(ahead)
            .inspect(move |_| {
                if let Some(bytes) = &bytes {
                    bytes.release_oldest();
                }
            });
        Ok(Response::new(Box::pin(responses)))
    }

    async fn repository_index(&self, request: Request<RepositoryIndexRequest>) -> Answer<RepositoryIndexResponse> {
        let request = request.into_inner();
        check_repository(&request.repository_name)?;
        Ok(Response::new(model::index(self.core.index(request.ready))))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Answer<RepositoryModelLoadResponse> {
        let request = request.into_inner();
        check_repository(&request.repository_name)?;
        model::check_load_parameters(&request.model_name, request.parameters.keys().map(String::as_str))?;
        self.core.load_model(&request.model_name).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Answer<RepositoryModelUnloadResponse> {
        let request = request.into_inner();
        check_repository(&request.repository_name)?;
        self.core.unload_model(&request.model_name).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }

    async fn system_shared_memory_status(
        &self,
        request: Request<SystemSharedMemoryStatusRequest>,
    ) -> Answer<SystemSharedMemoryStatusResponse> {
        let regions = self.core.shared_memory().status(&request.into_inner().name)?;
        Ok(Response::new(shared_memory::status(regions)))
    }

    async fn system_shared_memory_register(
        &self,
        request: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Answer<SystemSharedMemoryRegisterResponse> {
        self.core.shared_memory().register(shared_memory::region(request.into_inner()))?;
        Ok(Response::new(SystemSharedMemoryRegisterResponse {}))
    }

    async fn system_shared_memory_unregister(
        &self,
        request: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Answer<SystemSharedMemoryUnregisterResponse> {
        self.core.shared_memory().unregister(&request.into_inner().name);
        Ok(Response::new(SystemSharedMemoryUnregisterResponse {}))
    }

    /// No region is ever registered, so the list is empty: clients that clean up unconditionally go on working.
    async fn cuda_shared_memory_status(
        &self,
        _: Request<CudaSharedMemoryStatusRequest>,
    ) -> Answer<CudaSharedMemoryStatusResponse> {
        Ok(Response::new(CudaSharedMemoryStatusResponse::default()))
    }

    async fn cuda_shared_memory_register(
        &self,
        _: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Answer<CudaSharedMemoryRegisterResponse> {
        Err(unimplemented("CUDA shared memory", "send the tensor in the request, or use system shared memory"))
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Answer<CudaSharedMemoryUnregisterResponse> {
        Ok(Response::new(CudaSharedMemoryUnregisterResponse {}))
    }

    async fn trace_setting(&self, _: Request<TraceSettingRequest>) -> Answer<TraceSettingResponse> {
        Err(unimplemented("TraceSetting", "configure OTLP traces when the server starts"))
    }

    async fn log_settings(&self, _: Request<LogSettingsRequest>) -> Answer<LogSettingsResponse> {
        Err(unimplemented("LogSettings", "set the log level when the server starts"))
    }
}

/// What is known of a call beside its message.
struct Caller {
    metadata: MetadataMap,
    deadline: Option<Deadline>,
}

/// Decodes, runs and encodes one request.
async fn run(
    core: &Core,
    message: ModelInferRequest,
    caller: &Caller,
) -> Result<(InferResponse, ModelInferResponse), InferError> {
    let header = |name: &str| caller.metadata.get(name).and_then(|value| value.to_str().ok());
    let mut span = core.traces().begin("grpc", &message.model_name, header);
    let result = answer(core, message, caller, span.as_mut()).await;
    if let Some(span) = span {
        span.end(result.as_ref().map(|(response, _)| response));
    }
    result
}

async fn answer(
    core: &Core,
    message: ModelInferRequest,
    caller: &Caller,
    span: Option<&mut RequestSpan<'_>>,
) -> Result<(InferResponse, ModelInferResponse), InferError> {
    let mut decoded = decode(message, &caller.metadata, core.shared_memory())?;
    decoded.request.deadline = caller.deadline.map(|Deadline(at)| at);
    if let Some(span) = span {
        span.parsed();
    }
    let mut response = infer(core.table(), &decoded.request).await?;
    let message = encode(&mut response, &decoded, core.shared_memory())?;
    Ok((response, message))
}

async fn stream_response(core: &Core, message: ModelInferRequest, caller: &Caller) -> ModelStreamInferResponse {
    let id = message.id.clone();
    let mark_final =
        message.parameters.get("triton_enable_empty_final_response").and_then(|found| found.parameter_choice.clone())
            == Some(ParameterChoice::BoolParam(true));
    match run(core, message, caller).await {
        Ok((_, mut response)) => {
            if mark_final {
                response.parameters.insert("triton_final_response".into(), parameter(ParameterChoice::BoolParam(true)));
            }
            ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
        }
        Err(error) => ModelStreamInferResponse {
            error_message: error.for_request(&id),
            // The id lets a client tell which of its requests failed.
            infer_response: Some(ModelInferResponse { id, ..ModelInferResponse::default() }),
        },
    }
}

fn check_repository(name: &str) -> Result<(), InferError> {
    if name.is_empty() {
        return Ok(());
    }
    Err(InferError::invalid(format!(
        "repository '{name}' is not known: this server has one, without a name; leave repository_name empty"
    )))
}

fn unimplemented(what: &str, instead: &str) -> Status {
    InferError::new(ErrorKind::Unimplemented, format!("{what} is not supported; {instead}")).into()
}
