//! Faults of all three sizes, done for real through the binary: a failing run, a dying worker, a killed server.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::semicolon_if_nothing_returned,
    reason = "a panic is how a test fails, also in its helpers; figures and logs are for who reads its output"
)]

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{
    Client, Server, Workspace, answers_again, can_retry, image, index_line, index_shows, infer, is_model_ready,
    is_ready, statistics, version_of,
};
use tonic::Code;

/// Within this a dead worker has to be replaced. The goal is 3 s; slow and busy test machines get more.
const REPLACED: Duration = Duration::from_secs(10);

/// The culprit and a model that has nothing to do with it.
fn two_models() -> Workspace {
    let workspace = Workspace::new();
    workspace.add_unwarmed("bad", 1, "classifier").add_unwarmed("good", 1, "classifier");
    workspace
}

/// A model whose version 1 is known to be good and whose version 2 has never been seen by the server.
async fn one_good_and_one_new_version() -> Workspace {
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier");
    known_to_be_good(&workspace, 1).await;
    workspace.add("m", 2, "nameless_batch");
    workspace
}

/// A life with good answers and a clean end, after which the version that serves counts as good.
async fn known_to_be_good(workspace: &Workspace, version: u64) {
    let server = workspace.server().ready().await;
    assert_eq!(version_of(&mut server.client(), "m").await.unwrap(), version);
    server.stop().await;
}

