//! What the operator does when the API server says no. The server is a mock that the test answers for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value, reason = "tests")]

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use takt_operator::crd::{FINALIZER, ModelRollout};
use takt_operator::hands::events::Teller;
use takt_operator::hands::{Cluster, ClusterError, Devices};
use takt_operator::lead::Leadership;
use takt_operator::reconcile::{Context, Pace, ReconcileError, reconcile_rollout};
use takt_operator::run::metrics::Metrics;
use tower_test::mock::{self, Handle};

type Api = Handle<Request<Body>, Response<Body>>;

fn context(term: i64) -> (Arc<Context>, Api) {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "default");
    let teller = Teller::new(client.clone(), "test");
    let leadership = Leadership::always(term);
    let metrics = Metrics::new().unwrap();
    let context = Context::new(Cluster::new(client), Devices::default(), teller, leadership, metrics, Pace::default());
    (Arc::new(context), handle)
}

fn rollout(patch: Value) -> Arc<ModelRollout> {
    let mut object = json!({
        "apiVersion": "takt.dev/v1alpha1", "kind": "ModelRollout",
        "metadata": {
            "name": "r", "namespace": "n", "uid": "u", "resourceVersion": "7", "generation": 1, "finalizers": [FINALIZER]
        },
        "spec": {"selector": {"app": "takt"}, "model": "surface", "candidate": {"version": 2}}
    });
    merge(&mut object, &patch);
    Arc::new(serde_json::from_value(object).unwrap())
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            patch.iter().for_each(|(key, value)| merge(into.entry(key.clone()).or_insert(Value::Null), value));
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// Takes the next request and answers it; what was asked, as method, path and body.
async fn answer(api: &mut Api, status: u16, body: Value) -> (String, String, Value) {
    let (request, send) = api.next_request().await.expect("a request");
    let (parts, asked) = request.into_parts();
    let bytes = asked.collect().await.unwrap().to_bytes();
    let asked = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    send.send_response(response.body(Body::from(body.to_string().into_bytes())).unwrap());
    (parts.method.to_string(), parts.uri.path().to_owned(), asked)
}

fn no(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": "x"})
}

fn no_pods() -> Value {
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []})
}

#[tokio::test]
async fn a_status_is_written_for_the_version_that_was_read_and_a_conflict_is_no_failure() {
    let (context, mut api) = context(1);
    let look = tokio::spawn(reconcile_rollout(rollout(json!({})), context));
    let (_, path, _) = answer(&mut api, 200, no_pods()).await;
    assert_eq!(path, "/api/v1/namespaces/n/pods");
    let (method, path, body) = answer(&mut api, 409, no(409, "the object has been modified")).await;
    assert_eq!(
        (method.as_str(), path.as_str()),
        ("PATCH", "/apis/takt.dev/v1alpha1/namespaces/n/modelrollouts/r/status")
    );
    assert_eq!(body["metadata"]["resourceVersion"], "7");
    assert_eq!(body["status"]["phase"], "Held");
    let error = look.await.unwrap().unwrap_err();
    assert!(matches!(error, ReconcileError::Cluster(ClusterError::Conflict)), "{error}");
}

#[tokio::test]
async fn what_is_not_allowed_names_the_role() {
    let (context, mut api) = context(1);
    let look = tokio::spawn(reconcile_rollout(rollout(json!({})), context));
    answer(&mut api, 403, no(403, "pods is forbidden")).await;
    let error = look.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), "forbidden");
    assert!(error.to_string().contains("pods is forbidden") && error.to_string().contains("Role"), "{error}");
}

#[tokio::test]
async fn an_api_server_that_is_overrun_is_asked_again_later() {
    let (context, mut api) = context(1);
    let look = tokio::spawn(reconcile_rollout(rollout(json!({})), context));
    answer(&mut api, 500, no(500, "etcd is gone")).await;
    assert_eq!(look.await.unwrap().unwrap_err().kind(), "unreachable");
}

#[tokio::test]
async fn who_reads_a_later_term_than_its_own_asks_and_writes_nothing() {
    let (context, mut api) = context(3);
    let look = reconcile_rollout(rollout(json!({"status": {"term": 4}})), context).await;
    assert!(matches!(look.unwrap_err(), ReconcileError::Fenced { theirs: 4, ours: 3 }));
    assert!(api.next_request().await.is_none(), "no request was made");
}

#[tokio::test]
async fn a_rollout_is_held_before_any_device_is_asked() {
    let (context, mut api) = context(1);
    let object = rollout(json!({"metadata": {"finalizers": ["other/one"]}}));
    let look = tokio::spawn(reconcile_rollout(Arc::clone(&object), context));
    let (method, path, body) = answer(&mut api, 200, serde_json::to_value(object.as_ref()).unwrap()).await;
    assert_eq!((method.as_str(), path.as_str()), ("PATCH", "/apis/takt.dev/v1alpha1/namespaces/n/modelrollouts/r"));
    assert_eq!(body["metadata"]["finalizers"], json!(["other/one", FINALIZER]));
    assert_eq!(body["metadata"]["resourceVersion"], "7");
    look.await.unwrap().unwrap();
    assert!(api.next_request().await.is_none(), "and nothing else");
}

#[tokio::test]
async fn what_has_ended_is_not_looked_at_again() {
    let (context, mut api) = context(1);
    let goal = takt_operator::spec::Rollout::try_from(rollout(json!({})).as_ref()).unwrap().want.goal;
    let status = json!({"status": {"observedGeneration": 1, "fleet": {"course": "succeeded", "goal": goal}}});
    reconcile_rollout(rollout(status), context).await.unwrap();
    assert!(api.next_request().await.is_none(), "no request was made");
}

#[tokio::test]
async fn a_fault_of_the_spec_is_written_into_the_status_and_told() {
    let (context, mut api) = context(1);
    let object = rollout(json!({"spec": {"candidate": {"version": 0}}}));
    let look = tokio::spawn(reconcile_rollout(Arc::clone(&object), context));
    let (_, _, body) = answer(&mut api, 200, serde_json::to_value(object.as_ref()).unwrap()).await;
    let conditions = body["status"]["conditions"].as_array().unwrap();
    let valid = conditions.iter().find(|condition| condition["type"] == "SpecValid").unwrap();
    assert_eq!((valid["status"].as_str(), valid["reason"].as_str()), (Some("False"), Some("Faults")));
    assert!(valid["message"].as_str().unwrap().contains("spec.candidate.version: found 0"));
    let (_, path, event) = answer(&mut api, 201, json!({})).await;
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/n/events");
    assert_eq!((event["type"].as_str(), event["reason"].as_str()), (Some("Warning"), Some("SpecInvalid")));
    look.await.unwrap().unwrap();
}
