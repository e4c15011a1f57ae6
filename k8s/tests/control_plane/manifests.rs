//! Everything below `deploy/`, as `kubectl apply -k` would send it, held against the API server by a dry run; kinds that it does not
//! know are held against a schema.

use std::process::Command;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, discovery};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::place::Place;

const KUSTOMIZATIONS: [&str; 5] = ["overlays/cluster", "overlays/namespaced", "monitoring", "availability", "samples"];

/// What the operator of Prometheus reads of the parts of its resources that are used here.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PodMonitorSpec {
    selector: k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    pod_metrics_endpoints: Vec<PodMetricsEndpoint>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PodMetricsEndpoint {
    port: String,
    path: String,
    interval: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrometheusRuleSpec {
    groups: Vec<RuleGroup>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleGroup {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<String>,
    expr: String,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasts: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Value>,
}

/// Resources as kubectl makes them of a folder; `None`, and a line that says why, without kubectl.
fn kustomized(folder: &str) -> Option<Vec<Value>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder);
    let Ok(output) = Command::new("kubectl").arg("kustomize").arg(&path).output() else {
        eprintln!("SKIPPED {folder}: kubectl is not on the path");
        return None;
    };
    assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_takes_every_manifest() {
    let Some(place) = Place::find("manifests").await else { return };
    for folder in KUSTOMIZATIONS {
        let Some(resources) = kustomized(folder) else { break };
        for resource in resources {
            let name = format!("{folder}: {} {}", resource["kind"], resource["metadata"]["name"]);
            dry_run(&place, &name, resource).await;
        }
    }
    place.clear().await;
}

async fn dry_run(place: &Place, name: &str, mut resource: Value) {
    let (group, version) = match resource["apiVersion"].as_str().unwrap() {
        text if text.contains('/') => text.split_once('/').unwrap(),
        version => ("", version),
    };
    let gvk = GroupVersionKind::gvk(group, version, resource["kind"].as_str().unwrap());
    let Ok((kind, capabilities)) = discovery::pinned_kind(&place.client, &gvk).await else {
        return held_against_its_schema(name, &resource);
    };
    let namespaced = matches!(capabilities.scope, discovery::Scope::Namespaced);
    // A dry run makes no namespace: that of the test stands in for it. And a name that is taken is no fault of a manifest.
    resource["metadata"]["name"] = format!("dry-{}", resource["metadata"]["name"].as_str().unwrap()).into();
    if kind.kind == "CustomResourceDefinition" {
        return definition_is_installed(place, name, &resource).await;
    }
    if namespaced {
        resource["metadata"]["namespace"] = place.namespace.clone().into();
    }
    let object: DynamicObject = serde_json::from_value(resource).unwrap();
    let api: Api<DynamicObject> = if namespaced {
        Api::namespaced_with(place.client.clone(), &place.namespace, &kind)
    } else {
        Api::all_with(place.client.clone(), &kind)
    };
    let params = PostParams { dry_run: true, field_manager: None };
    api.create(&params, &object).await.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Definitions were installed by the test itself: here only that they are the same.
async fn definition_is_installed(place: &Place, name: &str, resource: &Value) {
    let plural = resource["spec"]["names"]["plural"].as_str().unwrap();
    let api: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        Api::all(place.client.clone());
    let found = api.get(&format!("{plural}.takt.dev")).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(found.spec.names.kind, resource["spec"]["names"]["kind"].as_str().unwrap());
}

/// A field that the schema does not know is lost on the way through it.
fn held_against_its_schema(name: &str, resource: &Value) {
    let spec = &resource["spec"];
    match resource["kind"].as_str().unwrap() {
        "PodDisruptionBudget" => same::<PodDisruptionBudget>(name, resource),
        "HorizontalPodAutoscaler" => same::<HorizontalPodAutoscaler>(name, resource),
        "PodMonitor" => same::<PodMonitorSpec>(name, spec),
        "PrometheusRule" => same::<PrometheusRuleSpec>(name, spec),
        _ => panic!("{name}: the API server does not know it, and there is no schema for it here"),
    }
}

fn same<K: DeserializeOwned + Serialize>(name: &str, given: &Value) {
    let read: K = serde_json::from_value(given.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(serde_json::to_value(read).unwrap(), *given, "{name}");
}
