//! A device for tests: speaks the rollout API of a server and behaves as the test says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use takt_proto::inference::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use takt_proto::inference::repository_index_response::ModelIndex;
use takt_proto::inference::*;
use takt_proto::rollout::control_request::Action;
use takt_proto::rollout::rollouts_server::{Rollouts, RolloutsServer};
use takt_proto::rollout::{ControlRequest, GetRequest, GetResponse, Rollout, StartRequest};
use takt_rollout::{Phase, Stage};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// The model that every device of these tests has, in version 1, with version 2 beside it.
pub const MODEL: &str = "surface";

/// What a device remembers.
#[derive(Debug, Default)]
pub struct Memory {
    /// Its rollout of version 2.
    pub phase: Option<Phase>,
    /// Logarithm of its evidence against the candidate.
    pub ln_e: f64,
    /// What it was told, in order.
    pub told: Vec<String>,
    /// How often it began.
    pub starts: u32,
    /// The version that it serves; version 1 where none is said.
    pub serves: Option<u64>,
}

/// A device that listens on a port of its own.
#[derive(Clone)]
pub struct Device {
    /// Where.
    pub address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
}

impl Device {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let device = Self { address, memory: Arc::default() };
        let router = tonic::transport::Server::builder()
            .add_service(RolloutsServer::new(device.clone()))
            .add_service(GrpcInferenceServiceServer::new(device.clone()));
        tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
        device
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where its rollout stands.
    pub fn phase(&self) -> Option<Phase> {
        self.with(|memory| memory.phase.clone())
    }

    fn rollout(&self) -> Option<Rollout> {
        self.with(|memory| {
            let phase = memory.phase.clone()?;
            let weight = if phase.is_terminal() { 0.0 } else { 0.05 };
            let report = json!({"model": MODEL, "progress": {
                "id": "r", "phase": phase, "why": "as the test says", "exposed": 7,
                "gates": [{"gate": "errors", "against": {"ln_e": memory.ln_e, "ln_threshold": 3.0}}, {"gate": "labels", "against": null}]
            }});
            Some(Rollout {
                model: MODEL.to_owned(),
                id: format!("r{}", memory.starts),
                phase: phase.label().to_owned(),
                stable: 1,
                candidate: 2,
                weight,
                observed: weight,
                reason: "as the test says".to_owned(),
                progress_json: report.to_string(),
            })
        })
    }
}

#[tonic::async_trait]
impl Rollouts for Device {
    async fn start(&self, request: Request<StartRequest>) -> Result<Response<Rollout>, Status> {
        let request = request.into_inner();
        let under_way = self.phase().is_some_and(|phase| !phase.is_terminal());
        if under_way {
            return Err(Status::unavailable("a rollout is under way"));
        }
        self.with(|memory| {
            memory.starts += 1;
            memory.told.push(format!("start {}", request.candidate));
            memory.phase = Some(Phase::Running(Stage::Stepping(0)));
        });
        self.rollout().map(Response::new).ok_or_else(|| Status::internal("no rollout"))
    }

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let found = self.rollout().ok_or_else(|| Status::not_found("no rollout of 'surface'"))?;
        Ok(Response::new(GetResponse { rollouts: vec![found] }))
    }

    async fn control(&self, request: Request<ControlRequest>) -> Result<Response<Rollout>, Status> {
        let action = request.into_inner().action();
        self.with(|memory| {
            memory.told.push(action.as_str_name().to_lowercase());
            if action == Action::Abort && memory.phase.as_ref().is_some_and(|phase| !phase.is_terminal()) {
                memory.phase = Some(Phase::RolledBack);
            }
        });
        self.rollout().map(Response::new).ok_or_else(|| Status::not_found("no rollout of 'surface'"))
    }
}

macro_rules! not_here {
    ($($name:ident: $request:ty => $response:ty),* $(,)?) => {
        #[tonic::async_trait]
        impl GrpcInferenceService for Device {
            type ModelStreamInferStream = tokio_stream::Empty<Result<ModelStreamInferResponse, Status>>;

            async fn repository_index(
                &self,
                _: Request<RepositoryIndexRequest>,
            ) -> Result<Response<RepositoryIndexResponse>, Status> {
                let row = |version: &str, state: &str| ModelIndex {
                    name: MODEL.to_owned(),
                    version: version.to_owned(),
                    state: state.to_owned(),
                    reason: String::new(),
                };
                let serves = self.with(|memory| memory.serves.unwrap_or(1));
                let state = |version: u64| if version == serves { "READY" } else { "UNAVAILABLE" };
                let models = vec![row("1", state(1)), row("2", state(2))];
                Ok(Response::new(RepositoryIndexResponse { models }))
            }

            async fn model_stream_infer(
                &self,
                _: Request<tonic::Streaming<ModelInferRequest>>,
            ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
                Err(Status::unimplemented("not in these tests"))
            }

            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$response>, Status> {
                Err(Status::unimplemented("not in these tests"))
            })*
        }
    };
}
not_here! {
    server_live: ServerLiveRequest => ServerLiveResponse,
    server_ready: ServerReadyRequest => ServerReadyResponse,
    model_ready: ModelReadyRequest => ModelReadyResponse,
    server_metadata: ServerMetadataRequest => ServerMetadataResponse,
    model_metadata: ModelMetadataRequest => ModelMetadataResponse,
    model_config: ModelConfigRequest => ModelConfigResponse,
    model_statistics: ModelStatisticsRequest => ModelStatisticsResponse,
    model_infer: ModelInferRequest => ModelInferResponse,
    repository_model_load: RepositoryModelLoadRequest => RepositoryModelLoadResponse,
    repository_model_unload: RepositoryModelUnloadRequest => RepositoryModelUnloadResponse,
    system_shared_memory_status: SystemSharedMemoryStatusRequest => SystemSharedMemoryStatusResponse,
    system_shared_memory_register: SystemSharedMemoryRegisterRequest => SystemSharedMemoryRegisterResponse,
    system_shared_memory_unregister: SystemSharedMemoryUnregisterRequest => SystemSharedMemoryUnregisterResponse,
    cuda_shared_memory_status: CudaSharedMemoryStatusRequest => CudaSharedMemoryStatusResponse,
    cuda_shared_memory_register: CudaSharedMemoryRegisterRequest => CudaSharedMemoryRegisterResponse,
    cuda_shared_memory_unregister: CudaSharedMemoryUnregisterRequest => CudaSharedMemoryUnregisterResponse,
    trace_setting: TraceSettingRequest => TraceSettingResponse,
    log_settings: LogSettingsRequest => LogSettingsResponse,
}
