//! What plans can ask for, through the binary: other judges than failures, stations, a swap, memory, windows.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, also in its helpers; figures are for who reads its output"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use support::rollouts::*;
use support::{Server, floats, post};
use takt_proto::rollout::control_request::Action;
use tonic::Code;

/// The plan of [`without_shadow`] with more of it.
fn steps_with(more: &str) -> String {
    without_shadow() + more
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_is_slower_is_taken_back_at_equal_batch_sizes() {
    let workspace = two_versions();
    let server = serving(&workspace, "m/2=slow@run:20-1000000:3ms").await;
    let load = Load::start(&server, false);
    // The limits come from what stable did before.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let plan = without_shadow().replace("[gates.latency]\nenabled = false", "[gates.latency]\nmode = \"guard\"");
    start(&server, &plan).await;
    is_taken_back(&server, &workspace, "latency rejected it").await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_never_ends_costs_nobody_an_answer() {
    let workspace = two_versions();
    workspace.configure("m", "max_batch_size = 4\non_new_version = \"ignore\"\n[limits]\nrun_timeout_ms = 2000\n");
    let server = serving(&workspace, "m/2=hang@run:40").await;
    let load = Load::start(&server, true);
    start(&server, &without_shadow()).await;
    let rollout = until(&server, "rolled_back").await;
    eprintln!("{}", rollout.reason);
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_finds_no_room_waits_and_is_given_up_when_the_plan_says_so() {
    let workspace = two_versions();
    let server = serving(&workspace, "").await;
    // Nobody has so much to spare.
    let crowded = steps_with("[placement]\nheadroom_mib = 1000000000\n");
    let load = Load::start(&server, false);
    start(&server, &crowded).await;
    let held = until(&server, "held").await;
    assert!(held.reason.contains("do not fit") && held.reason.contains("placement.swap"), "{}", held.reason);
    assert_eq!(control(&server, Action::Abort).await.unwrap().phase, "rolled_back");
    begin(&server, &(String::from("hold_timeout = \"1s\"\n") + &crowded), true).await.unwrap();
    is_taken_back(&server, &workspace, "hold_timeout").await;
    assert_eq!(load.end().await.1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_takes_stables_place_where_both_find_no_room_and_the_plan_allows_it() {
    let workspace = two_versions();
    let server = serving(&workspace, "").await;
    let load = Load::start(&server, true);
    let swap = steps_with("[placement]\nheadroom_mib = 1000000000\nswap = true\n");
    start(&server, &swap).await;
    until(&server, "succeeded").await;
    let (asked, canary) = load.end().await;
    assert!(0 < canary && canary <= asked);
    assert_eq!(support::version_of(&mut server.client(), "m").await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_stations_are_given_to_one_version_for_an_epoch() {
    let workspace = two_versions();
    let server = serving(&workspace, "").await;
    let mut client = server.client();
    for station in 0..8 {
        client.model_infer(of_part(station, 0)).await.unwrap();
    }
    let by_station = steps_with("[routing]\nunit = \"station\"\nepoch = \"5m\"\n")
        .replace("weight = 5\n", "weight = 25\n")
        .replace("weight = 20\n", "weight = 50\n");
    start(&server, &by_station).await;
    until(&server, "stepping").await;
    let mut routes: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for part in 0..20 {
        for station in 0..8 {
            let answer = client.model_infer(of_part(station, part)).await.unwrap();
            let route = answer.metadata().get("x-takt-route").unwrap().to_str().unwrap().to_owned();
            routes.entry(station).or_default().push(route);
        }
    }
    assert!(routes.values().all(|seen| seen.windows(2).all(|pair| pair[0] == pair[1])), "{routes:?}");
    let canary = routes.values().filter(|seen| seen[0] == "canary").count();
    assert_eq!(canary, 2, "a quarter of eight stations: {routes:?}");
    assert_eq!(control(&server, Action::Abort).await.unwrap().weight, 0.0);
}

/// The rest of a `model.toml`: which classes are good.
const JUDGING: &str = "max_batch_size = 4\nlabels = [\"ok\", \"scratch\", \"dent\", \"hole\"]\n\
                       [decision]\noutput = \"logits\"\nactivation = \"softmax\"\ngood_classes = [\"ok\"]\n";

/// What version 1 makes of a part, as an inspector's word.
async fn word(server: &Server, part: u32) -> &'static str {
    let mut asked = of_part(0, part);
    asked.get_mut().model_version = "1".into();
    let answer = server.client().model_infer(asked).await.unwrap();
    let scores = floats(&answer.get_ref().raw_output_contents[0]);
    if scores[0] >= scores[1] { "good" } else { "defect" }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inspectors_who_contradict_the_candidate_take_it_back() {
    let workspace = two_versions();
    workspace.configure("m", &format!("on_new_version = \"ignore\"\n{JUDGING}"));
    let server = serving(&workspace, "m/2=wrong@rows:0.3").await;
    let load = Load::start(&server, false);
    let plan = PLAN.replace("units = 100\n", "units = 100000\n")
        + "[gates.disagreement]\nmode = \"dry_run\"\n[gates.labels]\ninspected = 100\n";
    start(&server, &plan).await;
    until(&server, "shadowing").await;
    // Copies of these parts have been compared by then, on a machine that is not wholly asleep; else more labels follow.
    for round in 0_u32.. {
        let mut lines = String::new();
        for part in 150 * round..150 * (round + 1) {
            let verdict = word(&server, part).await;
            for station in 0..STATIONS {
                let (station, part) = (format!("s{station}"), format!("{station}-{part}"));
                let by = json!({ "part": { "station": station, "part_id": part } });
                let label = json!({ "schema": 1, "by": by, "verdict": verdict, "inspector": "ada", "at": 1_000 });
                lines.push_str(&format!("{label}\n"));
            }
        }
        let (code, said) = post(server.announced("HTTP").unwrap(), "/feedback", &lines);
        assert_eq!(code, 200, "{said}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        if status(&server).await.unwrap().phase == "rolled_back" {
            break;
        }
        assert!(round < 30, "{}", progress(&status(&server).await.unwrap()));
    }
    is_taken_back(&server, &workspace, "labels rejected it").await;
    assert_eq!(load.end().await.1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_audit_finds_that_the_candidate_let_through_takes_it_back() {
    let workspace = two_versions();
    workspace.configure("m", &format!("on_new_version = \"ignore\"\n{JUDGING}"));
    let server = workspace.server().setting("[monitor.feedback]\naudit_share = 1.0").ready().await;
    workspace.add_bytes("m", 2, &named("two"));
    support::index_shows(&mut server.client(), "m", 2, |line| line.state == "UNAVAILABLE").await;
    let plan = without_shadow().replace("weight = 5\n", "weight = 45\n").replace("weight = 20\n", "weight = 50\n");
    let plan = plan.replace("min_dwell = \"200ms\"", "min_dwell = \"4m\"") + "[gates.labels]\ninspected = 100\n";
    start(&server, &plan).await;
    until(&server, "stepping").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (mut client, mut lines) = (server.client(), String::new());
    for part in 0..200 {
        let answer = client.model_infer(of_part(0, part)).await.unwrap();
        let canary = answer.metadata().get("x-takt-route").unwrap() == "canary";
        let by = json!({ "part": { "station": "s0", "part_id": format!("0-{part}") } });
        let verdict = if canary { "defect" } else { "good" };
        let label = json!({ "schema": 1, "by": by, "verdict": verdict, "inspector": "ada", "at": 1_000 });
        lines.push_str(&format!("{label}\n"));
    }
    // The outcomes reach the monitor a moment after their answers.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (code, said) = post(server.announced("HTTP").unwrap(), "/feedback", &lines);
    assert_eq!(code, 200, "{said}");
    let back = is_taken_back(&server, &workspace, "labels rejected it").await;
    assert!(back.reason.contains("escapes, from the audit"), "{}", back.reason);
}

/// Answers queries like a Prometheus whose one value is good until told otherwise.
fn prometheus(bad: &Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let bad = Arc::clone(bad);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 2048];
            let Ok(length) = stream.read(&mut request) else { continue };
            assert!(request[..length].starts_with(b"GET /api/v1/query?query=scrap"));
            let value = if bad.load(Relaxed) { "0.5" } else { "0.01" };
            let body = format!(r#"{{"status":"success","data":{{"resultType":"scalar","result":[1,"{value}"]}}}}"#);
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_of_a_prometheus_accepts_steps_and_takes_back_later() {
    let workspace = two_versions();
    let bad = Arc::new(AtomicBool::new(false));
    let plan = without_shadow().replace("duration = \"1s\"", "duration = \"10m\"")
        + "[[gates.metrics]]\nname = \"scrap\"\nquery = \"scrap\"\nceiling = 0.02\nfailures = 2\nsamples = 1\n\
           mode = \"mandatory\"\n";
    let server = serving(&workspace, "").await;
    let refused = begin(&server, &plan, false).await.unwrap_err();
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("[rollout]"), "{refused}");
    // What has answered is known to be good, and comes back after a restart in spite of the newer one.
    assert_eq!(support::version_of(&mut server.client(), "m").await.unwrap(), 1);
    server.stop().await;

    let settings = format!("[rollout]\nprometheus = \"http://{}\"\nquery_every_secs = 1", prometheus(&bad));
    let server = workspace.server().setting(&settings).ready().await;
    let load = Load::start(&server, false);
    start(&server, &plan).await;
    until(&server, "baking").await;
    bad.store(true, Relaxed);
    is_taken_back(&server, &workspace, "'scrap' rejected it").await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_a_window_nothing_is_loaded_and_taking_back_is_always_allowed() {
    let workspace = two_versions();
    // Some day other than today and its neighbours, whatever the hour.
    let days = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let far = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"][((days + 4 + 3) % 7) as usize];
    let settings = format!("[rollout]\nwindows = [\"{far} 12:00-13:00\"]");
    let server = workspace.server().setting(&settings).ready().await;
    workspace.add_bytes("m", 2, &named("two"));
    support::index_shows(&mut server.client(), "m", 2, |line| line.state == "UNAVAILABLE").await;
    let load = Load::start(&server, false);
    start(&server, &without_shadow()).await;
    until(&server, "warming").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waiting = status(&server).await.unwrap();
    assert_eq!((waiting.phase.as_str(), waiting.weight), ("warming", 0.0));
    let wait = progress(&waiting)["waits_for_window"]["secs"].as_u64().unwrap();
    assert!((86_400..7 * 86_400).contains(&wait), "{wait} s");
    assert_eq!(control(&server, Action::Abort).await.unwrap().phase, "rolled_back");
    assert_eq!(load.end().await.1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_candidate_that_is_as_fast_is_not_taken_for_slow() {
    let workspace = two_versions();
    let server = serving(&workspace, "").await;
    let load = Load::start(&server, false);
    // The limits come from what stable did before.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let plan = without_shadow().replace("[gates.latency]\nenabled = false\n", "");
    start(&server, &plan).await;
    until(&server, "succeeded").await;
    let (asked, canary) = load.end().await;
    eprintln!("{asked} requests, {canary} by the candidate");
}
