//! What a client gets: tensors, classes, streams.

use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::*;
use tonic::Code;

use crate::support::{Workspace, encoded, floats, infer, output, parameter, shipped_image, tensor, tensor_request};
use crate::{changed, models, typed};

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
