//! Versions that come and go while the server runs, and how the server itself comes and goes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::semicolon_if_nothing_returned,
    reason = "a panic is how a test fails, also in its helpers; figures and logs are for who reads its output"
)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sha2::{Digest, Sha256};
use support::{
    Workspace, answers_again, copy_folder, encoded, eventually, floats, image, index_line, index_shows, infer,
    is_model_ready, is_ready, shipped_image, test_model, version_of,
};
use takt_proto::inference::{ModelConfigRequest, ModelMetadataRequest, RepositoryIndexRequest};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

fn one_model() -> Workspace {
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier");
    workspace
}

/// Looks for longer than the poll interval and the settling time of the watcher: nothing is tried again meanwhile.
async fn is_not_tried_again(server: &support::Server) {
    let before = server.times_logged("load failed");
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert_eq!(server.times_logged("load failed"), before, "it is tried again though no file changed");
}

#[tokio::test]
async fn a_broken_new_version_leaves_the_old_one_serving_until_its_files_change() {
    let workspace = one_model();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    workspace.add_bytes("m", 2, b"this is no model");
    let line = index_shows(&mut client, "m", 2, |line| line.reason.contains("session")).await;
    assert_eq!(line.state, "UNAVAILABLE");
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 1);
    is_not_tried_again(&server).await;
    let asked = tokio::spawn({
        let mut client = server.client();
        async move {
            let request = ModelMetadataRequest { name: "m".into(), version: "2".into() };
            client.model_metadata(request).await.unwrap_err()
        }
    });
    let status = asked.await.unwrap();
    assert_eq!(status.code(), Code::Unavailable, "a version that is known and not ready: {status}");
    workspace.add("m", 2, "nameless_batch");
    index_shows(&mut client, "m", 2, |line| line.state == "READY").await;
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 2);
}

/// A packaged version beside the shipped one, spoilt, and all at once.
fn spoilt(workspace: &Workspace, number: u64, spoil: impl FnOnce(&Path)) {
    let model = workspace.repository().join("surface-defects");
    let aside = workspace.path("aside");
    copy_folder(&model.join("1"), &aside);
    spoil(&aside);
    fs::rename(aside, model.join(number.to_string())).unwrap();
}

