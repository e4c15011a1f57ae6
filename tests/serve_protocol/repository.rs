//! What a client may ask and do besides inference.

use std::time::Duration;

use takt_proto::inference::model_config::SchedulingChoice;
use takt_proto::inference::*;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Client, image, index_line, infer, is_model_ready, raw_call, statistics, version_of};
use crate::{changed, models};

#[tokio::test]
async fn models_that_are_unknown_or_not_ready_are_told_apart() {
    let workspace = models();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    assert!(!is_model_ready(&mut client, "ghost").await);
    assert!(!is_model_ready(&mut client, "broken").await);
    let request = ModelReadyRequest { name: "m".into(), version: "9".into() };
    assert!(!client.model_ready(request).await.unwrap().into_inner().ready);
    for (name, version, code) in [
        ("ghost", "", Code::NotFound),
        ("m", "9", Code::NotFound),
        ("broken", "", Code::Unavailable),
        ("broken", "1", Code::Unavailable),
    ] {
        let metadata = ModelMetadataRequest { name: name.into(), version: version.into() };
        let config = ModelConfigRequest { name: name.into(), version: version.into() };
        assert_eq!(client.model_metadata(metadata).await.unwrap_err().code(), code, "{name} {version}");
        assert_eq!(client.model_config(config).await.unwrap_err().code(), code, "{name} {version}");
    }
}

async fn load(client: &mut Client, model: &str) -> Result<(), tonic::Status> {
    let request = RepositoryModelLoadRequest { model_name: model.into(), ..Default::default() };
    client.repository_model_load(request).await.map(|_| ())
}

async fn unload(client: &mut Client, model: &str) -> Result<(), tonic::Status> {
    let request = RepositoryModelUnloadRequest { model_name: model.into(), ..Default::default() };
    client.repository_model_unload(request).await.map(|_| ())
}

#[tokio::test]
async fn models_are_loaded_and_unloaded_in_mode_explicit() {
    let workspace = models();
    let server = workspace.server().arguments(&["--model-control-mode", "explicit", "--load-model", "m"]).ready().await;
    let mut client = server.client();
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 1);
    assert_eq!(index_line(&mut client, "pair", 1).await.unwrap().state, "UNAVAILABLE");
    load(&mut client, "pair").await.unwrap();
    assert!(is_model_ready(&mut client, "pair").await);
    unload(&mut client, "m").await.unwrap();
    assert!(!is_model_ready(&mut client, "m").await);
    assert_eq!(version_of(&mut client, "m").await.unwrap_err().code(), Code::Unavailable);
    let ready = RepositoryIndexRequest { ready: true, ..Default::default() };
    let ready = client.repository_index(ready).await.unwrap().into_inner().models;
    assert_eq!(
        ready.iter().map(|line| (line.name.as_str(), line.state.as_str())).collect::<Vec<_>>(),
        [("pair", "READY")]
    );
    load(&mut client, "m").await.unwrap();
    workspace.add("m", 2, "nameless_batch");
    load(&mut client, "m").await.unwrap();
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 2, "loading again picks up what is new");
    let status = load(&mut client, "ghost").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("'ghost'") && status.message().contains("pair"), "{status}");
    let status = load(&mut client, "broken").await.unwrap_err();
    assert!(status.message().contains("'broken'") && status.message().contains("session"), "{status}");
}

#[tokio::test]
async fn loading_is_refused_in_the_other_modes() {
    for mode in ["none", "poll"] {
        let workspace = models();
        let server = workspace.server().arguments(&["--model-control-mode", mode]).ready().await;
        let mut client = server.client();
        for status in [load(&mut client, "m").await.unwrap_err(), unload(&mut client, "m").await.unwrap_err()] {
            assert_eq!(status.code(), Code::Unavailable);
            assert!(status.message().contains("explicit") && status.message().contains(mode), "{status}");
        }
        assert_eq!(version_of(&mut client, "m").await.unwrap(), 1);
    }
}

