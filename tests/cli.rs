//! The command line through the binary: what people see, and the exit codes that scripts rely on.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A server of the shipped repository, until dropped.
struct Server {
    child: Child,
    url: String,
    dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports::<3>();
        let mut command = takt(&["serve", "--host", "127.0.0.1", "--runtime", "tract", "--exit-timeout-secs", "5"]);
        command.arg("--model-repository").arg(examples().join("repository"));
        command.arg("--state-dir").arg(dir.path().join("state"));
        command.args(["--grpc-port", &ports[0], "--http-port", &ports[1], "--metrics-port", &ports[2]]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, url: format!("127.0.0.1:{}", ports[0]), dir };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        loop {
            assert_eq!(self.child.try_wait().unwrap(), None, "the server ended");
            let listed = self.run(&["models"]);
            if text(&listed.stdout).contains("READY") {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "not ready: {}", text(&listed.stderr));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command against this server.
    fn run(&self, args: &[&str]) -> Output {
        takt(args).args(["--url", &self.url]).output().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The worker sees that its supervisor is gone and ends by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn takt(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_takt"));
    command.args(args).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// Ports that were free a moment ago.
fn free_ports<const N: usize>() -> [String; N] {
    // All are bound before the first is let go, so that they differ.
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port().to_string())
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn images() -> Vec<String> {
    let names = fs::read_dir(examples().join("images")).unwrap();
    let mut names: Vec<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn the_demonstration_classifies_every_shipped_image_and_stops() {
    let output = takt(&["demo", "--once"]).output().unwrap();
    let (shown, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(code(&output), Some(0), "{shown}{errors}");
    let images = images();
    assert!(!images.is_empty());
    for image in &images {
        assert!(shown.lines().any(|line| line.starts_with(image) && line.contains(" ms")), "{image} in:\n{shown}");
    }
    assert!(shown.contains(&format!("of {} right", images.len())), "{shown}");
}

#[test]
fn infer_without_a_server_says_where_it_looked_and_how_to_start_one() {
    let [port] = free_ports();
    let url = format!("127.0.0.1:{port}");
    let output = takt(&["infer", "m", "--image", "x.jpg", "--url", &url]).output().unwrap();
    let errors = text(&output.stderr);
    assert_eq!(code(&output), Some(1));
    for part in [&format!("no server answers at {url}"), "takt serve --model-repository", "--url"] {
        assert!(errors.contains(part), "{part} in: {errors}");
    }
}

#[test]
fn one_bad_image_fails_its_own_line() {
    let server = Server::start();
    let bad = server.dir.path().join("bad.jpg");
    fs::write(&bad, "no image").unwrap();
    let good = examples().join("images").join(&images()[0]);
    let (bad, good) = (bad.to_str().unwrap(), good.to_str().unwrap());

    let output = server.run(&["infer", "surface-defects", "--json", "--part-id", "p1", "--image", bad, good]);
    assert_eq!(code(&output), Some(1));
    assert!(text(&output.stderr).contains("1 of 2 images have no prediction"), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["file"], &lines[1]["file"]), (2, &bad.into(), &good.into()));
    assert_eq!(lines[0]["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!(lines[1]["version"], "1");
    assert_eq!(lines[1]["prediction_id"].as_str().unwrap().len(), 26, "a ULID: {shown}");
    assert_eq!(lines[1]["version_digest"].as_str().unwrap().len(), 64, "{shown}");
    assert!(lines[1]["judgement"]["verdict"].is_string(), "{shown}");
    assert_eq!(lines[1]["outputs"][0]["top"].as_array().unwrap().len(), 3);

    let output = server.run(&["infer", "surface-defects", "--version", "1", "--image", bad, "--image", good]);
    let errors = text(&output.stderr);
    assert_eq!(code(&output), Some(1));
    assert!(errors.contains(&format!("{bad}: ")) && errors.contains("INVALID_ARGUMENT"), "{errors}");
    assert!(text(&output.stdout).contains(good), "{}", text(&output.stdout));
}

#[test]
fn models_are_listed_described_and_not_unloaded_where_the_mode_forbids_it() {
    let server = Server::start();
    let output = server.run(&["models", "list", "--json"]);
    let index: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&index[0]["name"], &index[0]["state"]), (&"surface-defects".into(), &"READY".into()), "{index}");

    let output = server.run(&["models", "status", "surface-defects", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["inputs"][0]["shape"], serde_json::json!([-1, 3, 64, 64]));
    assert_eq!(status["provider"], "tract");
    assert_eq!(status["config"]["max_batch_size"], 16);
    assert!(text(&server.run(&["models", "status", "surface-defects"]).stdout).contains("runs on    tract"));

    let output = server.run(&["models", "unload", "surface-defects"]);
    assert_eq!(code(&output), Some(1));
    assert!(text(&output.stderr).contains("--model-control-mode explicit"), "{}", text(&output.stderr));

    let output = server.run(&["infer", "nothing", "--image", "x.jpg"]);
    assert_eq!(code(&output), Some(1));
    assert!(text(&output.stderr).contains("'nothing'"), "{}", text(&output.stderr));
}

#[test]
fn wrong_usage_exits_with_two() {
    for args in [
        &["no-such-command"][..],
        &["infer"],
        &["infer", "m"],
        &["infer", "m", "--image", "x.jpg", "--url", "https://here:8001"],
        &["infer", "m", "--image", "x.jpg", "--timeout", "0"],
        &["infer", "m", "--image", "x.jpg", "--version", "0"],
        &["models", "load"],
        &["check"],
        &["doctor", "--nonsense"],
        &["demo", "somewhere"],
    ] {
        let output = takt(args).output().unwrap();
        assert_eq!(code(&output), Some(2), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn check_reports_every_fault_of_every_model() {
    let repository = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = repository.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("empty/model.toml", "max_batch_size = 4\n");
    write("misspelt/model.toml", "max_batch_size = 4\n\n[batchign]\nmax_delay_ms = 2\n");
    write("misspelt/1/model.onnx", "no model");
    let dir = repository.path().to_str().unwrap();

    let output = takt(&["check", dir]).output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(code(&output), Some(1), "{shown}{}", text(&output.stderr));
    for part in ["empty: 1 fault", "misspelt: ", "model.toml:3", "batchign", "1/model.onnx"] {
        assert!(shown.contains(part), "{part} in:\n{shown}");
    }

    let output = takt(&["check", "--json", dir]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(code(&output), Some(1));
    assert_eq!(report["models"].as_array().unwrap().len(), 2);
}

#[test]
fn check_finds_the_shipped_repository_sound() {
    let output = takt(&["check", examples().join("repository").to_str().unwrap()]).output().unwrap();
    let shown = text(&output.stdout);
    assert_eq!(code(&output), Some(0), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("1 model, 0 faults"), "{shown}");
}

#[test]
fn check_names_a_folder_that_is_not_there() {
    let output = takt(&["check", "no/such/folder"]).output().unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(text(&output.stderr).contains("'no/such/folder' is not a folder"), "{}", text(&output.stderr));
}

#[test]
fn doctor_tells_programs_and_people_the_same() {
    let output = takt(&["doctor", "--json"]).output().unwrap();
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let runtimes = report["runtimes"].as_array().unwrap();
    assert!(runtimes.iter().any(|runtime| runtime["name"] == "tract"), "{report}");
    assert!(report["threads"]["decode"].as_u64().unwrap() >= 1, "{report}");
    let shown = text(&takt(&["doctor"]).output().unwrap().stdout);
    assert!(shown.contains("threads    ") && shown.contains(report["state_root"].as_str().unwrap()), "{shown}");
}
