//! A disk that is full: what is kept of predictions is lost and counted, what is served is not.
//!
//! A limit on the size of files stands for the disk: the kernel refuses the write in the same place, with another error, on
//! every Linux and without a file system of one's own. It is put on the running worker, whose log lies on the same disk, and
//! taken away again.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, also in its helpers; logs are for who reads its output"
)]

mod support;

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use support::{SOON, Server, Workspace, encoded, eventually, get, infer, post, shipped_image};

/// What the worker may write to a file.
fn limit(server: &Server, bytes: Option<u64>) {
    prlimit(server.worker(), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Records and images that a store could not write.
fn lost(server: &Server, store: &str) -> f64 {
    let metrics = get(server.announced("metrics").unwrap(), "/metrics");
    let series = format!("takt_store_lost_total{{store=\"{store}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("{series} in {metrics}")).trim().parse().unwrap()
}

fn monitor(server: &Server) -> Value {
    serde_json::from_str(&get(server.announced("HTTP").unwrap(), "/monitor")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_records_that_are_counted_and_no_answer() {
    let workspace = Workspace::new();
    workspace.add_shipped();
    // Beyond the limit a process gets a signal that ends it; a full disk sends none.
    let launch = workspace.server().shell("trap '' XFSZ").setting("[monitor]\npane_ms = 200");
    let server = launch.ready().await;
    let mut client = server.client();
    let defects = ["scratch-000002.jpg", "hole-000013.jpg", "crack-000001.jpg"].map(shipped_image);
    infer(&mut client, encoded(&defects[0])).await.unwrap();
    let kept = |report: &Value| report["quality"]["captured_images"]["images"].as_u64().unwrap_or(0);
    let before = eventually("an image is kept", || Some(monitor(&server)).filter(|report| kept(report) == 1)).await;
    let records = |report: &Value| report["quality"]["prediction_log"]["records"].as_u64().unwrap();
    assert_eq!(["predictions", "feedback", "images"].map(|store| lost(&server, store)), [0.0; 3], "{before:#}");

    limit(&server, Some(0));
    let (begun, mut shown) = (Instant::now(), 0_u64);
    let answered = loop {
        // Every answer is an answer, until each store has lost something.
        let image = &defects[shown as usize % defects.len()];
        infer(&mut client, encoded(image)).await.unwrap();
        shown += 1;
        if shown % 10 == 0 && ["predictions", "feedback", "images"].iter().all(|store| lost(&server, store) > 0.0) {
            break shown;
        }
        assert!(begun.elapsed() < SOON, "after {shown} answers nothing is lost: {:#}", monitor(&server));
    };
    let report = monitor(&server);
    assert!(records(&report) <= answered + 1, "{report:#}");

    // Room again: what comes from now on is kept, without anyone's doing.
    limit(&server, None);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let at_rest = ["predictions", "feedback"].map(|store| lost(&server, store));
    let begun = Instant::now();
    while kept(&monitor(&server)) == 1 {
        assert!(begun.elapsed() < SOON, "no image is kept again: {:#}", monitor(&server));
        infer(&mut client, encoded(&defects[1])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(["predictions", "feedback"].map(|store| lost(&server, store)), at_rest);
    let label = json!({ "schema": 1, "by": { "part": { "station": "a", "part_id": "1" } }, "verdict": "good",
        "inspector": "ada", "at": 1 });
    let answer = post(server.announced("HTTP").unwrap(), "/feedback", &label.to_string());
    assert_eq!(answer, (200, r#"{"added":1,"known":0,"revised":0}"#.to_owned()));
    server.stop().await;
}
