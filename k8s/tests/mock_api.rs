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
    let reason = if code == 404 { "NotFound" } else { "x" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, "reason": reason})
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

fn between_services(patch: Value) -> Arc<ModelRollout> {
    let mut object = serde_json::to_value(rollout(json!({})).as_ref()).unwrap();
    object["spec"] = json!({
        "model": "surface", "candidate": {"version": 2}, "layer": "GRPCRoute",
        "route": {"name": "line", "stableService": "old", "canaryService": "new"}
    });
    merge(&mut object, &patch);
    Arc::new(serde_json::from_value(object).unwrap())
}

/// Answers a look at a route, whose parts are asked for at once, until something is written; what that was.
async fn looked_at(api: &mut Api, object: &ModelRollout, canary: u64) -> (String, Value) {
    let says = |kind: &str| json!({"type": kind, "status": "True"});
    let route = json!({
        "metadata": {"name": "line"},
        "spec": {"rules": [{"backendRefs": [{"name": "old", "weight": 100 - canary}, {"name": "new", "weight": canary}]}]},
        "status": {"parents": [{"conditions": [says("Accepted"), says("ResolvedRefs")]}]}
    });
    loop {
        let (request, send) = api.next_request().await.expect("a request");
        let (parts, asked) = request.into_parts();
        let (method, path) = (parts.method.as_str().to_owned(), parts.uri.path().to_owned());
        let bytes = asked.collect().await.unwrap().to_bytes();
        let reply = match path.rsplit('/').next().unwrap() {
            _ if method != "GET" => serde_json::to_value(object).unwrap(),
            "line" => route.clone(),
            "pods" => no_pods(),
            name => json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}}}),
        };
        send.send_response(Response::new(Body::from(reply.to_string().into_bytes())));
        if method != "GET" {
            return (path, serde_json::from_slice(&bytes).unwrap());
        }
    }
}

#[tokio::test]
async fn a_weight_is_changed_after_the_status_and_only_if_it_is_still_what_was_read() {
    let (context, mut api) = context(1);
    let object = between_services(json!({}));
    let look = tokio::spawn(reconcile_rollout(Arc::clone(&object), context));
    let (path, body) = looked_at(&mut api, &object, 30).await;
    assert!(path.ends_with("/modelrollouts/r/status"), "{path}");
    assert_eq!((&body["status"]["phase"], &body["status"]["weight"]), (&json!("Validating"), &json!("0 %")));
    let (path, body) = looked_at(&mut api, &object, 30).await;
    assert_eq!(path, "/apis/gateway.networking.k8s.io/v1/namespaces/n/grpcroutes/line");
    let at = "/spec/rules/0/backendRefs";
    let expected = json!([
        {"op": "test", "path": format!("{at}/0/name"), "value": "old"},
        {"op": "test", "path": format!("{at}/0/weight"), "value": 70},
        {"op": "add", "path": format!("{at}/0/weight"), "value": 100},
        {"op": "test", "path": format!("{at}/1/name"), "value": "new"},
        {"op": "test", "path": format!("{at}/1/weight"), "value": 30},
        {"op": "add", "path": format!("{at}/1/weight"), "value": 0}
    ]);
    assert_eq!(body, expected);
    let (path, event) = looked_at(&mut api, &object, 0).await;
    assert!(path.ends_with("/events"), "{path}");
    assert_eq!(event["reason"], "Validating");
    look.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_route_that_somebody_changed_meanwhile_is_told_and_tried_again() {
    let (context, mut api) = context(1);
    let object = between_services(json!({}));
    let look = tokio::spawn(reconcile_rollout(Arc::clone(&object), context));
    looked_at(&mut api, &object, 30).await;
    let (method, _, _) = answer(&mut api, 422, no(422, "the test failed")).await;
    assert_eq!(method, "PATCH");
    let (_, _, event) = answer(&mut api, 201, json!({})).await;
    assert_eq!((event["type"].as_str(), event["reason"].as_str()), (Some("Warning"), Some("WeightNotSet")));
    assert!(event["note"].as_str().unwrap().contains("somebody changed it meanwhile"), "{event}");
    answer(&mut api, 201, json!({})).await;
    look.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_route_that_is_not_there_is_a_word_in_the_status_and_no_error() {
    let (context, mut api) = context(1);
    let object = between_services(json!({}));
    let look = tokio::spawn(reconcile_rollout(Arc::clone(&object), context));
    let status = loop {
        let (request, send) = api.next_request().await.expect("a request");
        let (parts, asked) = request.into_parts();
        let bytes = asked.collect().await.unwrap().to_bytes();
        let (status, reply) = match (parts.method.as_str(), parts.uri.path().rsplit('/').next().unwrap()) {
            ("PATCH", "status") => (200, serde_json::to_value(object.as_ref()).unwrap()),
            ("POST", _) => (201, json!({})),
            _ => (404, no(404, "not found")),
        };
        let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
        send.send_response(response.body(Body::from(reply.to_string().into_bytes())).unwrap());
        if parts.method == "PATCH" {
            break serde_json::from_slice::<Value>(&bytes).unwrap()["status"].clone();
        }
    };
    assert!(status["why"].as_str().unwrap().contains("GRPCRoute 'line' is not there"), "{status}");
    let fresh =
        status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == "DataFresh").unwrap();
    assert_eq!(fresh["status"], "False");
    answer(&mut api, 201, json!({})).await;
    look.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_layer_cannot_change_while_the_candidate_may_have_traffic() {
    let (context, mut api) = context(1);
    let object = between_services(json!({}));
    let look = tokio::spawn(reconcile_rollout(Arc::clone(&object), Arc::clone(&context)));
    let (_, body) = looked_at(&mut api, &object, 0).await;
    looked_at(&mut api, &object, 0).await;
    look.await.unwrap().unwrap();
    let inside =
        json!({"spec": {"selector": {"app": "takt"}}, "metadata": {"generation": 2}, "status": body["status"]});
    let object = rollout(inside);
    let look = tokio::spawn(reconcile_rollout(Arc::clone(&object), context));
    let (path, body) = looked_at(&mut api, &object, 0).await;
    assert!(path.ends_with("/modelrollouts/r/status"), "{path}");
    let why = body["status"]["why"].as_str().unwrap();
    assert!(why.contains("spec.layer: found InProcess, expected GRPCRoute"), "{why}");
    assert_eq!(body["status"]["route"]["name"], "line", "what the route has is not forgotten");
    looked_at(&mut api, &object, 0).await;
    look.await.unwrap().unwrap();
}
