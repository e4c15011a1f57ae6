//! Rollouts through the binary, under load: good candidates go all the way, bad ones are taken back and no request is lost.
//! Times are short; the code is the one that takes hours on a line.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::semicolon_if_nothing_returned,
    reason = "a panic is how a test fails, also in its helpers; figures are for who reads its output"
)]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Client, SOON, Server, Workspace, image, test_model};
use takt_proto::inference::ModelInferRequest;
use takt_proto::rollout::control_request::Action;
use takt_proto::rollout::rollouts_client::RolloutsClient;
use takt_proto::rollout::{ControlRequest, GetRequest, Rollout, StartRequest};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// Everything that a rollout needs in a minute of a test: a failure rate below 5 % is not worth comparing, and steps last as
/// long as their gates need.
const PLAN: &str = r#"
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
fn without_shadow() -> String {
    let plan = PLAN.replace("[shadow]\nshare = 20\nunits = 100\nbudget = \"5m\"", "[shadow]\nenabled = false");
    assert!(plan.contains("enabled = false\n[[steps]]"), "{plan}");
    plan + "[gates.disagreement]\nenabled = false\n[gates.drift]\nenabled = false\n"
}

/// Model `m` with version 1, and version 2 that waits. Both are the same network under two digests.
fn two_versions() -> Workspace {
    let workspace = Workspace::new();
    workspace.configure("m", "max_batch_size = 4\non_new_version = \"ignore\"\n");
    workspace.add_bytes("m", 1, &named("one"));
    workspace
}

/// The classifier with another `doc_string` (field 6 of ModelProto), and with it another digest.
fn named(name: &str) -> Vec<u8> {
    let mut onnx = std::fs::read(test_model("classifier")).unwrap();
    onnx.extend([6 << 3 | 2, u8::try_from(name.len()).unwrap()]);
    onnx.extend(name.as_bytes());
    onnx
}

async fn serving(workspace: &Workspace, fault: &str) -> Server {
    let server = workspace.server().fault(fault).ready().await;
    workspace.add_bytes("m", 2, &named("two"));
    support::index_shows(&mut server.client(), "m", 2, |line| line.state == "UNAVAILABLE").await;
    server
}

fn rollouts(server: &Server) -> RolloutsClient<Channel> {
    RolloutsClient::new(server.channel())
}

async fn start(server: &Server, plan: &str) -> Rollout {
    begin(server, plan, false).await.unwrap()
}

async fn begin(server: &Server, plan: &str, retry: bool) -> Result<Rollout, tonic::Status> {
    let request = StartRequest { model: "m".into(), candidate: 2, plan_toml: plan.into(), retry, dry_run: false };
    rollouts(server).start(request).await.map(tonic::Response::into_inner)
}

async fn status(server: &Server) -> Option<Rollout> {
    let found = rollouts(server).get(GetRequest { model: "m".into() }).await.ok()?;
    found.into_inner().rollouts.pop()
}

async fn control(server: &Server, action: Action) -> Result<Rollout, tonic::Status> {
    let request = ControlRequest { model: "m".into(), action: action.into(), reason: "a test".into() };
    rollouts(server).control(request).await.map(tonic::Response::into_inner)
}

/// Waits for a phase.
async fn until(server: &Server, phase: &str) -> Rollout {
    until_one_of(server, &[phase]).await
}

