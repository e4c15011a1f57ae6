//! Every limit refuses clearly, and what is refused never runs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::semicolon_if_nothing_returned,
    reason = "a panic is how a test fails, also in its helpers; figures and logs are for who reads its output"
)]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use support::{Workspace, encoded, image, infer, parameter, raw_call, shipped_image, statistics, tensor, version_of};
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::{ModelInferRequest, ModelInferResponse};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

type Asked = JoinHandle<Result<ModelInferResponse, Status>>;

/// One request at a time, each slow.
fn slow_model(batching: &str) -> Workspace {
    let workspace = Workspace::new();
    let config = format!("max_batch_size = 1\nwarmup = false\n[batching]\n{batching}\n");
    workspace.configure("m", &config).add("m", 1, "classifier");
    workspace
}

fn ask(server: &support::Server, request: ModelInferRequest) -> Asked {
    let mut client = server.client();
    tokio::spawn(async move { infer(&mut client, request).await })
}

/// The first request, once it runs.
async fn busy(server: &support::Server) -> Asked {
    let running = ask(server, image("m", 1));
    support::eventually("the slow run begins", || (server.times_logged("injected fault") > 0).then_some(())).await;
    running
}

/// Long enough for a request to arrive, short against a slow run.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

async fn runs(server: &support::Server) -> u64 {
    statistics(&mut server.client(), "m").await.execution_count
}

#[tokio::test]
async fn a_full_queue_refuses_without_waiting() {
    let workspace = slow_model("max_queue = 2");
    let server = workspace.server().fault("m/1=slow@run:1:2500ms").ready().await;
    let running = busy(&server).await;
    let waiting = [ask(&server, image("m", 1)), ask(&server, image("m", 1))];
    a_moment().await;
    let begun = Instant::now();
    let status = infer(&mut server.client(), image("m", 1)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(1), "refused at once, not after {:?}", begun.elapsed());
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("Exceeds maximum queue size"), "{status}");
    assert!(status.message().contains("'m'") && status.message().contains("max_queue"), "{status}");
    running.await.unwrap().unwrap();
    for request in waiting {
        request.await.unwrap().unwrap();
    }
    assert_eq!(runs(&server).await, 3);
}

#[tokio::test]
async fn a_queue_timeout_is_answered_in_time_and_the_request_never_runs() {
    let workspace = slow_model("");
    let server = workspace.server().fault("m/1=slow@run:1:2500ms").ready().await;
    let running = busy(&server).await;
    let mut request = image("m", 1);
    request.id = "part-7".into();
    request.parameters.insert("timeout".into(), parameter(ParameterChoice::Int64Param(200_000)));
    let begun = Instant::now();
    let status = infer(&mut server.client(), request).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_millis(2000), "answered after {:?}", begun.elapsed());
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().starts_with("[request id: part-7] Request timeout expired"), "{status}");
    running.await.unwrap().unwrap();
    a_moment().await;
    assert_eq!(runs(&server).await, 1);
}

