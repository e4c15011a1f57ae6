//! `takt data` through the binary.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn generate(out: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_takt"));
    command.args(["data", "generate", "surface-defects", "--out"]).arg(out).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn settings_come_from_a_file_and_the_command_line_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, out) = (folder.path().join("easy.toml"), folder.path().join("out"));
    fs::write(&settings, "size = 64\nscale = 0.001\n[counts]\nreference = 3\n[knobs]\ncontrast = 2.0\n").unwrap();
    let args = ["--settings", settings.to_str().unwrap(), "--test", "4"];
    let output = generate(&out, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = fs::read_to_string(out.join("labels.csv")).unwrap();
    let count = |split: &str| rows.lines().filter(|row| row.contains(&format!(",{split},"))).count();
    let splits = ["train", "validation", "calibration", "test", "reference"];
    assert_eq!(splits.map(count), [6, 2, 1, 4, 3]);
    let again = generate(&out, &args);
    assert!(text(&again.stdout).contains("16 of them were there already"), "{}", text(&again.stdout));
    let other = generate(&out, &["--scale", "0.001"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("contrast is 2.0 there, 1.0 was asked for"), "{}", text(&other.stderr));
}

#[test]
fn settings_that_make_no_sense_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (settings, out) = (folder.path().join("odd.toml"), folder.path().join("out"));
    fs::write(&settings, "sise = 64\n").unwrap();
    let path = settings.to_str().unwrap();
    for (args, part) in [
        (vec!["--settings", path], "unknown field `sise`"),
        (vec!["--settings", "nowhere.toml"], "cannot read nowhere.toml"),
        (vec!["--scale", "0"], "scale is 0, expected a factor above 0"),
        (vec!["--size", "9"], "size is 9, expected 64 to 2048"),
    ] {
        let output = generate(&out, &args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(part), "{part} in {}", text(&output.stderr));
        assert!(!out.exists(), "{args:?}");
    }
}

#[cfg(not(feature = "tables"))]
#[test]
fn commands_on_tables_say_which_build_has_them() {
    for args in [
        &["data", "validate", "suite.toml", "--data", "a.csv"][..],
        &["data", "generate", "--out", "nowhere", "--labels", "parquet"],
        &["drift", "report", "--reference", "a.csv", "--current", "b.csv"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_takt")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains("--features tables"), "{}", text(&output.stderr));
    }
}
