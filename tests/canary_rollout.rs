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
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::SOON;
use support::rollouts::*;
use takt_proto::rollout::StartRequest;
use takt_proto::rollout::control_request::Action;
use tonic::Code;

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
    let server = serving(&workspace, "m/2=nan@rows:0.1").await;
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
