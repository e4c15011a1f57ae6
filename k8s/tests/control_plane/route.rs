//! A rollout between two Services: a real API server with a small GRPCRoute of its own, a gateway that takes every weight in, and a
//! Prometheus that has counted what the weights made of 20,000 requests between two scrapes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::device::Device;
use super::place::{Place, client, eventually};
use super::{Operator, condition, settings};

const REQUESTS: f64 = 20_000.0;

/// What the requests of one scrape became, by version.
#[derive(Default)]
struct Counted {
    scrapes: u64,
    answered: [f64; 2],
    failed: [f64; 2],
    /// Failures per request, of stable and of the candidate.
    failing: [f64; 2],
    /// Shares that were seen, in order.
    shares: Vec<f64>,
}

#[derive(Clone)]
struct Line {
    routes: Api<DynamicObject>,
    counted: Arc<Mutex<Counted>>,
}

fn grpc_route() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "GRPCRoute"))
}

impl Line {
    /// Installs the kind, makes route, Services and pods, and starts gateway and Prometheus. Gives where the latter is.
    async fn lay(place: &Place, failing: [f64; 2]) -> (Self, String) {
        let kind = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {
                "name": "grpcroutes.gateway.networking.k8s.io",
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests alone"}
            },
            "spec": {
                "group": "gateway.networking.k8s.io", "scope": "Namespaced",
                "names": {"kind": "GRPCRoute", "plural": "grpcroutes", "singular": "grpcroute"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
                }]
            }
        });
        let kinds: Api<CustomResourceDefinition> = Api::all(place.client.clone());
        let _ = kinds.create(&PostParams::default(), &serde_json::from_value(kind).unwrap()).await;
        await_condition(kinds, "grpcroutes.gateway.networking.k8s.io", is_crd_established()).await.unwrap();
        let routes: Api<DynamicObject> = Api::namespaced_with(place.client.clone(), &place.namespace, &grpc_route());
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "line"},
            "spec": {"parentRefs": [{"name": "edge"}], "rules": [
                {"matches": [{"headers": [{"name": "x-test", "value": "1"}]}], "backendRefs": [{"name": "new", "port": 8001}]},
                {"backendRefs": [{"name": "old", "port": 8001}, {"name": "new", "port": 8001, "weight": 0}]}
            ]}
        });
        routes.create(&PostParams::default(), &serde_json::from_value(route).unwrap()).await.unwrap();
        let services: Api<Service> = Api::namespaced(place.client.clone(), &place.namespace);
        for (name, version) in [("old", 1), ("new", 2)] {
            let service =
                json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 8001}]}});
            services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
            let device = Device::start().await;
            device.with(|memory| memory.serves = Some(version));
            place.pod_with(&format!("{name}-0"), device.address, json!({"app": name})).await;
        }
        let counted = Counted { failing, ..Counted::default() };
        let line = Self { routes, counted: Arc::new(Mutex::new(counted)) };
        tokio::spawn(line.clone().gateway());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/api/v1/query", get(answer)).with_state(line.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (line, url)
    }

    /// Takes every weight in as soon as it sees it.
    async fn gateway(self) {
        loop {
            if let Ok(route) = self.routes.get("line").await {
                let seen =
                    route.data.pointer("/status/parents/0/conditions/0/observedGeneration").and_then(Value::as_i64);
                if seen != route.metadata.generation {
                    let says = |kind: &str| json!({"type": kind, "status": "True", "observedGeneration": route.metadata.generation});
                    let parent =
                        json!({"parentRef": {"name": "edge"}, "conditions": [says("Accepted"), says("ResolvedRefs")]});
                    let patch = Patch::Merge(json!({"status": {"parents": [parent]}}));
                    let _ = self.routes.patch_status("line", &PatchParams::default(), &patch).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn weights(&self) -> (f64, f64) {
        let route = self.routes.get("line").await.unwrap();
        let weight = |backend: usize| {
            let weight = route.data.pointer(&format!("/spec/rules/1/backendRefs/{backend}/weight"));
            weight.and_then(Value::as_f64).unwrap_or(1.0)
        };
        (weight(0), weight(1))
    }

    async fn share(&self) -> f64 {
        let (stable, canary) = self.weights().await;
        canary / (stable + canary)
    }

    async fn scrape(&self) {
        let share = self.share().await;
        let mut counted = self.counted.lock().unwrap();
        counted.scrapes += 1;
        if counted.shares.last() != Some(&share) {
            counted.shares.push(share);
        }
        for (arm, share) in [1.0 - share, share].into_iter().enumerate() {
            let failed = (REQUESTS * share * counted.failing[arm]).floor();
            counted.failed[arm] += failed;
            counted.answered[arm] += (REQUESTS * share).floor() - failed;
        }
    }
}

/// Each look at the counters is a scrape; what is asked of a moment is when that was.
async fn answer(State(line): State<Line>, Query(asked): Query<HashMap<String, String>>) -> String {
    let times = asked["query"].starts_with("timestamp(");
    if !times {
        line.scrape().await;
    }
    let now = k8s_openapi::jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
    let at = asked.get("time").map_or(now, |time| time.parse().unwrap());
    let counted = line.counted.lock().unwrap();
    let mut result = Vec::new();
    for (arm, version) in ["1", "2"].into_iter().enumerate() {
        let mut add = |name: Option<&str>, value: f64| {
            let mut labels = json!({"model": "surface", "version": version, "pod": format!("pod-{version}")});
            if let Some(name) = name {
                labels["__name__"] = json!(name);
            }
            result.push(json!({"metric": labels, "value": [at, value.to_string()]}));
        };
        if times {
            // A scrape a second, by a clock of its own.
            add(None, 1e9 + counted.scrapes as f64);
        } else {
            add(Some("nv_inference_request_success"), counted.answered[arm]);
            add(Some("takt_failed_runs_total"), counted.failed[arm]);
        }
    }
    json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
}

fn asked() -> Value {
    json!({
        "selector": null, "layer": "GRPCRoute",
        "route": {"name": "line", "stableService": "old", "canaryService": "new"},
        // The scrapes are of another time.
        "plan": {"steps": [{"weight": 5, "minDwell": "1s"}, {"weight": 20, "minDwell": "1s"}],
            "bake": {"duration": "2s", "holdback": 5}, "maxAge": "10000d"}
    })
}

async fn operator(place: &Place, url: String) -> Operator {
    let settings = takt_operator::run::Settings { prometheus: Some(url), ..settings(place, "a") };
    Operator::start(client(&place.as_operator().await).await, settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_candidate_gets_the_route_with_the_rights_that_are_shipped() {
    let Some(place) = Place::find("route").await else { return };
    let (line, url) = Line::lay(&place, [0.001, 0.001]).await;
    let operator = operator(&place, url).await;
    place.rollout(asked()).await;
    let object = place.until_phase("Succeeded").await;
    assert_eq!((condition(&object, "Promoted"), condition(&object, "Ready")), (Some("True"), Some("True")));
    assert_eq!(line.share().await, 1.0);
    let shares: Vec<f64> = line.counted.lock().unwrap().shares.clone();
    let steps: Vec<f64> = shares.into_iter().filter(|share| [0.05, 0.2, 0.95].contains(share)).collect();
    assert_eq!(steps, [0.05, 0.2, 0.95]);
    let route = line.routes.get("line").await.unwrap();
    let foreign = json!([{"name": "new", "port": 8001}]);
    assert_eq!(route.data.pointer("/spec/rules/0/backendRefs"), Some(&foreign), "a rule that is not ours is as it was");
    let version = place.read().await.resource_version();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(place.read().await.resource_version(), version, "a write without a change");
    place.rollouts().delete("surface-2", &DeleteParams::default()).await.unwrap();
    let gone = || async { place.rollouts().get_opt("surface-2").await.unwrap().is_none().then_some(()) };
    eventually(gone).await.expect("what has ended is let go");
    assert_eq!(line.share().await, 1.0, "what has succeeded stays");
    operator.end().await;
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_fails_more_often_loses_the_route_also_when_the_operator_is_killed() {
    let Some(place) = Place::find("route-bad").await else { return };
    let (line, url) = Line::lay(&place, [0.001, 0.0]).await;
    let first = operator(&place, url.clone()).await;
    place.rollout(asked()).await;
    eventually(|| async { (line.share().await >= 0.05).then_some(()) }).await.expect("it gets weight");
    first.kill();
    line.counted.lock().unwrap().failing[1] = 0.05;
    let settings = takt_operator::run::Settings { prometheus: Some(url), ..settings(&place, "b") };
    let second = Operator::start(place.client.clone(), settings);
    let object = place.until_phase("RolledBack").await;
    assert_eq!(line.share().await, 0.0);
    let route = object.status.as_ref().unwrap().route.clone().unwrap();
    assert!(object.status.as_ref().unwrap().why.as_ref().unwrap().contains("errors"), "{:?}", object.status);
    assert_eq!((route.gates[0].gate.as_str(), route.name.as_str()), ("errors", "line"));
    second.end().await;
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_deleted_half_way_returns_its_weight_first() {
    let Some(place) = Place::find("route-deleted").await else { return };
    let (line, url) = Line::lay(&place, [0.0, 0.0]).await;
    let operator = operator(&place, url).await;
    let mut held = asked();
    held["plan"]["steps"][0]["minDwell"] = json!("1h");
    held["plan"]["steps"][0]["maxDuration"] = json!("2h");
    place.rollout(held).await;
    eventually(|| async { (line.share().await == 0.05).then_some(()) }).await.expect("it gets weight");
    place.rollouts().delete("surface-2", &DeleteParams::default()).await.unwrap();
    let gone = || async { place.rollouts().get_opt("surface-2").await.unwrap().is_none().then_some(()) };
    eventually(gone).await.expect("it goes");
    assert_eq!(line.share().await, 0.0);
    operator.end().await;
    place.clear().await;
}
