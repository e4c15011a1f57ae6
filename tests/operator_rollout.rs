//! `takt operator run` and `takt serve` as processes, with a real Kubernetes control plane between them. Servers stand in for pods:
//! the test plays the kubelet, marks pods ready and says where their ports are. The operator has the rights that are shipped,
//! and no others.
//!
//! Runs where `TAKT_TEST_KUBE` names a kubeconfig (`tests/run` starts a control plane), and says so where it does not.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a panic is how a test fails, also in its helpers; figures are for who reads its output"
)]

#[path = "../k8s/tests/control_plane/place.rs"]
mod place;
mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use place::{Place, eventually};
use serde_json::{Value, json};
use support::rollouts::{Load, serving, status, two_versions};
use support::{Server, Workspace};
use takt_operator::crd::ModelRollout;
use takt_proto::rollout::Rollout;

/// What a rollout needs in a minute of a test: a failure rate below 8 % is not worth comparing, and steps last as long as their
/// gates need.
fn plan(dwell: &str) -> Value {
    json!({
        "progressDeadline": "10m",
        "shadow": {"share": 20, "units": 100, "budget": "5m"},
        "steps": [
            {"weight": 5, "minDwell": dwell, "maxDuration": "5m"},
            {"weight": 20, "minDwell": dwell, "maxDuration": "5m"},
        ],
        "gates": {"errors": {"negligible": "8 %", "ceiling": "20 %"}, "latency": {"enabled": false}},
        "bake": {"duration": "3s", "holdback": 2},
    })
}

/// The same without copies: a fault of the candidate meets clients.
fn plan_without_shadow(dwell: &str) -> Value {
    let mut plan = plan(dwell);
    plan["shadow"] = json!({"enabled": false});
    plan["gates"]["disagreement"] = json!({"enabled": false});
    plan["gates"]["drift"] = json!({"enabled": false});
    plan
}

/// A device: a server with version 1 in service, version 2 beside it, and clients.
struct Device {
    workspace: Workspace,
    server: Server,
    load: Load,
}

impl Device {
    async fn start(place: &Place, name: &str, fault: &str) -> Self {
        let workspace = two_versions();
        let server = serving(&workspace, fault).await;
        place.pod(name, server.address()).await;
        let load = Load::start(&server, false);
        Self { workspace, server, load }
    }

    async fn rollout(&self) -> Option<Rollout> {
        status(&self.server).await
    }

    async fn serves(&self) -> u64 {
        support::version_of(&mut self.server.client(), "m").await.unwrap()
    }

    /// No request was lost; how many the candidate answered.
    async fn end(self) -> u64 {
        let (_, canary) = self.load.end().await;
        drop(self.server);
        drop(self.workspace);
        canary
    }
}

/// An operator; killed when dropped, its log shown if the test fails.
struct Operator {
    child: Child,
    log: PathBuf,
}