#[tokio::test]
async fn statistics_count_samples_and_batches() {
    let workspace = models();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    infer(&mut client, image("m", 3)).await.unwrap();
    infer(&mut client, image("m", 1)).await.unwrap();
    infer(&mut client, changed(|request| request.inputs[0].shape[3] = 17)).await.unwrap_err();
    let stats = statistics(&mut client, "m").await;
    assert_eq!((stats.name.as_str(), stats.version.as_str()), ("m", "1"));
    assert_eq!((stats.inference_count, stats.execution_count), (4, 2));
    assert!(stats.last_inference > 1_600_000_000_000, "milliseconds since the epoch");
    let counts = stats.inference_stats.unwrap();
    for (what, tally, count) in [
        ("success", counts.success, 2),
        ("fail", counts.fail, 1),
        ("queue", counts.queue, 2),
        ("compute_input", counts.compute_input, 2),
        ("compute_infer", counts.compute_infer, 2),
        ("compute_output", counts.compute_output, 2),
        ("cache_hit", counts.cache_hit, 0),
        ("cache_miss", counts.cache_miss, 0),
    ] {
        assert_eq!(tally.unwrap().count, count, "{what}");
    }
    assert_eq!(stats.batch_stats.iter().map(|stats| stats.batch_size).collect::<Vec<_>>(), [1, 3]);
    let all = client.model_statistics(ModelStatisticsRequest::default()).await.unwrap().into_inner().model_stats;
    assert_eq!(all.iter().map(|stats| stats.name.as_str()).collect::<Vec<_>>(), ["m", "pair"]);
    let ghost = ModelStatisticsRequest { name: "ghost".into(), version: String::new() };
    assert_eq!(client.model_statistics(ghost).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn metadata_and_configuration_agree_on_the_batch_dimension() {
    let workspace = models();
    workspace.add("fixed", 1, "fixed_shape");
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let request = ModelConfigRequest { name: "m".into(), version: String::new() };
    let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.name.as_str(), config.max_batch_size), ("m", 4));
    assert_eq!(config.input[0].dims, [3, 16, 16]);
    assert!(matches!(config.scheduling_choice, Some(SchedulingChoice::DynamicBatching(_))));
    let request = ModelConfigRequest { name: "fixed".into(), version: String::new() };
    let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
    assert_eq!((config.max_batch_size, config.input[0].dims.as_slice()), (0, &[3, 6][..]));
    assert!(config.scheduling_choice.is_none(), "present means batching is on");
    for (name, shape) in [("m", &[-1, 3, 16, 16][..]), ("fixed", &[3, 6])] {
        let request = ModelMetadataRequest { name: name.into(), version: String::new() };
        let metadata = client.model_metadata(request.clone()).await.unwrap().into_inner();
        assert_eq!((metadata.inputs[0].shape.as_slice(), metadata.versions.as_slice()), (shape, &["1".to_owned()][..]));
        let raw = raw_call(&server, "ModelMetadata", &request, None).await;
        assert_eq!(raw.status, 0);
        assert!(!fields(&raw.body).contains(&6), "field 6 means two things to two servers: {:?}", fields(&raw.body));
    }
}

/// Numbers of the top-level fields of a message.
fn fields(mut message: &[u8]) -> Vec<u64> {
    let varint = |message: &mut &[u8]| {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = message.split_first().unwrap();
            *message = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    };
    let mut fields = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        fields.push(tag >> 3);
        let length = varint(&mut message);
        if tag & 7 == 2 {
            message = &message[length as usize..];
        }
    }
    fields
}

#[tokio::test]
async fn the_server_advertises_what_works_and_only_that() {
    let workspace = models();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    let metadata = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(metadata.name, "takt");
    for extension in ["classification", "statistics", "system_shared_memory", "binary_tensor_data"] {
        assert!(metadata.extensions.iter().any(|found| found == extension), "{extension}: {:?}", metadata.extensions);
    }
    assert!(!metadata.extensions.iter().any(|found| found.contains("cuda") || found == "trace" || found == "sequence"));
    let status = client.trace_setting(TraceSettingRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let status = client.cuda_shared_memory_register(CudaSharedMemoryRegisterRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);

    let mut health = HealthClient::new(server.channel());
    for service in ["", "inference.GRPCInferenceService"] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(server.channel());
    let mut answers = reflection.server_reflection_info(tokio_stream::iter([list])).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let services: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["inference.GRPCInferenceService", "grpc.health.v1.Health"] {
        assert!(services.iter().any(|found| found == service), "{service}: {services:?}");
    }
}
