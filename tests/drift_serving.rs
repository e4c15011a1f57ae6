//! Drift of what is served, from the camera to the alert: through the binary, and through a real Prometheus.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, also in its helpers; logs are for who reads its output"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;
use takt_image::{Limits, Preprocessor, Scratch};

use support::{SOON, Server, Workspace, encoded, eventually, get, infer};

/// Side of the images in pixels; what the shipped model takes.
const SIDE: u32 = 64;
/// Images that the line shows.
const IMAGES: usize = 1500;
/// Length of a pane; three make a window.
const PANE: Duration = Duration::from_millis(1000);

/// How the line is lit.
const NORMAL: u8 = 100;
const DIM: u8 = 55;

/// Images of a healthy line, as a camera would take them under either light.
struct Line {
    normal: Vec<Vec<u8>>,
    dim: Vec<Vec<u8>>,
}

impl Line {
    fn generate(folder: &Path) -> Self {
        let (data, side, reference) = (folder.join("line"), SIDE.to_string(), IMAGES.to_string());
        let none = ["--train", "1", "--validation", "1", "--calibration", "1", "--test", "1"];
        let output = Command::new(env!("CARGO_BIN_EXE_takt"))
            .args(["data", "generate", "surface-defects", "--out"])
            .arg(&data)
            .args(["--size", &side, "--reference", &reference])
            .args(none)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let spec = format!(r#"{{"input":"x","width":{SIDE},"height":{SIDE}}}"#);
        let preprocessor = Preprocessor::new(&serde_json::from_str(&spec).unwrap(), Limits::default()).unwrap();
        let mut scratch = Scratch::new();
        let mut files: Vec<PathBuf> =
            walk(&data.join("reference")).into_iter().filter(|p| p.extension().is_some()).collect();
        files.sort();
        assert_eq!(files.len(), IMAGES);
        let (mut normal, mut dim) = (Vec::new(), Vec::new());
        for file in files {
            let (_, pixels) = preprocessor.decode(&fs::read(file).unwrap(), &mut scratch).unwrap();
            let lit = |percent: u8| bitmap(&pixels.data.iter().map(|&p| scaled(p, percent)).collect::<Vec<_>>());
            normal.push(lit(NORMAL));
            dim.push(lit(DIM));
        }
        Self { normal, dim }
    }
}

fn scaled(sample: u8, percent: u8) -> u8 {
    (u16::from(sample) * u16::from(percent) / 100) as u8
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// A Windows bitmap of 24 bits: the simplest format that the server reads. Rows from the bottom, blue first.
fn bitmap(rgb: &[u8]) -> Vec<u8> {
    let row = SIDE as usize * 3;
    let size = 54 + u32::try_from(rgb.len()).unwrap();
    let mut bytes = b"BM".to_vec();
    for word in [size, 0, 54, 40, SIDE, SIDE, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(word.to_le_bytes());
    }
    for row in rgb.chunks_exact(row).rev() {
        bytes.extend(row.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
    }
    bytes
}

/// A camera that shows the line to the server, until it is dropped.
struct Camera {
    light: Arc<AtomicU8>,
    task: tokio::task::JoinHandle<()>,
}

impl Camera {
    fn start(server: &Server, line: Arc<Line>) -> Self {
        let (mut client, light) = (server.client(), Arc::new(AtomicU8::new(NORMAL)));
        let lit = Arc::clone(&light);
        let task = tokio::spawn(async move {
            for shown in 0.. {
                let images = if lit.load(Relaxed) == NORMAL { &line.normal } else { &line.dim };
                let mut request = tonic::Request::new(encoded(&images[shown % images.len()]));
                let station = ["north", "south"][shown % 2];
                request.metadata_mut().insert("x-station-id", station.parse().unwrap());
                // A server that ends takes the camera's last request with it.
                if client.model_infer(request).await.is_err() {
                    return;
                }
                // A line has a rhythm; and the test leaves some of the processor to its neighbours.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Self { light, task }
    }

    fn light(&self, light: u8) {
        self.light.store(light, Relaxed);
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn monitor(server: &Server) -> Value {
    let address = server.announced("HTTP").unwrap();
    serde_json::from_str(&get(address, "/monitor")).unwrap()
}

/// Names of features that the monitor says have drifted by either statistic.
fn drifted(report: &Value) -> BTreeSet<String> {
    let segments = report["versions"][0]["drift"]["segments"].as_array().cloned().unwrap_or_default();
    let features = segments.iter().flat_map(|segment| segment["features"].as_array().cloned().unwrap());
    let says = |feature: &Value, of: &str| feature[of]["verdict"] == "drift";
    features
        .filter(|feature| says(feature, "psi_verdict") || says(feature, "ks_verdict"))
        .map(|feature| feature["feature"].as_str().unwrap().to_owned())
        .collect()
}

/// A server that learns its reference from the first thousand images.
async fn watching(workspace: &Workspace) -> Server {
    workspace.add_shipped();
    let settings = "[monitor]\nimages_per_second = 100000\n[monitor.learn]\nunits = 1000\nhours = 0\n";
    workspace.configure("surface-defects", settings);
    launch(workspace).await
}

async fn launch(workspace: &Workspace) -> Server {
    let setting = format!("[monitor]\npane_ms = {}\nwindow_panes = 3", PANE.as_millis());
    workspace.server().setting(&setting).ready().await
}

async fn until(what: &str, server: &Server, mut look: impl FnMut(&Value) -> bool) -> Value {
    eventually(what, || Some(monitor(server)).filter(|report| look(report))).await
}

/// Prometheus on a loopback port, with the shipped rules made impatient.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn start(folder: &Path, target: SocketAddr) -> Option<Self> {
        if Command::new("prometheus").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            assert!(
                std::env::var_os("TAKT_REQUIRE_ORT").is_none(),
                "prometheus is not on the path; tests/run fetches it"
            );
            eprintln!("SKIPPED alerts of a real Prometheus: prometheus is not on the path; tests/run fetches it");
            return None;
        }
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/deploy/prometheus/takt.rules.yml");
        let text = fs::read_to_string(rules).unwrap();
        // Minutes of patience become seconds; everything else is as shipped.
        let impatient: String = text
            .lines()
            .map(|line| if line.trim_start().starts_with("for: ") { "        for: 2s" } else { line })
            .flat_map(|line| [line, "\n"])
            .collect();
        fs::write(folder.join("rules.yml"), impatient).unwrap();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{ job_name: takt, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        // The port is free at this moment; nothing else on the machine asks for it by number.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = fs::File::create(folder.join("prometheus.log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < SOON, "{}", fs::read_to_string(folder.join("prometheus.log")).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self { child, address })
    }

    /// Alerts that fire, as `name/feature`.
    fn firing(&self) -> BTreeSet<String> {
        let answer: Value = serde_json::from_str(&get(self.address, "/api/v1/alerts")).unwrap_or_default();
        let alerts = answer["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing").map(|alert| &alert["labels"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        firing.map(|labels| format!("{}/{}", text(&labels["alertname"]), text(&labels["feature"]))).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_light_that_fails_is_drift_within_a_window_and_an_alert_until_it_is_mended() {
    let workspace = Workspace::new();
    let line = Arc::new(Line::generate(&workspace.path("")));
    let server = watching(&workspace).await;
    let prometheus = Prometheus::start(&workspace.path(""), server.announced("metrics").unwrap());
    let camera = Camera::start(&server, line);

    until("a reference is learned", &server, |report| report["versions"][0]["reference"]["state"] == "learned").await;
    let full = |report: &Value| report["versions"][0]["drift"]["window"]["panes"] == 3;
    let report = until("a window is full", &server, full).await;
    assert_eq!(drifted(&report), BTreeSet::new(), "unchanged images: {report:#}");
    let firing = prometheus.as_ref().map(Prometheus::firing).unwrap_or_default();
    assert!(!firing.iter().any(|alert| alert.starts_with("TaktFeatureDrift")), "{firing:?}");

    camera.light(DIM);
    let before = monitor(&server)["at"].as_u64().unwrap();
    let report = until("drift of brightness", &server, |report| drifted(report).contains("brightness")).await;
    // Told at the end of a pane: the one that was open when the light failed and a window after it at most. A busy
    // machine delays panes, so time is read from the panes and not from here.
    let took = Duration::from_millis(report["at"].as_u64().unwrap() - before);
    assert!(took < 10 * PANE, "told after {took:?}");
    let segments = report["versions"][0]["drift"]["segments"].as_array().unwrap();
    let features = segments[0]["features"].as_array().unwrap();
    let brightness = features.iter().find(|feature| feature["feature"] == "brightness").unwrap();
    assert!(brightness["psi"].as_f64().unwrap() > 0.15 && brightness["ks_lo"].as_f64().unwrap() > 0.22, "{brightness}");
    let fires = |report: &Value| {
        let alerts = report["alerts"].as_array().unwrap();
        alerts.iter().any(|alert| alert["alert"] == "TaktFeatureDrift" && alert["labels"]["feature"] == "brightness")
    };
    until("the server itself says so", &server, fires).await;
    assert!(server.times_logged("alert fired") > 0);
    if let Some(prometheus) = &prometheus {
        for alert in ["TaktFeatureDrift/brightness", "TaktDistributionShift/brightness"] {
            eventually(alert, || prometheus.firing().contains(alert).then_some(())).await;
        }
    }
    every_rule_speaks_of_metrics_that_exist(&get(server.announced("metrics").unwrap(), "/metrics"));

    camera.light(NORMAL);
    until("the drift is over", &server, |report| drifted(report).is_empty()).await;
    until("the server itself says so", &server, |report| report["alerts"].as_array().unwrap().is_empty()).await;
    if let Some(prometheus) = &prometheus {
        let over = || !prometheus.firing().iter().any(|alert| alert.ends_with("/brightness"));
        eventually("the alerts are over", || over().then_some(())).await;
    }
    drop(camera);
    server.stop().await;
}

/// Metrics that have no sample before there are labels or weeks of counts, on a board that does not tell, or without a
/// rollout (`canary_rollout` sees those).
const LATER: [&str; 5] = [
    "takt_false_reject_lower_bound",
    "takt_funnel_alarm",
    "takt_device_cooling_ratio",
    "takt_rollout_phase",
    "takt_rollout_shadow_copies",
];

/// Names of metrics in the shipped rules that the server does not export are mistakes.
fn every_rule_speaks_of_metrics_that_exist(exposed: &str) {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/deploy/prometheus/takt.rules.yml");
    let text = fs::read_to_string(rules).unwrap();
    let prose = ["#", "summary:", "description:", "runbook:"];
    let expressions = text.lines().filter(|line| !prose.iter().any(|start| line.trim_start().starts_with(start)));
    let names: BTreeSet<&str> = expressions
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')))
        .filter(|word| (word.starts_with("takt_") || word.starts_with("nv_")) && word.len() > 5)
        .collect();
    assert!(names.len() > 10, "{names:?}");
    let exported: BTreeSet<&str> = exposed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let missing: Vec<_> = names.difference(&exported).filter(|name| !LATER.contains(name)).collect();
    assert!(missing.is_empty(), "rules speak of {missing:?}, which the server does not export");
}

#[test]
fn the_shipped_rules_do_what_their_cases_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/deploy/prometheus");
    for arguments in [["check", "rules", "takt.rules.yml"], ["test", "rules", "takt.rules_test.yml"]] {
        let Ok(output) = Command::new("promtool").args(arguments).current_dir(&folder).output() else {
            eprintln!("SKIPPED the rules' own cases: promtool is not on the path; tests/run fetches it");
            return;
        };
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "promtool {arguments:?}:\n{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_remembers_its_reference_and_its_sealed_panes() {
    let workspace = Workspace::new();
    let line = Arc::new(Line::generate(&workspace.path("")));
    let mut server = watching(&workspace).await;
    let camera = Camera::start(&server, Arc::clone(&line));
    let learned = |report: &Value| report["versions"][0]["reference"]["state"] == "learned";
    until("a reference is learned", &server, learned).await;
    let before =
        until("panes are sealed", &server, |report| report["versions"][0]["drift"]["window"]["panes"] == 3).await;
    server.kill_all();
    drop(camera);

    let server = launch(&workspace).await;
    let report = until("the first pane is sealed", &server, |report| report["at"].as_u64() > Some(0)).await;
    let version = &report["versions"][0];
    assert_eq!(version["reference"]["state"], "learned", "{version:#}");
    let sha = |report: &Value| report["versions"][0]["drift"]["reference_sha256"].clone();
    assert_eq!(sha(&report), sha(&before));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throughput_is_told_by_station_and_bad_images_apart() {
    let image = bitmap(&[90; (SIDE * SIDE * 3) as usize]);
    // Stations are compared over the panes that both were there for, so what is shown has to fall into one pane. It begins
    // with a pane; a machine that needs longer than that gets another server, whose stations have no past.
    for _ in 0..10 {
        let workspace = Workspace::new();
        workspace.add_shipped();
        let server = workspace.server().setting("[monitor]\npane_ms = 2000\nwindow_panes = 3").ready().await;
        let mut client = server.client();
        infer(&mut client, encoded(&image)).await.unwrap();
        let sealed = |report: &Value| report["at"].as_u64().unwrap();
        let before = sealed(&monitor(&server));
        let begin = sealed(&until("a pane begins", &server, |report| sealed(report) != before).await);
        for (station, image, times) in [("a", &image, 12), ("b", &image, 2), ("b", &b"no image".to_vec(), 3)] {
            for _ in 0..times {
                let mut request = tonic::Request::new(encoded(image));
                request.metadata_mut().insert("x-station-id", station.parse().unwrap());
                let _ = client.model_infer(request).await;
            }
        }
        if sealed(&monitor(&server)) != begin {
            server.stop().await;
            continue;
        }
        let metrics = get(server.announced("metrics").unwrap(), "/metrics");
        let value = |series: &str| {
            let line = metrics
                .lines()
                .find_map(|line| line.strip_prefix(series))
                .unwrap_or_else(|| panic!("{series} in {metrics}"));
            line.trim().parse::<f64>().unwrap()
        };
        assert_eq!(value("takt_station_inputs_total{station=\"a\"}"), 12.0);
        assert_eq!(value("takt_station_inputs_total{station=\"b\"}"), 5.0);
        assert_eq!(value("takt_station_outputs_total{station=\"b\"}"), 2.0);
        assert_eq!(value("takt_station_undecodable_total{station=\"b\"}"), 3.0);
        assert_eq!(value("takt_station_inputs_total{station=\"unnamed\"}"), 1.0);
        let report = until("the pane is sealed", &server, |report| sealed(report) != begin).await;
        assert_eq!(report["stations"]["stations"][0]["inputs"], 12, "{report:#}");
        assert_eq!(report["stations"]["skew"], 12.0 / 5.0);
        assert_eq!(report["stations"]["skewed"], false);
        server.stop().await;
        return;
    }
    panic!("18 requests took longer than 2 s, ten times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_was_made_apart_is_packaged_and_judges_what_is_served() {
    let workspace = Workspace::new();
    let takt = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_takt")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let path = |within: &str| workspace.path(within).to_str().unwrap().to_owned();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/repository/surface-defects/1");
    fs::create_dir(workspace.path("artefacts")).unwrap();
    fs::copy(shipped.join("model.onnx"), workspace.path("artefacts/model.onnx")).unwrap();
    let manifest: Value = serde_json::from_slice(&fs::read(shipped.join("manifest.json")).unwrap()).unwrap();
    fs::write(workspace.path("decision.json"), manifest["decision"].to_string()).unwrap();
    let (data, model, decision) = (path("data"), path("artefacts/model.onnx"), path("decision.json"));
    let (profile, version) = (path("profile.json"), path("repository/surface-defects/1"));
    takt(&[
        "data",
        "generate",
        "surface-defects",
        "--out",
        &data,
        "--scale",
        "0.001",
        "--reference",
        "120",
        "--size",
        "64",
    ]);
    takt(
        &[
            &["data", "profile", "--data", &data, "--model-file", &model, "--model", "surface-defects"][..],
            &["--decision", &decision, "--out", &profile],
        ]
        .concat(),
    );
    // Marked, so that it is told from the one that packaging makes by itself of the same images.
    let mut made: Value = serde_json::from_slice(&fs::read(&profile).unwrap()).unwrap();
    let mark = "5eed".repeat(16);
    made["reference_sha256"] = mark.as_str().into();
    fs::write(&profile, made.to_string()).unwrap();
    fs::create_dir_all(Path::new(&version).parent().unwrap()).unwrap();
    takt(
        &[
            &["package", &path("artefacts"), "--data", &data, "--to", &version][..],
            &["--decision", &decision, "--profile", &profile],
        ]
        .concat(),
    );

    let server = launch(&workspace).await;
    infer(&mut server.client(), encoded(&bitmap(&[90; (SIDE * SIDE * 3) as usize]))).await.unwrap();
    let counted = |report: &Value| report["versions"][0]["drift"]["window"]["panes"].as_u64().unwrap_or(0) > 0;
    let report = until("a pane is judged", &server, counted).await;
    let version = &report["versions"][0];
    assert_eq!(version["reference"]["state"], "packaged", "{version:#}");
    assert_eq!(version["drift"]["reference_sha256"], mark.as_str());
    let metrics = get(server.announced("metrics").unwrap(), "/metrics");
    let line = metrics.lines().find(|line| line.starts_with("takt_drift_reference_info{")).unwrap();
    assert!(line.contains("reference=\"packaged\"") && line.contains(&mark), "{line}");
    server.stop().await;
}
