//! The operator against a real control plane: `TAKT_TEST_KUBE` names the kubeconfig of one that tests may write to. Devices are
//! small servers in this process that speak the servers' rollout API.
#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value, clippy::print_stderr, reason = "tests")]

mod device;
mod manifests;
mod place;
mod route;

use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use takt_operator::crd::{FINALIZER, ModelRollout, ModelServer};
use takt_operator::lead::Terms;
use takt_operator::reconcile::Pace;
use takt_operator::run::{RunError, Settings, run};
use takt_rollout::{Phase, Stage};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::device::Device;
use self::place::{Place, client, eventually};

/// An operator in this process: told to end, or killed.
struct Operator {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), RunError>>,
}

impl Operator {
    fn start(client: Client, settings: Settings) -> Self {
        let (stop, stopped) = oneshot::channel();
        let end = async {
            let _ = stopped.await;
        };
        Self { stop: Some(stop), task: tokio::spawn(run(client, settings, end)) }
    }

    async fn end(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("it ends").unwrap().unwrap();
    }

    fn kill(self) {
        self.task.abort();
    }
}

/// A quick operator that looks after one namespace.
fn settings(place: &Place, identity: &str) -> Settings {
    let terms = Terms {
        namespace: place.namespace.clone(),
        identity: identity.to_owned(),
        expires: Duration::from_secs(3),
        renew: Duration::from_millis(500),
        ..Terms::default()
    };
    let pace = Pace {
        at_work: Duration::from_millis(200),
        waiting: Duration::from_millis(300),
        figures: Duration::from_secs(2),
        queries: Duration::from_millis(300),
    };
    Settings {
        namespace: Some(place.namespace.clone()),
        terms,
        listen: ([127, 0, 0, 1], 0).into(),
        pace,
        prometheus: None,
    }
}

/// Devices, each with a pod that is ready and has the device's address.
async fn devices_of(place: &Place, count: usize) -> Vec<Device> {
    let mut devices = Vec::new();
    for i in 0..count {
        let device = Device::start().await;
        place.pod(&format!("device-{i}"), device.address).await;
        devices.push(device);
    }
    devices
}

fn move_all(devices: &[Device], from: &Phase, to: &Phase) {
    for device in devices {
        device.with(|memory| {
            if memory.phase.as_ref() == Some(from) {
                memory.phase = Some(to.clone());
            }
        });
    }
}

fn condition<'a>(object: &'a ModelRollout, kind: &str) -> Option<&'a str> {
    let status = object.status.as_ref()?;
    status.conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.status.as_str())
}

const STEPPING: Phase = Phase::Running(Stage::Stepping(0));
const BAKING: Phase = Phase::Running(Stage::Baking);

