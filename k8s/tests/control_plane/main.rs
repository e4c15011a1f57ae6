//! The operator against a real control plane: `TAKT_TEST_KUBE` names the kubeconfig of one that tests may write to. Devices are
//! small servers in this process that speak the servers' rollout API.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod device;
mod kube;

use std::time::Duration;

use ::kube::api::{DeleteParams, Patch, PatchParams};
use ::kube::{Api, Client, ResourceExt};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::json;
use takt_operator::crd::{FINALIZER, ModelRollout, ModelServer};
use takt_operator::run::{RunError, Settings, run};
use takt_rollout::{Phase, Stage};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::device::Device;
use self::kube::{Place, eventually};

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
    grant(&place).await;
    let devices = place.devices(3).await;
    let operator = Operator::start(place.as_operator().await, place.settings("a"));
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
    let devices = place.devices(3).await;
    let operator = Operator::start(place.client.clone(), place.settings("a"));
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
    let devices = place.devices(2).await;
    let operator = Operator::start(place.client.clone(), place.settings("a"));
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
    let devices = place.devices(4).await;
    place.rollout(json!({"fleet": {"waves": [1, 2]}})).await;
    let mut life = 0_u64;
    let ended = eventually(|| {
        life += 1;
        let (place, devices) = (&place, &devices);
        async move {
            // The same identity: a new life needs no lease to run out.
            let operator = Operator::start(place.client.clone(), place.settings("a"));
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
    let devices = place.devices(1).await;
    let leases: Api<Lease> = Api::namespaced(place.client.clone(), &place.namespace);
    let holder = || async {
        let lease = leases.get_opt("takt-operator").await.unwrap()?.spec?;
        Some((lease.holder_identity.filter(|holder| !holder.is_empty())?, lease.lease_transitions?))
    };
    let first = Operator::start(place.client.clone(), place.settings("first"));
    assert_eq!(eventually(holder).await.unwrap(), ("first".to_owned(), 1));
    let second = Operator::start(place.client.clone(), place.settings("second"));
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
    let operator = Operator::start(place.client.clone(), place.settings("a"));
    place.rollout(json!({"plan": {"maxAge": "soon"}})).await;
    let object = place.until("not valid", |object| condition(object, "SpecValid") == Some("False")).await;
    assert!(object.status.unwrap().why.unwrap().contains("spec.plan.maxAge"));
    place.patch(json!({"plan": {"maxAge": "1m"}})).await;
    place.until("valid", |object| condition(object, "SpecValid") == Some("True")).await;
    operator.end().await;
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_has_its_children_and_keeps_them_against_foreign_edits() {
    let Some(place) = Place::find("server").await else { return };
    let operator = Operator::start(place.client.clone(), place.settings("a"));
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
    operator.end().await;
    place.clear().await;
}

/// Grants the operator's service account what `deploy/` grants it.
async fn grant(place: &Place) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    let role: ClusterRole = serde_saphyr::from_str(&read("operator/rules.yaml")).unwrap();
    let roles: Api<ClusterRole> = Api::all(place.client.clone());
    roles.patch("takt-operator", &PatchParams::apply("test").force(), &Patch::Apply(&role)).await.unwrap();
    let lease = read("operator/lease.yaml");
    let (lease_role, lease_binding) = lease.split_once("\n---\n").unwrap();
    let lease_role: k8s_openapi::api::rbac::v1::Role = serde_saphyr::from_str(lease_role).unwrap();
    let bindings = [lease_binding.to_owned(), read("overlays/namespaced/binding.yaml")];
    let all: Api<k8s_openapi::api::rbac::v1::Role> = Api::namespaced(place.client.clone(), &place.namespace);
    all.patch("takt-operator-lease", &PatchParams::apply("test").force(), &Patch::Apply(&lease_role)).await.unwrap();
    let api: Api<RoleBinding> = Api::namespaced(place.client.clone(), &place.namespace);
    for text in bindings {
        let mut binding: RoleBinding = serde_saphyr::from_str(&text).unwrap();
        for subject in binding.subjects.iter_mut().flatten() {
            subject.namespace = Some(place.namespace.clone());
        }
        let name = binding.name_any();
        api.patch(&name, &PatchParams::apply("test").force(), &Patch::Apply(&binding)).await.unwrap();
    }
}
