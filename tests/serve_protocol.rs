//! The wire contract over gRPC: what a client may send, what it gets, and how it is told what is wrong.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::semicolon_if_nothing_returned,
    reason = "a panic is how a test fails, also in its helpers; figures and logs are for who reads its output"
)]

mod support;

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use support::{
    Client, Workspace, encoded, floats, image, index_line, infer, is_model_ready, output, parameter, raw_call,
    shipped_image, statistics, tensor, tensor_request, version_of,
};
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::model_config::SchedulingChoice;
use takt_proto::inference::*;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// `classifier` as `m`, `two_inputs` as `pair`, and `broken`, which does not load.
fn models() -> Workspace {
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier").add_unwarmed("pair", 1, "two_inputs");
    workspace.add_bytes("broken", 1, b"this is no model");
    workspace
}

fn changed(change: impl FnOnce(&mut ModelInferRequest)) -> ModelInferRequest {
    let mut request = image("m", 1);
    change(&mut request);
    request
}

/// One row of the contract's table of status codes, in one of its forms.
struct Row {
    case: &'static str,
    request: ModelInferRequest,
    code: Code,
    /// What the message must name: found, expected, what to do.
    says: &'static [&'static str],
}

fn row(
    case: &'static str,
    code: Code,
    says: &'static [&'static str],
    change: impl FnOnce(&mut ModelInferRequest),
) -> Row {
    Row { case, request: changed(change), code, says }
}

fn typed(contents: InferTensorContents) -> impl FnOnce(&mut ModelInferRequest) {
    move |request| {
        request.raw_input_contents.clear();
        request.inputs[0].contents = Some(contents);
    }
}

fn with_shape(shape: &[i64]) -> impl FnOnce(&mut ModelInferRequest) {
    move |request| request.inputs[0].shape = shape.to_vec()
}

fn with_parameter(key: &str, choice: Option<ParameterChoice>) -> impl FnOnce(&mut ModelInferRequest) {
    move |request| {
        request.parameters.insert(key.into(), InferParameter { parameter_choice: choice });
    }
}