async fn begun(devices: &[Device]) -> usize {
    devices.iter().filter(|device| device.phase().is_some()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_are_structural_and_refuse_what_has_the_wrong_form() {
    let Some(place) = Place::find("definitions").await else { return };
    let definitions: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    for name in ["modelrollouts.takt.dev", "modelservers.takt.dev"] {
        let conditions = definitions.get(name).await.unwrap().status.unwrap().conditions.unwrap_or_default();
        let bad = conditions.iter().find(|condition| condition.type_ == "NonStructuralSchema");
        assert!(bad.is_none(), "{name}: {bad:?}");
    }
    let wrong = json!({
        "apiVersion": "takt.dev/v1alpha1", "kind": "ModelRollout", "metadata": {"name": "wrong"},
        "spec": {"model": "m", "candidate": {"version": 0}, "layer": "Mesh"}
    });
    let patch = Patch::Apply(&wrong);
    let error = place.rollouts().patch("wrong", &PatchParams::apply("test"), &patch).await.unwrap_err().to_string();
    assert!(error.contains("spec.candidate.version") && error.contains("spec.layer"), "{error}");
    place.clear().await;
}

/// The whole way, with the rights of the shipped rules and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_goes_wave_by_wave_over_all_devices_with_the_rights_that_are_shipped() {
    let Some(place) = Place::find("waves").await else { return };
    let devices = devices_of(&place, 3).await;
    let operator = Operator::start(client(&place.as_operator().await).await, settings(&place, "a"));
    place.rollout(json!({})).await;
    eventually(|| async { (begun(&devices).await == 1).then_some(()) }).await.expect("one device begins");
    let object = place.until_phase("Stepping").await;
    assert_eq!(condition(&object, "Progressing"), Some("True"));
    assert!(object.finalizers().iter().any(|finalizer| finalizer == FINALIZER));
    assert_eq!(begun(&devices).await, 1, "the first wave is one device");
    move_all(&devices, &STEPPING, &BAKING);
    eventually(|| async { (begun(&devices).await == 3).then_some(()) }).await.expect("all begin");
    eventually(|| async {
        move_all(&devices, &STEPPING, &BAKING);
        move_all(&devices, &BAKING, &Phase::Succeeded);
        devices.iter().all(|device| device.phase() == Some(Phase::Succeeded)).then_some(())
    })
    .await
    .expect("all succeed");
    let object = place.until_phase("Succeeded").await;
    assert_eq!((condition(&object, "Promoted"), condition(&object, "Ready")), (Some("True"), Some("True")));
    assert_eq!(object.status.as_ref().unwrap().summary.as_deref(), Some("3/3"));
    assert!(devices.iter().all(|device| device.with(|memory| memory.starts) == 1));

    // Steady: nothing is written any more.
    let version = place.read().await.resource_version();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(place.read().await.resource_version(), version, "a write without a change");

    place.rollouts().delete("surface-2", &DeleteParams::default()).await.unwrap();
    let gone = || async { place.rollouts().get_opt("surface-2").await.unwrap().is_none().then_some(()) };
    eventually(gone).await.expect("what has ended is let go");
    operator.end().await;
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_devices_suspect_together_takes_the_candidate_back_everywhere() {
    let Some(place) = Place::find("evidence").await else { return };
    let devices = devices_of(&place, 3).await;
    let operator = Operator::start(place.client.clone(), settings(&place, "a"));
    place.rollout(json!({"fleet": {"waves": []}})).await;
    eventually(|| async { (begun(&devices).await == 3).then_some(()) }).await.expect("all begin");
    for device in &devices {
        device.with(|memory| memory.ln_e = 2.0);
    }
    let object = place.until_phase("RolledBack").await;
    assert!(devices.iter().all(|device| device.phase() == Some(Phase::RolledBack)));
    let fleet = object.status.as_ref().unwrap().fleet.clone().unwrap();
    assert_eq!((fleet.cause.as_deref(), fleet.gates[0].log_e.as_str()), (Some("evidence"), "6.0000"));
    assert_eq!(condition(&object, "Promoted"), Some("False"));
    operator.end().await;
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_deleted_half_way_goes_when_its_devices_have_gone_back() {
    let Some(place) = Place::find("deleted").await else { return };
    let devices = devices_of(&place, 2).await;
    let operator = Operator::start(place.client.clone(), settings(&place, "a"));
    place.rollout(json!({"fleet": {"waves": []}})).await;
    eventually(|| async { (begun(&devices).await == 2).then_some(()) }).await.expect("all begin");
    place.rollouts().delete("surface-2", &DeleteParams::default()).await.unwrap();
    let gone = || async { place.rollouts().get_opt("surface-2").await.unwrap().is_none().then_some(()) };
    eventually(gone).await.expect("it goes");
    assert!(devices.iter().all(|device| device.phase() == Some(Phase::RolledBack)));
    operator.end().await;
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_is_killed_again_and_again_begins_no_device_twice() {
    let Some(place) = Place::find("killed").await else { return };
    let devices = devices_of(&place, 4).await;
    place.rollout(json!({"fleet": {"waves": [1, 2]}})).await;
    let mut life = 0_u64;
    let ended = eventually(|| {
        life += 1;
        let (place, devices) = (&place, &devices);
        async move {
            // The same identity: a new life needs no lease to run out.
            let operator = Operator::start(place.client.clone(), settings(place, "a"));
            tokio::time::sleep(Duration::from_millis(150 * (1 + life % 7))).await;
            operator.kill();
            move_all(devices, &BAKING, &Phase::Succeeded);
            move_all(devices, &STEPPING, &BAKING);
            let phase = place.read().await.status.unwrap_or_default().phase;
            (phase.as_deref() == Some("Succeeded")).then_some(())
        }
    });
    ended.await.expect("it succeeds all the same");
    let starts: Vec<u32> = devices.iter().map(|device| device.with(|memory| memory.starts)).collect();
    assert_eq!(starts, [1, 1, 1, 1]);
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_operators_one_leads_and_the_other_takes_over_under_a_later_term() {
    let Some(place) = Place::find("lease").await else { return };
    let devices = devices_of(&place, 1).await;
    let leases: Api<Lease> = Api::namespaced(place.client.clone(), &place.namespace);
    let holder = || async {
        let lease = leases.get_opt("takt-operator").await.unwrap()?.spec?;
        Some((lease.holder_identity.filter(|holder| !holder.is_empty())?, lease.lease_transitions?))
    };
    let first = Operator::start(place.client.clone(), settings(&place, "first"));
    assert_eq!(eventually(holder).await.unwrap(), ("first".to_owned(), 1));
    let second = Operator::start(place.client.clone(), settings(&place, "second"));
    place.rollout(json!({})).await;
    eventually(|| async { (begun(&devices).await == 1).then_some(()) }).await.expect("it begins");
    assert_eq!(holder().await.unwrap().0, "first");
    // Killed: nobody gives the lease back.
    first.kill();
    let taken = eventually(|| async { holder().await.filter(|(holder, _)| holder == "second") }).await.unwrap();
    assert_eq!(taken.1, 2);
    move_all(&devices, &STEPPING, &Phase::Succeeded);
    let object = place.until_phase("Succeeded").await;
    assert_eq!(object.status.unwrap().term, Some(2));
    assert_eq!(devices[0].with(|memory| memory.starts), 1);
    second.end().await;
    assert!(holder().await.is_none(), "given back");
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_makes_no_sense_is_told_and_mended() {
    let Some(place) = Place::find("faults").await else { return };
    let operator = Operator::start(place.client.clone(), settings(&place, "a"));
    place.rollout(json!({"plan": {"maxAge": "soon"}})).await;
    let object = place.until("not valid", |object| condition(object, "SpecValid") == Some("False")).await;
    assert!(object.status.unwrap().why.unwrap().contains("spec.plan.maxAge"));
    place.patch(json!({"plan": {"maxAge": "1m"}})).await;
    place.until("valid", |object| condition(object, "SpecValid") == Some("True")).await;
    operator.end().await;
    place.clear().await;
}

/// The rules that the API server of 1.20 does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold_where_the_api_server_does_not_know_them() {
    let Some(place) = Place::find("rules").await else { return };
    let operator = Operator::start(place.client.clone(), settings(&place, "a"));
    let wrong = [
        ("neither", json!({"selector": null}), "spec.serverRef"),
        ("both", json!({"serverRef": {"name": "hall"}}), "spec.selector"),
        ("route", json!({"layer": "GRPCRoute"}), "spec.route: found nothing"),
        ("queries", json!({"plan": {"gates": {"metrics": [{"name": "heat", "query": "x", "ceiling": "3"}]}}}), "heat"),
    ];
    for (name, patch, told) in wrong {
        // A newer API server says no by itself.
        if place.try_rollout(name, patch).await.is_ok() {
            let object =
                place.until_of(name, "not valid", |object| condition(object, "SpecValid") == Some("False")).await;
            let why = object.status.unwrap().why.unwrap();
            assert!(why.contains(told), "{name}: {why}");
            assert!(object.metadata.finalizers.is_none(), "nothing is held for a rollout that does nothing");
        }
    }
    operator.end().await;
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_at_work_are_not_forgotten_when_the_rollout_looks_elsewhere() {
    let Some(place) = Place::find("elsewhere").await else { return };
    let devices = devices_of(&place, 2).await;
    let operator = Operator::start(place.client.clone(), settings(&place, "a"));
    place.rollout(json!({"fleet": {"waves": []}})).await;
    eventually(|| async { (begun(&devices).await == 2).then_some(()) }).await.expect("all begin");
    place.until_phase("Stepping").await;
    place.patch(json!({"selector": {"line": "b"}})).await;
    let object = place.until("refused", |object| condition(object, "SpecValid") == Some("False")).await;
    assert!(object.status.unwrap().why.unwrap().contains("line=a"));
    assert!(devices.iter().all(|device| device.phase() == Some(STEPPING)), "what is under way goes on");
    place.rollouts().delete("surface-2", &DeleteParams::default()).await.unwrap();
    let gone = || async { place.rollouts().get_opt("surface-2").await.unwrap().is_none().then_some(()) };
    eventually(gone).await.expect("it goes");
    assert!(devices.iter().all(|device| device.phase() == Some(Phase::RolledBack)));
    operator.end().await;
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_has_its_children_and_keeps_them_against_foreign_edits() {
    let Some(place) = Place::find("server").await else { return };
    let operator = Operator::start(place.client.clone(), settings(&place, "a"));
    let servers: Api<ModelServer> = Api::namespaced(place.client.clone(), &place.namespace);
    let make = |name: &str, workload: &str| {
        json!({
            "apiVersion": "takt.dev/v1alpha1", "kind": "ModelServer", "metadata": {"name": name},
            "spec": {"image": "takt:1", "workload": workload, "repository": {"hostPath": "/models"}, "gpu": {}}
        })
    };
    for (name, workload) in [("hall", "Deployment"), ("line", "DaemonSet")] {
        servers.patch(name, &PatchParams::apply("test"), &Patch::Apply(make(name, workload))).await.unwrap();
    }
    let deployments: Api<Deployment> = Api::namespaced(place.client.clone(), &place.namespace);
    let sets: Api<DaemonSet> = Api::namespaced(place.client.clone(), &place.namespace);
    let services: Api<Service> = Api::namespaced(place.client.clone(), &place.namespace);
    let image = |object: &Deployment| object.spec.clone().unwrap().template.spec.unwrap().containers[0].image.clone();
    let right = || async {
        let found = deployments.get_opt("hall").await.unwrap()?;
        (image(&found).as_deref() == Some("takt:1")).then_some(())
    };
    eventually(right).await.expect("a Deployment");
    eventually(|| async { sets.get_opt("line").await.unwrap() }).await.expect("a DaemonSet");
    eventually(|| async { services.get_opt("line").await.unwrap() }).await.expect("a Service");
    let edit = json!({"spec": {"template": {"spec": {"containers": [{"name": "takt", "image": "other"}]}}}});
    deployments.patch("hall", &PatchParams::default(), &Patch::Strategic(edit)).await.unwrap();
    eventually(right).await.expect("put right");
    let edit = json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}});
    services.patch("line", &PatchParams::default(), &Patch::Merge(edit)).await.unwrap();
    eventually(|| async {
        let selector = services.get("line").await.unwrap().spec?.selector?;
        (selector.get("app.kubernetes.io/instance")? == "line").then_some(())
    })
    .await
    .expect("the Service too");
    let edit = Patch::Merge(json!({"spec": {"workload": "DaemonSet"}}));
    // A newer API server says no by itself.
    if servers.patch("hall", &PatchParams::default(), &edit).await.is_ok() {
        eventually(|| async {
            let status = servers.get("hall").await.unwrap().status?;
            status.conditions.into_iter().find(|now| now.type_ == "SpecValid" && now.message.contains("spec.workload"))
        })
        .await
        .expect("a fault");
        assert!(sets.get_opt("hall").await.unwrap().is_none(), "no second workload beside the first");
    }
    operator.end().await;
    place.clear().await;
}