async fn until_one_of(server: &Server, phases: &[&str]) -> Rollout {
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
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    canary: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

/// Stations whose images differ, and how long each takes from part to part.
const STATIONS: usize = 4;
const BETWEEN_PARTS: Duration = Duration::from_millis(2);

impl Load {
    /// `retries` is for faults that end the process: then a client that cannot try again loses its request.
    fn start(server: &Server, retries: bool) -> Self {
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
    async fn end(self) -> (u64, u64) {
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
                Err(status) if retries && support::can_retry(&status) && begun.elapsed() < SOON => {
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

fn of_part(station: usize, part: u32) -> Request<ModelInferRequest> {
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

fn progress(rollout: &Rollout) -> Value {
    serde_json::from_str(&rollout.progress_json).unwrap()
}

/// A candidate was taken back: stable alone answers, and the candidate stays refused whatever is done.
async fn is_taken_back(server: &Server, workspace: &Workspace, because: &str) -> Rollout {
    let rollout = until(server, "rolled_back").await;
    assert!(rollout.reason.contains(because), "{}", rollout.reason);
    assert_eq!(rollout.weight, 0.0);
    let mut client = server.client();
    support::answers_again(&mut client, "m").await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_candidate_goes_all_the_way_by_itself() {
    let workspace = two_versions();
    let server = serving(&workspace, "").await;
    let load = Load::start(&server, false);
    let begun = start(&server, PLAN).await;
    assert_eq!((begun.stable, begun.candidate), (1, 2));
    let mut shares: Vec<f64> = Vec::new();
    let watching = Instant::now();
    loop {
        let rollout = status(&server).await.unwrap();
        if shares.last() != Some(&rollout.weight) {
            shares.push(rollout.weight);
        }
        if rollout.phase == "succeeded" {
            break;
        }
        assert_ne!(rollout.phase, "rolled_back", "{}", rollout.reason);
        assert!(watching.elapsed() < 3 * SOON, "{rollout:#?}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(shares.is_sorted(), "weights only rise: {shares:?}");
    for share in [0.0, 0.05, 0.2, 0.98, 1.0] {
        assert!(shares.contains(&share), "{share} is missing in {shares:?}");
    }
    let (asked, canary) = load.end().await;
    eprintln!("{asked} requests, {canary} by the candidate, {:?}", watching.elapsed());
    let answer = server.client().model_infer(of_part(0, 1)).await.unwrap();
    assert_eq!(answer.get_ref().model_version, "2");
    support::index_shows(&mut server.client(), "m", 1, |line| line.state == "UNAVAILABLE").await;
    // After a restart it is still the one that serves.
    server.stop().await;
    let server = workspace.server().ready().await;
    assert_eq!(support::version_of(&mut server.client(), "m").await.unwrap(), 2);
    let audit = std::fs::read_to_string(workspace.path("state/rollouts/audit.jsonl")).unwrap();
    let steps: Vec<String> = audit
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["to"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(steps.last().map(String::as_str), Some("succeeded"), "{steps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_whose_runs_fail_is_taken_back_and_no_request_is_lost() {
    let workspace = two_versions();
    let server = serving(&workspace, "m/2=error@run:40-1000000").await;
    let load = Load::start(&server, false);
    start(&server, &without_shadow()).await;
    let rollout = is_taken_back(&server, &workspace, "units").await;
    let (asked, canary) = load.end().await;
    let progress = progress(&rollout);
    let took = &progress["progress"]["rollback"];
    eprintln!("{asked} requests, {canary} by the candidate, rollback {took}");
    let (decided, zero) = (took["decided"].as_u64().unwrap(), took["zero"].as_u64().unwrap());
    assert!(zero >= decided);
    assert!(took["exposed"].as_u64().unwrap() >= canary);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_number_takes_the_candidate_out_at_once() {
    let workspace = two_versions();
    let server = serving(&workspace, "m/2=nan@rows:0.01").await;
    let load = Load::start(&server, false);
    start(&server, &without_shadow()).await;
    is_taken_back(&server, &workspace, "not finite or had the wrong shape").await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_another_shape_takes_the_candidate_out_at_once() {
    let workspace = two_versions();
    let server = serving(&workspace, "m/2=short@run:60-1000000").await;
    let load = Load::start(&server, false);
    start(&server, &without_shadow()).await;
    is_taken_back(&server, &workspace, "not finite or had the wrong shape").await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_answers_otherwise_never_sees_a_client() {
    let workspace = two_versions();
    let server = serving(&workspace, "m/2=wrong@rows:0.2").await;
    let load = Load::start(&server, false);
    start(&server, PLAN).await;
    until(&server, "shadowing").await;
    is_taken_back(&server, &workspace, "disagreement").await;
    let (asked, canary) = load.end().await;
    eprintln!("{asked} requests");
    assert_eq!(canary, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_that_both_versions_fail_on_takes_nobody_back() {
    let workspace = two_versions();
    // Both fail on the same rows.
    let server = serving(&workspace, "m/=nan@rows:0.05").await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut client = server.client();
    let stopping = Arc::clone(&stop);
    let load = tokio::spawn(async move {
        let (mut good, mut bad) = (0_u32, 0_u32);
        for part in 0.. {
            if stopping.load(Relaxed) {
                break;
            }
            match client.model_infer(of_part(0, part)).await {
                Ok(_) => good += 1,
                Err(status) => {
                    assert_eq!(status.code(), Code::Internal, "{status}");
                    bad += 1;
                }
            }
        }
        (good, bad)
    });
    start(&server, &without_shadow()).await;
    let rollout = until_one_of(&server, &["succeeded", "rolled_back"]).await;
    stop.store(true, Relaxed);
    let (good, bad) = load.await.unwrap();
    eprintln!("{good} good answers, {bad} failures that are the input's");
    assert!(bad > 20);
    assert_eq!(rollout.phase, "succeeded", "{}", rollout.reason);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_takes_its_process_along_does_it_once() {
    let workspace = two_versions();
    support::index_shows(&mut workspace.server().ready().await.client(), "m", 1, |line| line.state == "READY").await;
    let server = serving(&workspace, "m/2=abort@run:40").await;
    support::version_of(&mut server.client(), "m").await.unwrap();
    let load = Load::start(&server, true);
    start(&server, &without_shadow()).await;
    let rollout = until(&server, "rolled_back").await;
    assert!(rollout.reason.contains("process"), "{}", rollout.reason);
    tokio::time::sleep(Duration::from_millis(300)).await;
    load.end().await;
    assert_eq!(support::version_of(&mut server.client(), "m").await.unwrap(), 1);
    assert_eq!(server.times_logged("worker died"), server.times_logged("worker died").min(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_pause_resume_promote_and_abort() {
    let workspace = two_versions();
    let server = serving(&workspace, "").await;
    assert_eq!(control(&server, Action::Abort).await.unwrap_err().code(), Code::NotFound);
    let slow = without_shadow().replace("min_dwell = \"200ms\"", "min_dwell = \"4m\"");
    let load = Load::start(&server, false);
    start(&server, &slow).await;
    until(&server, "stepping").await;
    let busy = begin(&server, &slow, false).await.unwrap_err();
    assert!(busy.message().contains("under way"), "{busy}");
    let held = control(&server, Action::Pause).await.unwrap();
    assert_eq!((held.phase.as_str(), held.weight), ("held", 0.05));
    assert_eq!(control(&server, Action::Resume).await.unwrap().phase, "stepping");
    control(&server, Action::Promote).await.unwrap();
    until(&server, "baking").await;
    control(&server, Action::Abort).await.unwrap();
    let back = is_taken_back(&server, &workspace, "a person aborted it").await;
    assert_eq!(control(&server, Action::Abort).await.unwrap().id, back.id, "nothing in flight is nothing to do");
    load.end().await;
    assert_eq!(begin(&server, &slow, true).await.unwrap().candidate, 2, "until somebody says that it is mended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_in_the_middle_goes_on_or_goes_back_never_forward() {
    let workspace = two_versions();
    let mut server = serving(&workspace, "").await;
    support::version_of(&mut server.client(), "m").await.unwrap();
    let slow = without_shadow().replace("min_dwell = \"200ms\"", "min_dwell = \"4m\"");
    start(&server, &slow).await;
    until(&server, "stepping").await;
    let load = Load::start(&server, false);
    tokio::time::sleep(Duration::from_millis(500)).await;
    load.end().await;
    server.kill_all();
    let server = workspace.server().ready().await;
    assert_eq!(support::version_of(&mut server.client(), "m").await.unwrap(), 1, "stable comes up first");
    let rollout = until_one_of(&server, &["stepping", "rolled_back"]).await;
    assert!(rollout.weight <= 0.05);
    assert_eq!(rollout.candidate, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_is_rolled_out_by_itself_where_the_model_says_so() {
    let workspace = two_versions();
    workspace.configure("m", &format!("max_batch_size = 4\non_new_version = \"rollout\"\n{}", under_rollout(PLAN)));
    let server = workspace.server().ready().await;
    let load = Load::start(&server, false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    workspace.add_bytes("m", 2, &named("two"));
    let rollout = until(&server, "succeeded").await;
    assert_eq!(rollout.candidate, 2);
    load.end().await;
}

/// A plan as the table `[rollout]` of `model.toml`.
fn under_rollout(plan: &str) -> String {
    let mut text = String::from("[rollout]\n");
    for line in plan.lines() {
        let line = match line.strip_prefix("[[") {
            Some(rest) => format!("[[rollout.{rest}"),
            None => line.strip_prefix('[').map_or_else(|| line.to_owned(), |rest| format!("[rollout.{rest}")),
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_begin_says_why() {
    let workspace = two_versions();
    let server = serving(&workspace, "").await;
    let ask = |model: &str, candidate: u64, plan: &str| {
        let request =
            StartRequest { model: model.into(), candidate, plan_toml: plan.into(), retry: false, dry_run: false };
        let mut client = rollouts(&server);
        async move { client.start(request).await.unwrap_err() }
    };
    let status = ask("other", 2, "").await;
    assert!(status.code() == Code::NotFound && status.message().contains("known: m"), "{status}");
    let status = ask("m", 7, "").await;
    assert!(status.code() == Code::NotFound && status.message().contains("version 7"), "{status}");
    let status = ask("m", 1, "").await;
    assert!(status.message().contains("serves already"), "{status}");
    let status = ask("m", 2, "alpha = 3\n[bake]\nholdback = 50\n").await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("alpha") && status.message().contains("bake.holdback"), "all faults: {status}");
    let status = ask("m", 2, "stepps = 3\n").await;
    assert!(status.message().contains("stepps"), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shows_what_is_going_on() {
    let workspace = two_versions();
    let server = serving(&workspace, "").await;
    let takt = |args: &[&str]| {
        let url = server.address().to_string();
        let output =
            Command::new(env!("CARGO_BIN_EXE_takt")).arg("rollout").args(args).args(["--url", &url]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let plan = workspace.path("plan.toml");
    std::fs::write(&plan, without_shadow().replace("min_dwell = \"200ms\"", "min_dwell = \"4m\"")).unwrap();
    let (code, out, err) = takt(&["start", "m", "--candidate", "2", "--plan", plan.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("m: version 2 is tried beside version 1") && out.contains("stepping"), "{out}");
    until(&server, "stepping").await;
    let (code, out, _) = takt(&["status", "m", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report[0]["progress"]["desired"].as_f64()), (Some(0), Some(0.05)));
    let metrics = support::get(server.announced("metrics").unwrap(), "/metrics");
    for name in ["takt_rollout_phase", "takt_rollout_shadow_copies", "takt_rollout_weight_desired"] {
        assert!(metrics.lines().any(|line| line.starts_with(&format!("{name}{{"))), "{name} is missing in {metrics}");
    }
    let (code, out, _) = takt(&["abort", "m", "--reason", "enough"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("a person aborted it"), "{out}");
    let (code, out, _) = takt(&["status", "--watch"]);
    assert_eq!(code, Some(3), "{out}");
    let audit = std::fs::read_to_string(workspace.path("state/rollouts/audit.jsonl")).unwrap();
    assert!(audit.contains("abort: enough"), "{audit}");
}