#[tokio::test]
async fn the_models_own_queue_timeout_counts_where_a_request_names_none() {
    let workspace = slow_model("timeout_ms = 200\nallow_timeout_override = false");
    let server = workspace.server().fault("m/1=slow@run:1:2500ms").ready().await;
    let running = busy(&server).await;
    let mut request = image("m", 1);
    request.parameters.insert("timeout".into(), parameter(ParameterChoice::Int64Param(60_000_000)));
    let status = infer(&mut server.client(), request).await.unwrap_err();
    assert!(status.message().starts_with("Request timeout expired"), "{status}");
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_queue_is_deadline_exceeded_and_the_request_never_runs() {
    let workspace = slow_model("");
    let server = workspace.server().fault("m/1=slow@run:1:2500ms").ready().await;
    let running = busy(&server).await;
    let answer = raw_call(&server, "ModelInfer", &image("m", 1), Some("300m")).await;
    assert_eq!(answer.status, Code::DeadlineExceeded as i32, "{answer:?}");
    assert!(answer.message.contains("did%20not%20run"), "{answer:?}");
    running.await.unwrap().unwrap();
    a_moment().await;
    assert_eq!(runs(&server).await, 1);
    let failed = statistics(&mut server.client(), "m").await.inference_stats.unwrap().fail.unwrap().count;
    assert_eq!(failed, 1);
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_run_is_deadline_exceeded_too() {
    let workspace = slow_model("");
    let server = workspace.server().fault("m/1=slow@run:1:1000ms").ready().await;
    let answer = raw_call(&server, "ModelInfer", &image("m", 1), Some("300m")).await;
    assert_eq!(answer.status, Code::DeadlineExceeded as i32, "{answer:?}");
    infer(&mut server.client(), image("m", 1)).await.unwrap();
}

#[tokio::test]
async fn a_request_whose_client_went_away_never_runs() {
    let workspace = slow_model("");
    let server = workspace.server().fault("m/1=slow@run:1:2500ms").ready().await;
    let running = busy(&server).await;
    let left = ask(&server, image("m", 1));
    a_moment().await;
    left.abort();
    running.await.unwrap().unwrap();
    a_moment().await;
    infer(&mut server.client(), image("m", 1)).await.unwrap();
    assert_eq!(runs(&server).await, 2);
}

#[tokio::test]
async fn lower_priority_numbers_go_first() {
    let workspace = slow_model("priority_levels = 2\ndefault_priority = 2");
    let server = workspace.server().fault("m/1=slow@run:*:600ms").ready().await;
    let running = busy(&server).await;
    let late = ask(&server, image("m", 1));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut urgent = image("m", 1);
    urgent.parameters.insert("priority".into(), parameter(ParameterChoice::Uint64Param(1)));
    let urgent = ask(&server, urgent);
    urgent.await.unwrap().unwrap();
    assert!(!late.is_finished(), "the urgent request overtook the one before it");
    late.await.unwrap().unwrap();
    running.await.unwrap().unwrap();
    let mut unknown = image("m", 1);
    unknown.parameters.insert("priority".into(), parameter(ParameterChoice::Uint64Param(3)));
    let status = infer(&mut server.client(), unknown).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("priority 3") && status.message().contains("1 to 2"), "{status}");
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_with_both_sizes() {
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier");
    let server = workspace.server().arguments(&["--max-message-bytes", "8000"]).ready().await;
    let mut client = server.client();
    infer(&mut client, image("m", 2)).await.unwrap();
    let status = infer(&mut client, image("m", 4)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("limit of 8000") && status.message().contains("max_message_bytes"), "{status}");
    infer(&mut client, image("m", 2)).await.unwrap();
}

#[tokio::test]
async fn bytes_in_flight_above_the_limit_are_refused_by_name_and_come_back() {
    let workspace = slow_model("");
    let server =
        workspace.server().arguments(&["--max-in-flight-bytes", "5000"]).fault("m/1=slow@run:1:2500ms").ready().await;
    let running = busy(&server).await;
    let status = infer(&mut server.client(), image("m", 1)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("max_in_flight_bytes") && status.message().contains("5000"), "{status}");
    running.await.unwrap().unwrap();
    infer(&mut server.client(), image("m", 1)).await.unwrap();
}

#[tokio::test]
async fn a_long_stream_gives_its_bytes_back_as_it_goes() {
    let workspace = slow_model("");
    let server = workspace.server().arguments(&["--max-in-flight-bytes", "10000"]).ready().await;
    let (send, requests) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut responses = server.client().model_stream_infer(requests).await.unwrap().into_inner();
    for _ in 0..20 {
        send.send(image("m", 1)).await.unwrap();
        let response = responses.message().await.unwrap().unwrap();
        assert_eq!(response.error_message, "");
    }
}

#[tokio::test]
async fn connections_above_the_limit_are_told_so_and_admitted_when_others_leave() {
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier");
    let server = workspace.server().arguments(&["--max-connections", "2"]).listening().await;
    let (mut first, mut second, mut third) = (server.client(), server.client(), server.client());
    let begun = Instant::now();
    while version_of(&mut first, "m").await.is_err() {
        assert!(begun.elapsed() < support::SOON);
        a_moment().await;
    }
    version_of(&mut second, "m").await.unwrap();
    let status = version_of(&mut third, "m").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("limit is 2") && status.message().contains("max_connections"), "{status}");
    drop(second);
    while version_of(&mut third, "m").await.is_err() {
        assert!(begun.elapsed() < support::SOON, "a connection stays refused though there is room");
        a_moment().await;
    }
}

#[tokio::test]
async fn concurrent_streams_above_the_limit_wait_at_the_client() {
    let workspace = Workspace::new();
    workspace.configure("m", "max_batch_size = 1\nwarmup = false\ninstances = 2\n").add("m", 1, "classifier");
    let server =
        workspace.server().setting("max_streams_per_connection = 1").fault("m/1=slow@run:*:500ms").ready().await;
    let together = async |first: support::Client, second: support::Client| {
        let begun = Instant::now();
        let ask = |mut client: support::Client| tokio::spawn(async move { version_of(&mut client, "m").await });
        let (first, second) = (ask(first), ask(second));
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        begun.elapsed()
    };
    let shared = server.client();
    support::is_ready(&mut shared.clone()).await;
    let in_turn = together(shared.clone(), shared).await;
    assert!(in_turn >= Duration::from_millis(1000), "one after the other: {in_turn:?}");
    let apart = together(server.client(), server.client()).await;
    assert!(apart < in_turn, "two connections, two instances, side by side: {apart:?}, in turn {in_turn:?}");
}

#[tokio::test]
async fn images_above_a_models_limits_fail_alone() {
    let workspace = Workspace::new();
    workspace.add_shipped();
    let toml = workspace.repository().join("surface-defects/model.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    workspace.configure("surface-defects", &format!("{text}\n[limits]\nmax_encoded_bytes = 17000\n"));
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let mut image = shipped_image("crack-000001.jpg");
    infer(&mut client, encoded(&image)).await.unwrap();
    // Behind the end of a JPEG may be anything.
    image.resize(17_001, 0);
    let status = infer(&mut client, encoded(&image)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("17000"), "{status}");
}

#[tokio::test]
async fn requests_are_joined_only_where_the_model_says_so() {
    let pbtxt = |batching: &str| format!("max_batch_size: 8\n{batching}");
    let workspace = Workspace::new();
    for (model, batching) in [("joined", "dynamic_batching { max_queue_delay_microseconds: 200000 }"), ("alone", "")] {
        workspace.add(model, 1, "classifier");
        std::fs::write(workspace.repository().join(model).join("config.pbtxt"), pbtxt(batching)).unwrap();
    }
    let server = workspace.server().ready().await;
    for (model, most) in [("joined", 5), ("alone", 8)] {
        let asked: Vec<_> = (0..8).map(|_| ask(&server, image(model, 1))).collect();
        for request in asked {
            request.await.unwrap().unwrap();
        }
        let stats = statistics(&mut server.client(), model).await;
        assert_eq!(stats.inference_count, 8);
        match model {
            "alone" => assert_eq!(stats.execution_count, most, "{stats:?}"),
            _ => assert!(stats.execution_count <= most, "{stats:?}"),
        }
    }
}

#[tokio::test]
async fn batches_of_several_tensors_are_bounded_too() {
    let workspace = Workspace::new();
    workspace.configure("m", "max_batch_size = 2\n").add("m", 1, "two_inputs");
    let server = workspace.server().ready().await;
    let request = |rows: i64| ModelInferRequest {
        model_name: "m".into(),
        inputs: vec![tensor("image", "FP32", &[rows, 4, 4]), tensor("gain", "FP32", &[rows, 1, 1])],
        raw_input_contents: vec![Bytes::from(vec![0; rows as usize * 64]), Bytes::from(vec![0; rows as usize * 4])],
        ..ModelInferRequest::default()
    };
    infer(&mut server.client(), request(2)).await.unwrap();
    let status = infer(&mut server.client(), request(3)).await.unwrap_err();
    assert!(status.message().contains("<= 2") && status.message().contains("got 3"), "{status}");
}
