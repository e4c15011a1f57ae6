//! How a client is told what is wrong.

use bytes::Bytes;
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::*;
use tonic::Code;

use crate::support::{image, infer, output, parameter, tensor_request, version_of};
use crate::{changed, models, typed};

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