fn bad_requests() -> Vec<Row> {
    use Code::{InvalidArgument, NotFound, Unavailable};
    let region = |key: &str, choice: ParameterChoice| (key.to_owned(), parameter(choice));
    vec![
        row("unknown model", NotFound, &["'ghost'", "known: ", "m, pair"], |r| r.model_name = "ghost".into()),
        row("unknown version", NotFound, &["'m' version 9", "(versions that serve: 1)"], |r| {
            r.model_version = "9".into()
        }),
        row("version that is no number", InvalidArgument, &["'new'", "integers"], |r| r.model_version = "new".into()),
        row("model that is not ready", Unavailable, &["'broken'", "session"], |r| r.model_name = "broken".into()),
        row("unexpected input", InvalidArgument, &["'picture'", "'m'", "it has 'image'"], |r| {
            r.inputs[0].name = "picture".into();
        }),
        row("unexpected output", InvalidArgument, &["'scores'", "it has 'logits'"], |r| {
            r.outputs = vec![output("scores", &[])]
        }),
        row("missing input", InvalidArgument, &["expected 2 inputs but got 1", "'gain' is missing"], |r| {
            *r = tensor_request("pair", "image", "FP32", &[1, 4, 4], vec![0; 64]);
        }),
        row("input given twice", InvalidArgument, &["'image'", "more than once"], |r| {
            r.inputs.push(r.inputs[0].clone());
            r.raw_input_contents.push(r.raw_input_contents[0].clone());
        }),
        row("wrong datatype", InvalidArgument, &["'INT64'", "expects 'FP32'"], |r| {
            r.inputs[0].datatype = "INT64".into()
        }),
        row("unknown datatype", InvalidArgument, &["'FLOAT'", "FP32"], |r| r.inputs[0].datatype = "FLOAT".into()),
        row("encoded image for a model without preprocess", InvalidArgument, &["'BYTES'", "'FP32'"], |r| {
            r.inputs[0].datatype = "BYTES".into();
        }),
        row("wrong rank", InvalidArgument, &["Expected [-1, 3, 16, 16]", "got [3, 16, 16]"], with_shape(&[3, 16, 16])),
        row(
            "wrong dim",
            InvalidArgument,
            &["Expected [-1, 3, 16, 16]", "got [1, 3, 16, 17]"],
            with_shape(&[1, 3, 16, 17]),
        ),
        row("negative dim", InvalidArgument, &["[-1, 3, 16, 16]"], with_shape(&[-1, 3, 16, 16])),
        row("overflowing dims", InvalidArgument, &["9223372036854775807"], with_shape(&[i64::MAX, 3, 16, 16])),
        row("batch of 0", InvalidArgument, &["batch size 0", "at least 1"], |r| {
            r.inputs[0].shape[0] = 0;
            r.raw_input_contents[0] = Bytes::new();
        }),
        row("batch above max_batch_size", InvalidArgument, &["<= 4", "got 5", "max_batch_size"], |r| {
            *r = image("m", 5)
        }),
        row("too few bytes", InvalidArgument, &["3071", "expecting 3072"], |r| {
            r.raw_input_contents[0].truncate(3071);
        }),
        row("too many bytes", InvalidArgument, &["3076", "expecting 3072"], |r| {
            r.raw_input_contents[0] = Bytes::from(vec![0; 3076]);
        }),
        row("no data", InvalidArgument, &["'image'", "no data"], |r| r.raw_input_contents.clear()),
        row("surplus raw contents", InvalidArgument, &["expected 1", "got 2"], |r| {
            r.raw_input_contents.push(Bytes::from_static(b"more"));
        }),
        row("typed and raw contents", InvalidArgument, &["raw_input_contents", "'image'"], |r| {
            r.inputs[0].contents = Some(InferTensorContents { fp32_contents: vec![0.0; 768], ..Default::default() });
        }),
        row(
            "typed contents of another type",
            InvalidArgument,
            &["'int_contents'", "'fp32_contents'"],
            typed(InferTensorContents { int_contents: vec![0; 768], ..Default::default() }),
        ),
        row(
            "too few typed values",
            InvalidArgument,
            &["expecting 3072"],
            typed(InferTensorContents { fp32_contents: vec![0.0; 767], ..Default::default() }),
        ),
        row("unknown shared memory region", InvalidArgument, &["'frames'", "register"], |r| {
            r.raw_input_contents.clear();
            r.inputs[0].parameters = [
                region("shared_memory_region", ParameterChoice::StringParam("frames".into())),
                region("shared_memory_byte_size", ParameterChoice::Int64Param(3072)),
            ]
            .into();
        }),
        row("shared memory without a size", InvalidArgument, &["shared_memory_byte_size"], |r| {
            r.raw_input_contents.clear();
            r.inputs[0].parameters =
                [region("shared_memory_region", ParameterChoice::StringParam("frames".into()))].into();
        }),
        row("classification of nothing", InvalidArgument, &["'classification'", "at least 1"], |r| {
            r.outputs = vec![output("logits", &[("classification", ParameterChoice::Int64Param(0))])];
        }),
        row("unknown triton_ parameter", InvalidArgument, &["'triton_magic'", "reserved"], {
            with_parameter("triton_magic", Some(ParameterChoice::BoolParam(true)))
        }),
        row("priority of the wrong type", InvalidArgument, &["'priority'", "'high'"], {
            with_parameter("priority", Some(ParameterChoice::StringParam("high".into())))
        }),
        row("negative timeout", InvalidArgument, &["'timeout'", "-1"], {
            with_parameter("timeout", Some(ParameterChoice::Int64Param(-1)))
        }),
        row("parameter without a value", InvalidArgument, &["'speed'", "no value"], with_parameter("speed", None)),
    ]
}

