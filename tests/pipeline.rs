//! `takt pipeline` through the binary: images to a version that `takt check` accepts, kills, refusals.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const RECIPE: &str = r#"
schema = 1
name = "surfaces"

[[stage]]
name = "images"
kind = "generate"
size = 64
counts = { train = 48, validation = 24, calibration = 12, test = 24, reference = 0 }
knobs = { ok_share = 0.1667 }

[[stage]]
name = "big"
kind = "train"
data = "images"
start = { architecture = { name = "resnet20", width = 0.5, size = 32 } }
settings = { epochs = 3, batch = 8 }

[[stage]]
name = "small"
kind = "prune"
data = "images"
model = "big"
cut = { keep = 0.6, block = 2 }
settings = { epochs = 1, batch = 8 }
distil = { views = 1 }

[[stage]]
name = "int8"
kind = "quantize"
data = "images"
model = "small"
targets = ["cpu-int8-avx2"]

[[stage]]
name = "judge"
kind = "evaluate"
data = "images"
model = "int8"
artefact = "cpu-int8-avx2"
parent = "big"
gates = { min_size_ratio = SIZE }

[[stage]]
name = "version"
kind = "package"
data = "images"
artefacts = "int8"
evaluation = "judge"
# A net that has learnt nothing may call two classes alike.
parity = { min_cosine = 0.9 }
"#;

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.write("1.2");
        bench
    }

    fn write(&self, size: &str) {
        fs::write(self.0.path().join("line.toml"), RECIPE.replace("SIZE", size)).unwrap();
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt"));
        command.current_dir(self.0.path()).args(["pipeline", verb, "line.toml"]);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command("run").args(args).output().unwrap()
    }

    fn running(&self, stage: &str) -> Option<PathBuf> {
        let entries = fs::read_dir(self.0.path().join("takt-work/surfaces/running")).ok()?;
        let mut folders = entries.map(|entry| entry.unwrap().path());
        folders.find(|folder| folder.file_name().unwrap().to_string_lossy().starts_with(stage))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn what_happened(output: &Output) -> Vec<String> {
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let stages = told["summary"]["stages"].as_array().unwrap();
    stages.iter().map(|stage| stage["happened"].as_str().unwrap().to_owned()).collect()
}

fn check(repository: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_takt")).arg("check").arg(repository).output().unwrap()
}

#[test]
fn from_nothing_to_a_published_version_through_a_kill_and_then_nothing_more() {
    let bench = Bench::new();
    let mut killed = bench.command("run").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The first epoch is on the disk, the last is not.
    let begun = Instant::now();
    while bench.running("big").is_none_or(|folder| !folder.join("checkpoint").exists()) {
        assert!(begun.elapsed() < Duration::from_secs(120) && killed.try_wait().unwrap().is_none());
        thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    let shown = text(&bench.command("show").output().unwrap().stdout);
    assert!(shown.contains("images") && shown.contains("cached") && shown.contains("goes on"), "{shown}");
    let whole = bench.run(&["--publish", "models", "--json"]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stderr));
    assert_eq!(what_happened(&whole), ["cached", "ran", "ran", "ran", "ran", "ran"]);
    assert!(text(&whole.stderr).contains("big goes on"), "{}", text(&whole.stderr));
    let models = bench.0.path().join("models");
    assert!(models.join("surfaces/1/model.cpu-int8-avx2.onnx").is_file());
    let checked = check(&models);
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));

    let again = bench.run(&["--publish", "models"]);
    assert_eq!(again.status.code(), Some(0));
    assert!(text(&again.stdout).contains("is there already: models/surfaces/1"), "{}", text(&again.stdout));
    assert_eq!(fs::read_dir(models.join("surfaces")).unwrap().count(), 1);

    bench.write("1000.0");
    let refused = bench.run(&["--publish", "models", "--json"]);
    assert_eq!(refused.status.code(), Some(3), "a gate says no: {}", text(&refused.stderr));
    assert_eq!(what_happened(&refused), ["cached", "cached", "cached", "cached", "refused", "not_reached"]);
    let cleaned = bench.command("clean").output().unwrap();
    assert!(text(&cleaned.stdout).contains("removed version-"), "{}", text(&cleaned.stdout));
}

/// Files larger than the limit are refused by the system, as all are when a disk is full.
#[cfg(unix)]
#[test]
fn a_model_that_cannot_be_written_leaves_nothing_half_written_and_the_run_goes_on() {
    let bench = Bench::new();
    let stages = RECIPE.split("[[stage]]\nname = \"small\"").next().unwrap().replace("epochs = 3", "epochs = 1");
    fs::write(bench.0.path().join("line.toml"), stages).unwrap();
    // 50 or 100 KiB by the shell; the images are smaller, the model is not.
    let limited = r#"trap '' XFSZ; ulimit -f 100; exec "$0" pipeline run line.toml"#;
    let mut shell = Command::new("sh");
    shell.current_dir(bench.0.path()).args(["-c", limited, env!("CARGO_BIN_EXE_takt")]);
    let refused = shell.output().unwrap();
    let told = text(&refused.stdout);
    assert_eq!(refused.status.code(), Some(1), "{told}{}", text(&refused.stderr));
    assert!(told.contains("cannot write") && told.contains("epoch-1.onnx: File too large"), "{told}");
    assert!(told.contains("allow larger files"), "{told}");
    let running = bench.running("big").unwrap();
    let left = fs::read_dir(running.join("checkpoint")).unwrap().count();
    assert_eq!(left, 0, "no part of a model");

    let again = bench.run(&["--json"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!(what_happened(&again), ["cached", "ran"]);
}

#[test]
fn a_file_that_is_wrong_is_told_before_anything_runs() {
    let bench = Bench::new();
    let recipe = RECIPE.replace("SIZE", "1.2").replace("model = \"big\"", "model = \"bigg\"").replace("block", "blokc");
    fs::write(bench.0.path().join("line.toml"), recipe).unwrap();
    let output = bench.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("stage 'small' (prune): unknown field `blokc`"), "{told}");
    assert!(!bench.0.path().join("takt-work").exists());
}
