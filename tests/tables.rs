//! `takt data validate` and `takt drift report` through the binary, on images that it made itself.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, also in its helpers")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use takt_tables::{Column, ParquetFile, Values};

fn takt(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_takt")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder of small images.
fn images(folder: &Path, args: &[&str]) -> String {
    let out = folder.to_str().unwrap();
    let output = takt(&[&["data", "generate", "--out", out, "--size", "64", "--scale", "0.001"], args].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    out.to_owned()
}

/// A folder with every second image of another one.
fn every_second(folder: &str, half: &Path, which: usize) -> String {
    fs::create_dir_all(half).unwrap();
    let labels = fs::read_to_string(Path::new(folder).join("labels.csv")).unwrap();
    let (head, rows) = labels.split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().filter(|row| row.contains(",reference,")).skip(which).step_by(2).collect();
    for file in rows.iter().filter_map(|row| row.split(',').next()) {
        fs::create_dir_all(half.join(file).parent().unwrap()).unwrap();
        fs::hard_link(Path::new(folder).join(file), half.join(file)).unwrap();
    }
    fs::write(half.join("labels.csv"), [&[head], &rows[..]].concat().join("\n") + "\n").unwrap();
    half.to_str().unwrap().to_owned()
}

fn shipped(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

fn validate(suite: &str, data: &str, args: &[&str]) -> Output {
    takt(&[&["data", "validate", suite, "--data", data], args].concat())
}

#[test]
fn generated_images_pass_the_shipped_suite_whatever_their_labels_are_written_as() {
    let folder = tempfile::tempdir().unwrap();
    let suite = shipped("pipeline/suites/image-folder.toml");
    for labels in ["csv", "parquet"] {
        let data = images(&folder.path().join(labels), &["--labels", labels]);
        assert!(Path::new(&data).join(format!("labels.{labels}")).is_file());
        let output = validate(&suite, &data, &["--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&validate(&suite, &data, &[]).stdout));
        assert_eq!((&report["success"], &report["statistics"]["unsuccessful_expectations"]), (&true.into(), &0.into()));
        assert!(report["results"].as_array().unwrap().len() > 12);
    }
}

#[test]
fn what_is_wrong_with_images_is_found_and_ends_with_three() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path(), &[]);
    let labels = folder.path().join("labels.csv");
    let rows = fs::read_to_string(&labels).unwrap();
    let first = rows.lines().find(|row| row.contains(",train,")).unwrap().split(',').next().unwrap();
    // The same picture in training and test, half a picture, one that is gone.
    fs::copy(folder.path().join(first), folder.path().join("copy.jpg")).unwrap();
    let whole = fs::read(folder.path().join(first)).unwrap();
    fs::write(folder.path().join("half.jpg"), &whole[..whole.len() / 2]).unwrap();
    let more: String =
        ["copy.jpg", "half.jpg", "gone.jpg"].map(|file| format!("{file},ok,test,S1,L1,P1,early,0.5,x\n")).concat();
    fs::write(&labels, rows + &more).unwrap();

    let suite = shipped("pipeline/suites/image-folder.toml");
    let output = validate(&suite, &data, &[]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{shown}{}", text(&output.stderr));
    let line =
        |rule: &str, column: &str| shown.lines().find(|line| line.contains(rule) && line.contains(column)).unwrap();
    let broken = line("column_values_to_be_null", "image_error");
    assert!(broken.starts_with("ERROR") && broken.contains("2 of 37 rows"), "{broken}");
    let leak = line("column_values_to_be_in_one_group", "image_sha256");
    assert!(leak.starts_with("ERROR") && leak.contains("2 of 36 rows"), "{leak}");
    let twice = line("column_values_to_be_unique", "image_sha256");
    assert!(twice.starts_with("warning"), "{twice}");
    assert!(shown.trim_end().ends_with("2 errors, 1 warning"), "{shown}");
}

#[test]
fn a_suite_with_faults_names_all_of_them_and_data_that_is_none_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("suite.toml");
    fs::write(&suite, "[[rule]]\nexpect = \"column_to_exits\"\n[[rule]]\nexpect = \"column_to_exist\"\n").unwrap();
    let suite = suite.to_str().unwrap();
    let output = validate(suite, "nowhere.csv", &[]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("2 faults") && errors.contains("did you mean 'column_to_exist'?"), "{errors}");
    assert!(errors.contains("rule 2 (column_to_exist): column: found nothing"), "{errors}");
    let output = validate(&shipped("pipeline/suites/image-folder.toml"), "nowhere.csv", &[]);
    assert!(text(&output.stderr).contains("nowhere.csv is not there"), "{}", text(&output.stderr));
}

#[test]
fn a_noisier_camera_is_drift_and_the_same_line_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, args: &[&str]| images(&folder.path().join(name), &[&["--reference", "520"], args].concat());
    let (line, noisy) = (make("line", &[]), make("noisy", &["--noise", "4"]));
    // Every second image of one line against the others: another seed would have other products.
    let [before, same] = [0, 1].map(|which| every_second(&line, &folder.path().join(format!("half-{which}")), which));
    let page: PathBuf = folder.path().join("drift.html");
    let report = |current: &str, args: &[&str]| {
        let columns = ["--columns", "image_noise,image_sharpness"];
        takt(
            &[
                &["drift", "report", "--reference", &before, "--current", current, "--fail-on-drift"],
                &columns[..],
                args,
            ]
            .concat(),
        )
    };
    let output = report(&noisy, &["--json", "--html", page.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}{}", text(&output.stdout), text(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["columns"][0]["column"], &found["columns"][0]["verdict"]),
        (&"image_noise".into(), &"drift".into())
    );
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("image_noise") && !page.contains("http"), "{page}");

    let output = report(&same, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    assert!(!text(&output.stdout).contains("DRIFT"), "{}", text(&output.stdout));
}

#[test]
fn a_column_that_is_missing_and_settings_that_make_no_sense_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("a.csv");
    fs::write(&table, "light\n1\n2\n").unwrap();
    let settings = folder.path().join("s.toml");
    fs::write(&settings, "[limits]\nks = 3.0\n").unwrap();
    let table = table.to_str().unwrap();
    let report = |args: &[&str]| {
        let output = takt(&[&["drift", "report", "--reference", table, "--current", table], args].concat());
        (output.status.code(), text(&output.stderr))
    };
    let (code, errors) = report(&["--columns", "ligth"]);
    assert!(code == Some(1) && errors.contains("has no column 'ligth'; did you mean 'light'?"), "{errors}");
    let (code, errors) = report(&["--settings", settings.to_str().unwrap()]);
    assert!(code == Some(1) && errors.contains("limits.ks is 3, expected a number from 0 to 1"), "{errors}");
}

/// Writes a Parquet file of four columns of doubles, group by group.
fn write_numbers(path: &Path, groups: u64) {
    const ROWS: u64 = 1 << 17;
    let columns = |rows: std::ops::Range<u64>| {
        let column = |factor: u64| {
            let value = move |row: u64| Some((row * factor % 1_000_003) as f64);
            Column::new(format!("x{factor}"), Values::Numbers(rows.clone().map(value).collect()))
        };
        [7919, 104_729, 15_485_863, 611_953].map(column)
    };
    let mut file = ParquetFile::create(path, &columns(0..0)).unwrap();
    (0..groups).for_each(|group| file.write(&columns(group * ROWS..(group + 1) * ROWS)).unwrap());
    file.finish().unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_takes_less_memory_than_its_tables() {
    let folder = tempfile::tempdir().unwrap();
    let [reference, settings] = ["reference.parquet", "settings.toml"].map(|name| folder.path().join(name));
    // 3.1 million rows: 100 MB on either side.
    write_numbers(&reference, 24);
    fs::write(&settings, "exact_rows = 0\n").unwrap();
    // Memory that is neither program nor file, in KiB; what is beyond ends the process.
    let report = r#"ulimit -d 120000; exec "$0" drift report --reference "$1" --current "$1" --settings "$2" --json"#;
    let program = env!("CARGO_BIN_EXE_takt");
    let output = Command::new("sh").args(["-c", report, program]).args([&reference, &settings]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["current"]["rows"]), (&"ok".into(), &(24_u64 << 17).into()));
    assert_eq!(report["columns"].as_array().unwrap().len(), 4);
}
