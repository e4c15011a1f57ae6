//! Rollouts under load: two versions of a model, clients that ask without pause, and the commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;
use takt_proto::inference::ModelInferRequest;
use takt_proto::rollout::control_request::Action;
use takt_proto::rollout::rollouts_client::RolloutsClient;
use takt_proto::rollout::{ControlRequest, GetRequest, Rollout, StartRequest};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request};

use super::{Client, SOON, Server, Workspace, answers_again, can_retry, image, index_shows, test_model};

/// Everything that a rollout needs in a minute of a test: a failure rate below 5 % is not worth comparing, and steps last as
/// long as their gates need.
pub const PLAN: &str = r#"
progress_deadline = "10m"
[shadow]
share = 20
units = 100
budget = "5m"
[[steps]]
weight = 5
min_dwell = "200ms"
budget = "5m"
[[steps]]
weight = 20
min_dwell = "200ms"
budget = "5m"
[gates.errors]
negligible = "8 %"
ceiling = "20 %"
[gates.latency]
enabled = false
[bake]
duration = "1s"
holdback = 2
"#;

/// Steps alone.
pub fn without_shadow() -> String {
    let plan = PLAN.replace("[shadow]\nshare = 20\nunits = 100\nbudget = \"5m\"", "[shadow]\nenabled = false");
    assert!(plan.contains("enabled = false\n[[steps]]"), "{plan}");
    plan + "[gates.disagreement]\nenabled = false\n[gates.drift]\nenabled = false\n"
}

/// Model `m` with version 1, and version 2 that waits. Both are the same network under two digests.
pub fn two_versions() -> Workspace {
    let workspace = Workspace::new();
    workspace.configure("m", "max_batch_size = 4\non_new_version = \"ignore\"\n");
    workspace.add_bytes("m", 1, &named("one"));
    workspace
}

/// The classifier with another `doc_string` (field 6 of ModelProto), and with it another digest.
pub fn named(name: &str) -> Vec<u8> {
    let mut onnx = std::fs::read(test_model("classifier")).unwrap();
    onnx.extend([6 << 3 | 2, u8::try_from(name.len()).unwrap()]);
    onnx.extend(name.as_bytes());
    onnx
}

pub async fn serving(workspace: &Workspace, fault: &str) -> Server {
    let server = workspace.server().fault(fault).ready().await;
    workspace.add_bytes("m", 2, &named("two"));
    index_shows(&mut server.client(), "m", 2, |line| line.state == "UNAVAILABLE").await;
    server
}

pub fn rollouts(server: &Server) -> RolloutsClient<Channel> {
    RolloutsClient::new(server.channel())
}

pub async fn start(server: &Server, plan: &str) -> Rollout {
    begin(server, plan, false).await.unwrap()
}

pub async fn begin(server: &Server, plan: &str, retry: bool) -> Result<Rollout, tonic::Status> {
    let request = StartRequest { model: "m".into(), candidate: 2, plan_toml: plan.into(), retry, dry_run: false };
    rollouts(server).start(request).await.map(tonic::Response::into_inner)
}

pub async fn status(server: &Server) -> Option<Rollout> {
    let found = rollouts(server).get(GetRequest { model: "m".into() }).await.ok()?;
    found.into_inner().rollouts.pop()
}

pub async fn control(server: &Server, action: Action) -> Result<Rollout, tonic::Status> {
    let request = ControlRequest { model: "m".into(), action: action.into(), reason: "a test".into() };
    rollouts(server).control(request).await.map(tonic::Response::into_inner)
}

/// Waits for a phase.
pub async fn until(server: &Server, phase: &str) -> Rollout {
    until_one_of(server, &[phase]).await
}