#[tokio::test]
async fn bad_requests_get_the_status_of_the_contract_and_are_told_what_is_wrong() {
    let workspace = models();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let mut faults = Vec::new();
    for Row { case, mut request, code, says } in bad_requests() {
        request.id = "part-7".into();
        match infer(&mut client, request).await {
            Ok(answer) => faults.push(format!("{case}: answered {answer:?}")),
            Err(status) => {
                let missing: Vec<_> = says.iter().filter(|text| !status.message().contains(**text)).collect();
                if status.code() != code || !missing.is_empty() {
                    faults.push(format!("{case}: expected {code:?}, {missing:?} is missing in {status}"));
                }
                if !status.message().starts_with("[request id: part-7] ") {
                    faults.push(format!("{case}: the request's id is not in front: {status}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 1, "none of it did harm");
}

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

#[tokio::test]
async fn an_answer_echoes_the_id_names_its_version_and_holds_raw_outputs() {
    let workspace = models();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let answer = infer(&mut client, changed(|request| request.id = "part 7/ä".into())).await.unwrap();
    assert_eq!((answer.id.as_str(), answer.model_name.as_str(), answer.model_version.as_str()), ("part 7/ä", "m", "1"));
    assert_eq!(answer.outputs.len(), 1);
    assert!(answer.outputs[0].contents.is_none());
    assert_eq!((answer.outputs[0].datatype.as_str(), answer.outputs[0].shape.as_slice()), ("FP32", &[1, 4][..]));
    assert_eq!(answer.raw_output_contents[0].len(), 16);

    let pair = |outputs: &[&str]| ModelInferRequest {
        model_name: "pair".into(),
        inputs: vec![tensor("gain", "FP32", &[2, 1, 1]), tensor("image", "FP32", &[2, 4, 4])],
        outputs: outputs.iter().map(|name| output(name, &[])).collect(),
        raw_input_contents: vec![
            [2f32, 3.0].iter().flat_map(|value| value.to_le_bytes()).collect(),
            (0..32).flat_map(|_| 1f32.to_le_bytes()).collect(),
        ],
        ..ModelInferRequest::default()
    };
    let names =
        |answer: &ModelInferResponse| answer.outputs.iter().map(|output| output.name.clone()).collect::<Vec<_>>();
    let all = infer(&mut client, pair(&[])).await.unwrap();
    assert_eq!(names(&all), ["scaled", "mean"]);
    assert_eq!(floats(&all.raw_output_contents[1]), [2.0, 3.0], "inputs are found by name, whatever their order");
    let one = infer(&mut client, pair(&["mean"])).await.unwrap();
    assert_eq!((names(&one), one.raw_output_contents.len()), (vec!["mean".to_owned()], 1));
}

#[tokio::test]
async fn typed_contents_give_what_raw_contents_give() {
    let workspace = Workspace::new();
    workspace.add("m", 1, "classifier").add("integers", 1, "integers").add("half", 1, "half_precision");
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let values: Vec<f32> = (0..768).map(|index| (index as f32).sin()).collect();
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let raw = infer(&mut client, tensor_request("m", "image", "FP32", &[1, 3, 16, 16], raw)).await.unwrap();
    let contents = InferTensorContents { fp32_contents: values, ..Default::default() };
    let typed_answer = infer(&mut client, changed(typed(contents))).await.unwrap();
    assert_eq!(raw.raw_output_contents, typed_answer.raw_output_contents);

    let typed_request = |model: &str, name: &str, datatype: &str, shape: &[i64], contents| {
        let mut request = tensor_request(model, name, datatype, shape, Vec::new());
        typed(contents)(&mut request);
        request
    };
    let ids = InferTensorContents { int64_contents: vec![1, -2, 7], ..Default::default() };
    let answer = infer(&mut client, typed_request("integers", "ids", "INT64", &[1, 3], ids)).await.unwrap();
    let doubled: Vec<i64> =
        answer.raw_output_contents[0].chunks(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!((doubled, &answer.raw_output_contents[1][..]), (vec![2, -4, 14], &[0, 0, 1][..]));
    assert_eq!(answer.outputs[1].datatype, "BOOL");

    let pixels = InferTensorContents { uint_contents: vec![0, 1, 2, 128, 255, 64], ..Default::default() };
    let answer = infer(&mut client, typed_request("half", "pixels", "UINT8", &[1, 2, 3], pixels)).await.unwrap();
    assert_eq!((answer.outputs[0].datatype.as_str(), answer.raw_output_contents[0].len()), ("FP16", 12));
}

/// The strings of a BYTES tensor.
fn strings(raw: &[u8]) -> Vec<String> {
    let mut strings = Vec::new();
    let mut rest = raw;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (text, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        strings.push(String::from_utf8(text.to_vec()).unwrap());
        rest = after;
    }
    strings
}

#[tokio::test]
async fn encoded_images_are_classified_by_name() {
    let workspace = Workspace::new();
    workspace.add_shipped();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    for (file, class) in [("ok-000004.jpg", "ok"), ("scratch-000002.jpg", "scratch"), ("hole-000013.jpg", "hole")] {
        let mut request = encoded(&shipped_image(file));
        request.outputs = vec![output("logits", &[("classification", ParameterChoice::Int64Param(2))])];
        let answer = infer(&mut client, request).await.unwrap();
        assert_eq!((answer.outputs[0].datatype.as_str(), answer.outputs[0].shape.as_slice()), ("BYTES", &[1, 2][..]));
        let ranked = strings(&answer.raw_output_contents[0]);
        let first: Vec<&str> = ranked[0].split(':').collect();
        assert_eq!((first.len(), first[2]), (3, class), "{file}: {ranked:?}");
        let score = |text: &str| text.split(':').next().unwrap().parse::<f32>().unwrap();
        assert!(score(&ranked[0]) >= score(&ranked[1]), "{ranked:?}");
    }
    let metadata = ModelMetadataRequest { name: "surface-defects".into(), version: String::new() };
    let metadata = client.model_metadata(metadata).await.unwrap().into_inner();
    assert_eq!(metadata.inputs[0].shape, [-1, 3, 64, 64]);
}

#[tokio::test]
async fn an_image_that_cannot_be_decoded_fails_alone() {
    let workspace = Workspace::new();
    workspace.add_shipped();
    let server = workspace.server().ready().await;
    let good = shipped_image("ok-000004.jpg");
    let mut bomb = good.clone();
    let frame = bomb.windows(2).position(|two| matches!(two, [0xff, 0xc0..=0xc2])).unwrap();
    bomb[frame + 5..frame + 9].fill(0xff);
    let text = b"<html>404 Not Found</html>".to_vec();
    for (what, bytes) in
        [("truncated", good[..good.len() / 3].to_vec()), ("bomb", bomb), ("text", text), ("nothing", Vec::new())]
    {
        let bystander = {
            let (mut client, request) = (server.client(), encoded(&good));
            tokio::spawn(async move { infer(&mut client, request).await })
        };
        let status = infer(&mut server.client(), encoded(&bytes)).await.unwrap_err();
        eprintln!("{what}: {status}");
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
        assert!(status.message().contains("surface-defects") && status.message().contains("image"), "{what}: {status}");
        bystander.await.unwrap().unwrap();
    }
    let mut client = server.client();
    for (case, raw, says) in [
        ("no length", good[..3].to_vec(), "length prefix"),
        ("too long", [&200u32.to_le_bytes()[..], b"short"].concat(), "says it is 200 bytes long"),
    ] {
        let status =
            infer(&mut client, tensor_request("surface-defects", "image", "BYTES", &[1], raw)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{case}");
        assert!(status.message().contains(says), "{case}: {status}");
    }
}

#[tokio::test]
async fn a_stream_answers_in_order_and_survives_errors() {
    let workspace = models();
    let server = workspace.server().ready().await;
    let requests: Vec<_> = (0..10)
        .map(|index| {
            changed(|request| {
                request.id = format!("part-{index}");
                let choice = ParameterChoice::BoolParam(true);
                request.parameters.insert("triton_enable_empty_final_response".into(), parameter(choice));
                if index % 3 == 1 {
                    request.inputs[0].name = "picture".into();
                }
            })
        })
        .collect();
    let answers = server.client().model_stream_infer(tokio_stream::iter(requests)).await.unwrap();
    let mut answers = answers.into_inner();
    for index in 0..10 {
        let answer = answers.message().await.unwrap().expect("one answer for each request");
        let response = answer.infer_response.unwrap();
        assert_eq!(response.id, format!("part-{index}"));
        if index % 3 == 1 {
            assert!(answer.error_message.contains("'picture'"), "{}", answer.error_message);
        } else {
            assert_eq!(answer.error_message, "");
            assert_eq!(response.raw_output_contents[0].len(), 16);
            let last = &response.parameters["triton_final_response"].parameter_choice;
            assert_eq!(*last, Some(ParameterChoice::BoolParam(true)));
        }
    }
    assert!(answers.message().await.unwrap().is_none());
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

/// A POSIX shared memory object, gone with the test.
struct Region(std::path::PathBuf);

impl Drop for Region {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn tensors_travel_through_system_shared_memory() {
    let workspace = models();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let values: Vec<u8> = (0..768).flat_map(|index| (index as f32).cos().to_le_bytes()).collect();
    let key = format!("/takt-e2e-{}", std::process::id());
    let region = Region(std::path::PathBuf::from("/dev/shm").join(&key[1..]));
    fs::write(&region.0, [&values[..], &[0xee; 64]].concat()).unwrap();
    let register = SystemSharedMemoryRegisterRequest { name: "frames".into(), key, offset: 0, byte_size: 3072 + 64 };
    client.system_shared_memory_register(register.clone()).await.unwrap();
    assert_eq!(client.system_shared_memory_register(register).await.unwrap_err().code(), Code::InvalidArgument);
    let status = client.system_shared_memory_status(SystemSharedMemoryStatusRequest::default()).await.unwrap();
    assert_eq!(status.into_inner().regions["frames"].byte_size, 3136);

    let place = |offset: i64, size: i64| {
        [
            ("shared_memory_region", ParameterChoice::StringParam("frames".into())),
            ("shared_memory_offset", ParameterChoice::Int64Param(offset)),
            ("shared_memory_byte_size", ParameterChoice::Int64Param(size)),
        ]
    };
    let mut request = image("m", 1);
    request.raw_input_contents.clear();
    request.inputs[0].parameters =
        place(0, 3072).into_iter().map(|(key, choice)| (key.to_owned(), parameter(choice))).collect();
    request.outputs = vec![output("logits", &place(3072, 16))];
    let answer = infer(&mut client, request).await.unwrap();
    assert!(answer.raw_output_contents.iter().all(Bytes::is_empty), "{answer:?}");
    let there = fs::read(&region.0).unwrap();
    let inline = infer(&mut client, tensor_request("m", "image", "FP32", &[1, 3, 16, 16], values)).await.unwrap();
    assert_eq!(there[3072..3088], inline.raw_output_contents[0][..]);
    assert_eq!(there[3088..], [0xee; 48], "nothing is written beyond the output");

    let mut small = image("m", 1);
    small.outputs = vec![output("logits", &place(3072, 8))];
    let status = infer(&mut client, small).await.unwrap_err();
    assert!(status.message().contains("at least 16 bytes"), "{status}");
    client
        .system_shared_memory_unregister(SystemSharedMemoryUnregisterRequest { name: "frames".into() })
        .await
        .unwrap();
    let status = client.system_shared_memory_status(SystemSharedMemoryStatusRequest::default()).await.unwrap();
    assert!(status.into_inner().regions.is_empty());
}