impl Operator {
    fn start(place: &Place, kubeconfig: &Path) -> Self {
        let log = kubeconfig.with_extension("log");
        let stderr = File::options().create(true).append(true).open(&log).unwrap();
        let namespace = place.namespace.as_str();
        let child = Command::new(env!("CARGO_BIN_EXE_takt"))
            .args(["operator", "run", "--namespace", namespace, "--lease-namespace", namespace])
            .args(["--lease-duration-secs", "3", "--listen", "127.0.0.1:0"])
            .env("KUBECONFIG", kubeconfig)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of the operator ----\n{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

fn phase(object: &ModelRollout) -> &str {
    object.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("none")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_candidate_reaches_every_device_though_the_operator_is_killed_in_every_phase() {
    let Some(place) = Place::find("good").await else { return };
    let devices = [Device::start(&place, "one", "").await, Device::start(&place, "two", "").await];
    let kubeconfig = place.as_operator().await;
    let mut operator = Operator::start(&place, &kubeconfig);
    place.rollout(json!({"model": "m", "plan": plan("1s")})).await;
    let (mut seen, mut shares) = (BTreeSet::new(), [BTreeSet::new(), BTreeSet::new()]);
    let begun = Instant::now();
    loop {
        for (shares, device) in shares.iter_mut().zip(&devices) {
            shares.extend(device.rollout().await.map(|rollout| (rollout.weight * 100.0).round() as u64));
        }
        let object = place.read().await;
        let phase = phase(&object).to_owned();
        assert!(!["RolledBack", "Degraded"].contains(&phase.as_str()), "{phase}: {:#?}", object.status);
        assert!(begun.elapsed() < Duration::from_secs(180), "{:#?}", object.status);
        if phase == "Succeeded" {
            break;
        }
        if phase != "none" && seen.insert(phase) {
            operator.kill();
            operator = Operator::start(&place, &kubeconfig);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("{:?}, killed in {seen:?}, shares {shares:?}", begun.elapsed());
    assert!(seen.contains("Stepping"), "{seen:?}");
    for shares in &shares {
        assert!(shares.is_superset(&BTreeSet::from([5, 20, 100])), "{shares:?}");
    }
    for device in devices {
        assert_eq!(device.serves().await, 2);
        let audit = std::fs::read_to_string(device.workspace.path("state/rollouts/audit.jsonl")).unwrap();
        assert_eq!(audit.matches("\"succeeded\"").count(), 1, "begun once: {audit}");
        assert!(device.end().await > 0);
    }
    drop(operator);
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_candidate_is_taken_back_and_never_reaches_the_second_device() {
    let Some(place) = Place::find("bad").await else { return };
    let fault = "m/2=error@run:40-1000000";
    let devices = [Device::start(&place, "one", fault).await, Device::start(&place, "two", fault).await];
    let kubeconfig = place.as_operator().await;
    let operator = Operator::start(&place, &kubeconfig);
    place.rollout(json!({"model": "m", "plan": plan_without_shadow("200ms")})).await;
    let begun = Instant::now();
    let (mut verdict, mut told) = (None, None);
    while told.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{:#?}", place.read().await.status);
        for device in &devices {
            let back = device.rollout().await.is_some_and(|rollout| rollout.phase == "rolled_back");
            verdict = verdict.or(back.then(Instant::now));
        }
        let devices = place.read().await.status.and_then(|status| status.fleet).unwrap_or_default().devices;
        told = devices.iter().any(|device| device.standing == "failed").then(Instant::now);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("from the device's verdict to the status: {:?}", told.unwrap() - verdict.unwrap());
    let object = place.until_phase("RolledBack").await;
    let status = object.status.unwrap();
    let fleet = status.fleet.unwrap();
    let cause = fleet.cause.unwrap();
    assert!(["evidence", "too_many_failed"].contains(&cause.as_str()), "{cause}");
    let begun: Vec<bool> = fleet.devices.iter().map(|device| device.rollout.is_some()).collect();
    assert_eq!(begun.iter().filter(|begun| **begun).count(), 1, "{:?}", fleet.devices);
    for device in devices {
        assert_eq!(device.serves().await, 1);
        assert!(device.rollout().await.is_none_or(|rollout| rollout.weight == 0.0));
        device.end().await;
    }
    drop(operator);
    place.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_is_deleted_under_way_leaves_stable_alone() {
    let Some(place) = Place::find("deleted-under-way").await else { return };
    let device = Device::start(&place, "one", "").await;
    let kubeconfig = place.as_operator().await;
    let operator = Operator::start(&place, &kubeconfig);
    place.rollout(json!({"model": "m", "plan": plan_without_shadow("4m")})).await;
    place
        .until("5 % of clients", |object| {
            object.status.as_ref().is_some_and(|now| now.weight.as_deref() == Some("5 %"))
        })
        .await;
    place.rollouts().delete("surface-2", &DeleteParams::default()).await.unwrap();
    eventually(|| async { place.rollouts().get_opt("surface-2").await.unwrap().is_none().then_some(()) })
        .await
        .expect("it goes");
    let rollout = device.rollout().await.unwrap();
    assert_eq!((rollout.phase.as_str(), rollout.weight), ("rolled_back", 0.0));
    assert_eq!(device.serves().await, 1);
    device.end().await;
    drop(operator);
    place.clear().await;
}