pub async fn until_one_of(server: &Server, phases: &[&str]) -> Rollout {
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < 2 * SOON {
        last = status(server).await.or(last);
        if let Some(rollout) = last.as_ref().filter(|rollout| phases.contains(&rollout.phase.as_str())) {
            return rollout.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for {phases:?}; last: {last:#?}\n{}", server.log());
}

/// Clients that ask without pause, each about parts of its own.
pub struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    canary: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

/// Stations whose images differ, and how long each takes from part to part.
pub const STATIONS: usize = 4;
const BETWEEN_PARTS: Duration = Duration::from_millis(2);

impl Load {
    /// `retries` is for faults that end the process: then a client that cannot try again loses its request.
    pub fn start(server: &Server, retries: bool) -> Self {
        let (stop, asked, canary) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::default());
        let mut clients = JoinSet::new();
        for station in 0..STATIONS {
            let client = server.client();
            let (stop, asked, canary) = (Arc::clone(&stop), Arc::clone(&asked), Arc::clone(&canary));
            clients.spawn(async move { ask(client, station, retries, &stop, &asked, &canary).await });
        }
        Self { stop, asked, canary, clients }
    }

    /// Ends it; gives how many were asked and how many the candidate answered. No request was lost.
    pub async fn end(self) -> (u64, u64) {
        self.stop.store(true, Relaxed);
        let lost: Vec<String> = self.clients.join_all().await.into_iter().flatten().collect();
        assert!(lost.is_empty(), "{} lost, such as {:?}", lost.len(), lost.first());
        (self.asked.load(Relaxed), self.canary.load(Relaxed))
    }
}

async fn ask(
    mut client: Client,
    station: usize,
    retries: bool,
    stop: &AtomicBool,
    asked: &AtomicU64,
    canary: &AtomicU64,
) -> Vec<String> {
    let mut lost = Vec::new();
    for part in 0_u32.. {
        if stop.load(Relaxed) {
            break;
        }
        let begun = Instant::now();
        loop {
            match client.model_infer(of_part(station, part)).await {
                Ok(answer) => {
                    let route = answer.metadata().get("x-takt-route").unwrap().to_str().unwrap();
                    // Also before there is a route, and after.
                    if route == "canary" || answer.get_ref().model_version == "2" {
                        canary.fetch_add(1, Relaxed);
                    }
                    break;
                }
                Err(status) if retries && can_retry(&status) && begun.elapsed() < SOON => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(status) => {
                    lost.push(status.to_string());
                    break;
                }
            }
        }
        asked.fetch_add(1, Relaxed);
        tokio::time::sleep(BETWEEN_PARTS).await;
    }
    lost
}

pub fn of_part(station: usize, part: u32) -> Request<ModelInferRequest> {
    let mut message = image("m", 1);
    // Every part looks a little different.
    let value = (part % 997) as f32 / 997.0 - 0.5;
    let raw: Vec<u8> = (0..3 * 16 * 16).flat_map(|i| (value * ((i % 7) as f32 - 3.0)).to_le_bytes()).collect();
    message.raw_input_contents = vec![raw.into()];
    let mut request = Request::new(message);
    let part = format!("{station}-{part}");
    request.metadata_mut().insert("x-part-id", part.parse().unwrap());
    request.metadata_mut().insert("x-station-id", format!("s{station}").parse().unwrap());
    request
}

pub fn progress(rollout: &Rollout) -> Value {
    serde_json::from_str(&rollout.progress_json).unwrap()
}

/// A candidate was taken back: stable alone answers, and the candidate stays refused whatever is done.
pub async fn is_taken_back(server: &Server, workspace: &Workspace, because: &str) -> Rollout {
    let rollout = until(server, "rolled_back").await;
    assert!(rollout.reason.contains(because), "{}", rollout.reason);
    assert_eq!(rollout.weight, 0.0);
    let mut client = server.client();
    answers_again(&mut client, "m").await;
    for part in 0..50 {
        let answer = client.model_infer(of_part(0, part)).await.unwrap();
        assert_eq!(answer.get_ref().model_version, "1");
    }
    // A touched file is no new version.
    workspace.configure("m", "max_batch_size = 4\non_new_version = \"rollout\"\n");
    let refused = begin(server, PLAN, false).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.message().contains("retry"), "{refused}");
    rollout
}
