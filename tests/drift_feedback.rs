//! Labels, from the inspector to the rates: over both protocols, twice, late, and across a crash.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, also in its helpers; logs are for who reads its output"
)]

mod support;

use serde_json::{Value, json};
use takt_proto::feedback::feedback_client::FeedbackClient;
use takt_proto::feedback::{Label, Part, ReportRequest, label};
use tonic::Code;

use support::{Server, Workspace, encoded, eventually, get, post, shipped_image};

async fn launch(workspace: &Workspace) -> Server {
    workspace.server().setting("[monitor]\npane_ms = 200").ready().await
}

/// Shows an image of the shipped ones as a part of station `a`; gives the prediction's id.
async fn inspect(server: &Server, image: &str, part: &str) -> String {
    let mut request = tonic::Request::new(encoded(&shipped_image(image)));
    request.metadata_mut().insert("x-station-id", "a".parse().unwrap());
    request.metadata_mut().insert("x-part-id", part.parse().unwrap());
    let answer = server.client().model_infer(request).await.unwrap();
    answer.metadata().get("x-takt-prediction-id").unwrap().to_str().unwrap().to_owned()
}

fn label(by: &Value, verdict: &Value, at: u64) -> String {
    json!({ "schema": 1, "by": by, "verdict": verdict, "inspector": "ada", "at": at }).to_string()
}

/// The quality of the shipped model, once it satisfies `look`.
async fn quality(server: &Server, what: &str, look: impl Fn(&Value) -> bool) -> Value {
    let address = server.announced("HTTP").unwrap();
    let found = || {
        let report: Value = serde_json::from_str(&get(address, "/monitor")).unwrap();
        let quality = report["quality"]["rates"]["models"][0]["quality"].clone();
        look(&quality).then_some(quality)
    };
    eventually(what, found).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_are_joined_once_whatever_their_way_and_survive_a_crash() {
    let workspace = Workspace::new();
    workspace.add_shipped();
    let mut server = launch(&workspace).await;
    let scratch = inspect(&server, "scratch-000002.jpg", "p1").await;
    inspect(&server, "hole-000013.jpg", "p2").await;
    inspect(&server, "ok-000004.jpg", "p3").await;

    let http = server.announced("HTTP").unwrap();
    let good = label(&json!({ "prediction": scratch }), &json!("good"), 1_000);
    assert_eq!(post(http, "/feedback", &good), (200, r#"{"added":1,"known":0,"revised":0}"#.to_owned()));
    assert_eq!(post(http, "/feedback", &good), (200, r#"{"added":0,"known":1,"revised":0}"#.to_owned()), "sent twice");
    let hole = Label {
        by: Some(label::By::Part(Part { station: "a".into(), part_id: "p2".into() })),
        verdict: Some(label::Verdict::Class("hole".into())),
        inspector: "ada".into(),
        at_unix_ms: 0,
    };
    let mut client = FeedbackClient::new(server.channel());
    let answer = client.report(ReportRequest { labels: vec![hole.clone(), hole] }).await.unwrap().into_inner();
    assert_eq!((answer.added, answer.known), (1, 1));

    let labelled = |quality: &Value| quality["counts"]["flagged"]["defect"] == 1;
    let found = quality(&server, "both labels count", labelled).await;
    assert_eq!(found["counts"]["flagged"]["good"], 1, "{found:#}");
    assert_eq!(found["counts"]["passed"]["unlabelled"], 1);
    assert_eq!(found["escapes"]["unknown"], "no_audit", "without an audit of good parts nobody knows");
    let rejects = &found["false_rejects"]["known"];
    assert!((rejects["rate"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-9, "{rejects}");
    assert!(rejects["upper"].as_f64().unwrap() > 0.8, "three parts are little: {rejects}");
    let metrics = get(server.announced("metrics").unwrap(), "/metrics");
    let line = "takt_false_reject_ratio{model=\"surface-defects\",station=\"a\"} 0.3333";
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.contains("takt_labels_total{result=\"new\"} 2"), "{metrics}");
    assert!(metrics.contains("takt_false_reject_lower_bound{model=\"surface-defects\",station=\"*\"}"), "{metrics}");
    assert!(!metrics.contains("takt_escape_ratio{"), "what is not known has no sample");

    let report: Value = serde_json::from_str(&get(http, "/monitor")).unwrap();
    // The first flagged image was kept, and the label made it worth more. Whether the second came within the half second that
    // follows is the machine's affair.
    assert_eq!(report["quality"]["captured_images"]["reasons"]["false_reject"], 1, "{report:#}");

    // What the store had a second ago survives the power cut; the prediction log is read back by its own tests.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    server.kill_all();
    let server = launch(&workspace).await;
    let after = quality(&server, "the store was read", labelled).await;
    assert_eq!(after, found);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_label_that_makes_no_sense_says_what_is_wrong_and_takes_nothing() {
    let workspace = Workspace::new();
    workspace.add_shipped();
    let server = launch(&workspace).await;
    let http = server.announced("HTTP").unwrap();
    let good = label(&json!({ "part": { "station": "a", "part_id": "1" } }), &json!("good"), 1);
    let span = |from: u64, until: u64| {
        label(&json!({ "span": { "station": "a", "from": from, "until": until } }), &json!("defect"), 1)
    };
    for (body, parts) in [
        (String::new(), ["found 0 labels", "1 to 1000"]),
        (format!("{good}\n{{\"schema\":1}}"), ["line 2", "missing field"]),
        (span(5, 5), ["by.span", "an end after its beginning"]),
        (label(&json!({ "prediction": "x" }), &json!("good"), 1), ["prediction id", "26 characters"]),
    ] {
        let (status, message) = post(http, "/feedback", &body);
        assert_eq!(status, 400, "{message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?} in {message}");
    }
    let mut client = FeedbackClient::new(server.channel());
    let nobody = Label {
        by: Some(label::By::PredictionId("01ARZ3NDEKTSV4RRFFQ69G5FAV".into())),
        verdict: Some(label::Verdict::Good(true)),
        ..Label::default()
    };
    for (labels, part) in [
        (vec![Label::default()], "labels[0]: says nothing of what was judged"),
        (vec![nobody.clone()], "labels[0]: inspector"),
        (vec![nobody; 1001], "found 1001 labels"),
    ] {
        let status = client.report(ReportRequest { labels }).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(part), "{part} in {}", status.message());
    }
    let report: Value = serde_json::from_str(&get(http, "/monitor")).unwrap();
    assert_eq!(report["quality"]["labels"]["added"], 0);
    server.stop().await;
}