/// Asks the bystander without pause until told to stop; gives its longest time without an answer.
fn watch_bystander(server: &Server, stop: tokio::sync::oneshot::Receiver<()>) -> tokio::task::JoinHandle<Duration> {
    let mut client = server.client();
    tokio::spawn(async move {
        let mut stop = std::pin::pin!(stop);
        let (mut longest, mut last) = (Duration::ZERO, Instant::now());
        loop {
            tokio::select! {
                _ = &mut stop => return longest.max(last.elapsed()),
                answer = version_of(&mut client, "good") => {
                    if let Err(status) = answer {
                        assert!(can_retry(&status), "{status}");
                    } else {
                        longest = longest.max(last.elapsed());
                        last = Instant::now();
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

/// Does harm and holds both models to being back in time.
async fn both_come_back_after(server: &Server, what: &str, harm: impl AsyncFnOnce(&mut Client)) {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let bystander = watch_bystander(server, stopped);
    let mut client = server.client();
    harm(&mut client).await;
    let begun = Instant::now();
    while !is_model_ready(&mut client, "bad").await {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(begun.elapsed() < REPLACED, "'bad' is not back after {REPLACED:?}");
    }
    let away = begun.elapsed();
    answers_again(&mut server.client(), "good").await;
    stop.send(()).unwrap();
    let bystander = bystander.await.unwrap();
    eprintln!("{what}: back after {away:?}; the other model was away for {bystander:?}");
    assert!(bystander < REPLACED, "the other model was away for {bystander:?}");
}

#[tokio::test]
async fn an_abort_inside_a_run_costs_one_request_and_a_moment() {
    let workspace = two_models();
    let server = workspace.server().fault("bad/1=abort@run:3").ready().await;
    both_come_back_after(&server, "abort() inside a run", async |client| {
        for _ in 0..2 {
            assert_eq!(version_of(client, "bad").await.unwrap(), 1);
        }
        let status = version_of(client, "bad").await.unwrap_err();
        assert!(can_retry(&status), "{status}");
    })
    .await;
    assert_eq!(version_of(&mut server.client(), "bad").await.unwrap(), 1, "the only version stays in service");
}

#[tokio::test]
async fn a_killed_worker_is_replaced() {
    let workspace = two_models();
    let server = workspace.server().ready().await;
    let first = server.worker().unwrap();
    both_come_back_after(&server, "SIGKILL of the worker", async |client| {
        version_of(client, "bad").await.unwrap();
        server.kill_worker();
        support::eventually("another worker", || server.worker().filter(|&worker| worker != first)).await;
    })
    .await;
}

#[tokio::test]
async fn a_hung_run_is_ended_by_the_watchdog() {
    let workspace = two_models();
    workspace.configure("bad", "max_batch_size = 4\nwarmup = false\n[limits]\nrun_timeout_ms = 500\n");
    let server = workspace.server().fault("bad/1=hang@run:2").ready().await;
    both_come_back_after(&server, "hung run", async |client| {
        version_of(client, "bad").await.unwrap();
        let status = version_of(client, "bad").await.unwrap_err();
        assert!(can_retry(&status), "{status}");
    })
    .await;
    let log = server.log();
    assert!(log.lines().any(|line| line.contains("ERROR") && line.contains("bad")), "the log names the culprit");
}

#[tokio::test]
async fn a_client_that_tries_again_gets_its_answer_from_the_next_worker() {
    let workspace = two_models();
    let server = workspace.server().fault("bad/1=slow@run:1:1500ms").ready().await;
    let mut client = server.client();
    let asked = tokio::spawn(async move { version_of(&mut client, "bad").await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    server.kill_worker();
    let status = asked.await.unwrap().unwrap_err();
    assert!(can_retry(&status), "{status}");
    assert_eq!(answers_again(&mut server.client(), "bad").await.0, 1);
}

#[tokio::test]
async fn a_new_version_that_aborts_once_is_quarantined_and_the_old_one_serves() {
    let workspace = one_good_and_one_new_version().await;
    let server = workspace.server().fault("m/2=abort@run:1").ready().await;
    let mut client = server.client();
    assert!(version_of(&mut client, "m").await.is_err());
    assert_eq!(answers_again(&mut client, "m").await.0, 1);
    server.wait_ready().await;
    assert_quarantined(&server, 2).await;
    server.stop().await;

    // Neither a restart, nor time, nor another time stamp, nor another number brings those bytes back.
    let server = workspace.server().ready().await;
    assert_quarantined(&server, 2).await;
    workspace.add("m", 2, "nameless_batch").add("m", 3, "nameless_batch");
    assert_quarantined(&server, 3).await;
    assert_quarantined(&server, 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(version_of(&mut server.client(), "m").await.unwrap(), 1);

    // Other bytes are another version.
    workspace.add("m", 4, "traced_shapes");
    index_shows(&mut server.client(), "m", 4, |line| line.state == "READY").await;
}

#[tokio::test]
async fn a_quarantined_version_serves_again_once_an_operator_retries_it() {
    let workspace = one_good_and_one_new_version().await;
    let server = workspace.server().fault("m/2=abort@run:1").ready().await;
    assert!(version_of(&mut server.client(), "m").await.is_err());
    answers_again(&mut server.client(), "m").await;
    server.wait_ready().await;
    assert_quarantined(&server, 2).await;
    server.stop().await;

    let server = workspace.server().ready().await;
    assert_quarantined(&server, 2).await;
    for (version, refused) in [(1, "is not refused"), (7, "no version 7")] {
        let status = server.retry("m", version).await.unwrap_err();
        assert!(status.message().contains(refused), "{status}");
    }
    server.retry("m", 2).await.unwrap();
    assert_eq!(version_of(&mut server.client(), "m").await.unwrap(), 2);
    server.stop().await;

    let server = workspace.server().ready().await;
    assert_eq!(version_of(&mut server.client(), "m").await.unwrap(), 2, "the release outlives a restart");
}

async fn assert_quarantined(server: &Server, version: u64) {
    let mut client = server.client();
    let line = index_shows(&mut client, "m", version, |line| line.reason.contains("quarantine")).await;
    assert_eq!(line.state, "UNAVAILABLE", "{line:?}");
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 1);
}

#[tokio::test]
async fn three_strikes_take_a_known_version_out_of_service_for_an_older_good_one() {
    let workspace = one_good_and_one_new_version().await;
    known_to_be_good(&workspace, 2).await;
    let server = workspace.server().fault("m/2=abort@run:1").ready().await;
    let mut client = server.client();
    for strike in 1..=3 {
        support::eventually("version 2 or 1 serves", || server.worker()).await;
        server.wait_ready().await;
        let line = index_line(&mut client, "m", 2).await;
        assert_eq!(line.unwrap().state, "READY", "before strike {strike}");
        assert!(version_of(&mut client, "m").await.is_err(), "strike {strike}");
    }
    assert_eq!(answers_again(&mut client, "m").await.0, 1);
    server.wait_ready().await;
    assert_quarantined(&server, 2).await;
}

#[tokio::test]
async fn a_failing_run_fails_its_request_alone_and_the_session_is_rebuilt() {
    let workspace = two_models();
    // Run 5 is the fifth request, 6 its second attempt, 7 the probe that tells a broken session from a bad request.
    let server = workspace.server().fault("bad/1=error@run:5-7").ready().await;
    let (mut client, mut other) = (server.client(), server.client());
    for _ in 0..4 {
        version_of(&mut client, "bad").await.unwrap();
    }
    let status = version_of(&mut client, "bad").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status}");
    assert!(status.message().contains("'bad' version 1") && status.message().contains("twice"), "{status}");
    version_of(&mut other, "good").await.unwrap();
    let worker = server.worker();
    assert_eq!(answers_again(&mut client, "bad").await.0, 1);
    assert_eq!(server.worker(), worker, "no process died for this");
    assert_eq!(server.times_logged("session rebuilt"), 1);
    assert_eq!(statistics(&mut other, "good").await.inference_stats.unwrap().fail.unwrap().count, 0);
}

#[tokio::test]
async fn one_bad_run_costs_nobody_an_answer() {
    let workspace = two_models();
    let server = workspace.server().fault("bad/1=error@run:2").ready().await;
    let mut client = server.client();
    for _ in 0..4 {
        version_of(&mut client, "bad").await.unwrap();
    }
    assert_eq!(server.times_logged("session rebuilt"), 0);
}

#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_load_comes_back_with_the_good_version() {
    let workspace = one_good_and_one_new_version().await;
    let server = workspace.server().fault("m/2=slow@load:600000ms").listening().await;
    let mut client = server.client();
    index_shows(&mut client, "m", 2, |line| line.state == "LOADING").await;
    workspace.load_is_recorded().await;
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 1, "the good version came first");
    assert!(!is_ready(&mut client).await, "a load goes on");
    server.kill_worker();
    let (version, away) = answers_again(&mut server.client(), "m").await;
    eprintln!("killed in the middle of a load: the good version is back after {away:?}");
    assert_eq!(version, 1);
    assert_quarantined(&server, 2).await;
    server.wait_ready().await;
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_load_comes_back_with_the_good_version() {
    let workspace = one_good_and_one_new_version().await;
    let mut server = workspace.server().fault("m/2=slow@load:600000ms").listening().await;
    index_shows(&mut server.client(), "m", 2, |line| line.state == "LOADING").await;
    workspace.load_is_recorded().await;
    server.kill_all();

    let server = workspace.server().ready().await;
    assert_quarantined(&server, 2).await;
    let line = index_line(&mut server.client(), "m", 2).await.unwrap();
    assert!(line.reason.contains("loaded"), "the reason says what it was doing: {}", line.reason);
}

#[tokio::test]
async fn a_server_killed_in_the_middle_of_its_very_first_load_tries_again() {
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier");
    let mut server = workspace.server().fault("m/1=slow@load:600000ms").listening().await;
    index_shows(&mut server.client(), "m", 1, |line| line.state == "LOADING").await;
    workspace.load_is_recorded().await;
    server.kill_all();

    let server = workspace.server().ready().await;
    assert_eq!(version_of(&mut server.client(), "m").await.unwrap(), 1, "a power cut proves nothing");
}

#[tokio::test]
async fn a_new_version_that_aborts_while_it_is_loaded_is_tried_once() {
    let workspace = one_good_and_one_new_version().await;
    let server = workspace.server().fault("m/2=abort@load").listening().await;
    assert_eq!(answers_again(&mut server.client(), "m").await.0, 1);
    assert_quarantined(&server, 2).await;
    server.wait_ready().await;
    assert_eq!(server.times_logged("injected fault"), 1);
}

#[tokio::test]
async fn without_a_supervisor_a_death_is_judged_at_the_next_start() {
    let workspace = one_good_and_one_new_version().await;
    let mut server = workspace.server().arguments(&["--no-supervisor"]).fault("m/2=abort@run:1").ready().await;
    assert!(infer(&mut server.client(), image("m", 1)).await.is_err());
    server.ended(support::SOON).await;
    let server = workspace.server().arguments(&["--no-supervisor"]).ready().await;
    assert_quarantined(&server, 2).await;
    server.signal(Signal::TERM);
}

#[tokio::test]
async fn a_new_server_waits_for_the_worker_of_a_killed_supervisor_to_drain() {
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier");
    let mut server = workspace.server().fault("m/1=slow@run:1:1500ms").ready().await;
    let mut client = server.client();
    let asked = tokio::spawn(async move { version_of(&mut client, "m").await });
    support::eventually("the slow run begins", || (server.times_logged("injected fault") > 0).then_some(())).await;
    server.kill_supervisor();
    let next = workspace.server().ready().await;
    assert_eq!(asked.await.unwrap().expect("the orphan drains"), 1);
    assert_eq!(next.times_logged("waiting for the worker of an earlier server"), 1);
    assert_eq!(version_of(&mut next.client(), "m").await.unwrap(), 1);
}