/// Writes a file of a version and its new digest into the manifest.
fn rewrite(folder: &Path, name: &str, bytes: &[u8]) {
    let manifest = folder.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let old = hex(&fs::read(folder.join(name)).unwrap());
    assert!(text.contains(&old), "the manifest lists {name}");
    fs::write(manifest, text.replace(&old, &hex(bytes))).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

#[tokio::test]
async fn versions_whose_files_or_answers_are_wrong_never_serve() {
    let workspace = Workspace::new();
    workspace.add_shipped();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let ask = encoded(&shipped_image("ok-000004.jpg"));
    let before = infer(&mut client, ask.clone()).await.unwrap();
    assert_eq!(before.model_version, "1");

    spoilt(&workspace, 2, |folder| {
        let path = folder.join("model.onnx");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    spoilt(&workspace, 3, |folder| fs::remove_file(folder.join("model.onnx")).unwrap());
    spoilt(&workspace, 4, |folder| {
        let mut bytes = fs::read(folder.join("golden.safetensors")).unwrap();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let text = String::from_utf8(bytes[8..header].to_vec()).unwrap();
        // "output.logits": {..., "data_offsets": [begin, end]}
        let place = text.split("\"output.logits\"").nth(1).unwrap().split("\"data_offsets\":[").nth(1).unwrap();
        let begin: usize = place.split(',').next().unwrap().parse().unwrap();
        bytes[header + begin..][..4].copy_from_slice(&1000f32.to_le_bytes());
        rewrite(folder, "golden.safetensors", &bytes);
    });
    for (version, stage, says) in
        [(2, "(digest)", "model.onnx"), (3, "(digest)", "model.onnx"), (4, "(golden)", "logits")]
    {
        let line = index_shows(&mut client, "surface-defects", version, |line| line.reason.contains(stage)).await;
        assert_eq!(line.state, "UNAVAILABLE");
        assert!(line.reason.contains(says), "{}", line.reason);
    }
    is_not_tried_again(&server).await;
    let after = infer(&mut client, ask).await.unwrap();
    assert_eq!(after.model_version, "1");
    assert_eq!(floats(&after.raw_output_contents[0]), floats(&before.raw_output_contents[0]));
}

#[tokio::test]
async fn a_half_written_version_waits_for_the_rest() {
    let workspace = one_model();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let whole = fs::read(test_model("nameless_batch")).unwrap();
    let folder = workspace.repository().join("m/2");
    fs::create_dir(&folder).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    fs::write(folder.join("model.onnx"), &whole[..whole.len() / 2]).unwrap();
    index_shows(&mut client, "m", 2, |line| line.state == "UNAVAILABLE" && !line.reason.is_empty()).await;
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 1);
    fs::write(folder.join("model.onnx"), &whole).unwrap();
    index_shows(&mut client, "m", 2, |line| line.state == "READY").await;
}

#[tokio::test]
async fn a_new_version_takes_over_under_load_without_a_failed_request() {
    let workspace = one_model();
    let server = workspace.server().ready().await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (mut client, stop, answered) = (server.client(), Arc::clone(&stop), answered.clone());
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    let version = version_of(&mut client, "m").await.expect("no request fails during a swap");
                    answered[version as usize - 1].fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    eventually("version 1 is under load", || (answered[0].load(Relaxed) > 50).then_some(())).await;
    workspace.add("m", 2, "nameless_batch");
    eventually("version 2 is under load", || (answered[1].load(Relaxed) > 50).then_some(())).await;
    let old = answered[0].load(Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert!(answered[0].load(Relaxed) <= old + 4, "only what was in flight still comes from version 1");
    index_shows(&mut server.client(), "m", 1, |line| line.state == "UNAVAILABLE").await;
}

#[tokio::test]
async fn an_edited_configuration_takes_effect_and_a_broken_one_does_not() {
    let workspace = one_model();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let mut largest = {
        let mut client = server.client();
        async move || {
            let request = ModelConfigRequest { name: "m".into(), version: String::new() };
            client.model_config(request).await.unwrap().into_inner().config.unwrap().max_batch_size
        }
    };
    assert_eq!(largest().await, 4);
    workspace.configure("m", "max_batch_size = 2\nwarmup = false\n");
    let begun = Instant::now();
    while largest().await != 2 {
        assert!(begun.elapsed() < support::SOON, "the edited configuration is not used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    workspace.configure("m", "max_batch_size = \"many\"\n");
    let line = loop {
        let index = client.repository_index(RepositoryIndexRequest::default()).await.unwrap().into_inner();
        if let Some(line) = index.models.into_iter().find(|line| line.version.is_empty()) {
            break line;
        }
        assert!(begun.elapsed() < support::SOON, "the broken configuration is not shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(line.reason.contains("max_batch_size") && line.reason.contains("many"), "{}", line.reason);
    assert_eq!(largest().await, 2);
    assert_eq!(version_of(&mut client, "m").await.unwrap(), 1);
}

#[tokio::test]
async fn a_model_that_is_removed_is_gone() {
    let workspace = one_model();
    workspace.add_unwarmed("other", 1, "classifier");
    let server = workspace.server().ready().await;
    let mut client = server.client();
    version_of(&mut client, "m").await.unwrap();
    fs::remove_dir_all(workspace.repository().join("m")).unwrap();
    let begun = Instant::now();
    let status = loop {
        match version_of(&mut client, "m").await {
            Err(status) if status.code() == Code::NotFound => break status,
            _ => assert!(begun.elapsed() < support::SOON, "a removed model still serves"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.message().contains("'m'") && status.message().contains("other"), "{status}");
    assert!(index_line(&mut client, "m", 1).await.is_none());
    version_of(&mut client, "other").await.unwrap();
}

#[tokio::test]
async fn in_mode_none_changes_are_not_looked_at() {
    let workspace = one_model();
    let server = workspace.server().arguments(&["--model-control-mode", "none"]).ready().await;
    workspace.add("m", 2, "nameless_batch");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(version_of(&mut server.client(), "m").await.unwrap(), 1);
}

#[tokio::test]
async fn readiness_waits_for_the_loads() {
    let workspace = one_model();
    workspace.add_unwarmed("slow", 1, "nameless_batch");
    let server = workspace.server().fault("slow/1=slow@load:3000ms").listening().await;
    let mut client = server.client();
    let mut health = HealthClient::new(server.channel());
    let overall = || HealthCheckRequest { service: String::new() };
    index_shows(&mut client, "slow", 1, |line| line.state == "LOADING").await;
    assert!(!is_ready(&mut client).await);
    assert!(!is_model_ready(&mut client, "slow").await);
    assert_eq!(health.check(overall()).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    let status = version_of(&mut client, "slow").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    answers_again(&mut client, "m").await;
    server.wait_ready().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(health.check(overall()).await.unwrap().into_inner().status(), ServingStatus::Serving);
    assert!(is_model_ready(&mut client, "slow").await);
}

#[tokio::test]
async fn sigterm_lets_requests_in_flight_end_and_takes_no_new_ones() {
    let workspace = one_model();
    for arguments in [&["--exit-timeout-secs", "20"][..], &["--exit-timeout-secs", "20", "--no-supervisor"]] {
        let mut server = workspace.server().arguments(arguments).fault("m/1=slow@run:1:2000ms").ready().await;
        let mut health = HealthClient::new(server.channel());
        let mut watch = health.watch(HealthCheckRequest { service: String::new() }).await.unwrap().into_inner();
        while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        let asked: Vec<_> = (0..3)
            .map(|_| {
                let mut client = server.client();
                tokio::spawn(async move { version_of(&mut client, "m").await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(800)).await;
        let begun = Instant::now();
        server.signal(Signal::TERM);
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing, "readiness goes first");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut late = server.client();
        let refused = tokio::spawn(async move { version_of(&mut late, "m").await });
        for request in asked {
            assert_eq!(request.await.unwrap().expect("a request in flight gets its answer"), 1);
        }
        let status = server.ended(Duration::from_secs(20)).await;
        assert_eq!(status.code(), Some(0), "{arguments:?}\n{}", server.log());
        assert!(refused.await.unwrap().is_err(), "a new connection is not served");
        eprintln!("drained in {:?} ({arguments:?})", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(12), "an open health watch does not hold up the end");
    }
}

#[tokio::test]
async fn the_exit_timeout_ends_what_does_not_end_by_itself() {
    let workspace = one_model();
    for arguments in [&["--exit-timeout-secs", "1"][..], &["--exit-timeout-secs", "1", "--no-supervisor"]] {
        let mut server = workspace.server().arguments(arguments).fault("m/1=slow@run:1:600000ms").ready().await;
        let mut client = server.client();
        let asked = tokio::spawn(async move { infer(&mut client, image("m", 1)).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let begun = Instant::now();
        server.signal(Signal::TERM);
        let status = server.ended(Duration::from_secs(15)).await;
        eprintln!("cut off after {:?} ({arguments:?})", begun.elapsed());
        assert_ne!(status.code(), Some(0), "requests were cut off: {arguments:?}");
        assert!(asked.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_second_server_on_the_same_state_directory_is_refused() {
    let workspace = one_model();
    let server = workspace.server().ready().await;
    let mut second = std::process::Command::new(env!("CARGO_BIN_EXE_takt"))
        .args(["serve", "--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"])
        .arg("--model-repository")
        .arg(workspace.repository())
        .arg("--state-dir")
        .arg(workspace.path("state"))
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while second.try_wait().unwrap().is_none() {
        if begun.elapsed() > support::SOON {
            second.kill().unwrap();
            panic!("two servers share a state directory");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = second.wait_with_output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&format!("process {}", server.pid().as_raw_nonzero())), "{text}");
}
