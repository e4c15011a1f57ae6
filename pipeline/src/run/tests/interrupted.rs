//! Stages that fail, panic or are killed, and results that were damaged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use super::fakes::{Bench, Fake};
use super::{ALL, chain};
use crate::run::{Ended, Happened, Observer, Options, Plan, Stage, StageReport, Unfinished, Unobserved, Why, run};

/// data -> train -> package, where `train` does this the first time.
fn failing(how: fn() -> Unfinished) -> [Fake; 3] {
    let train = Fake::new("train", &["data"]).doing(move |out, _| {
        let checkpoint = out.join("checkpoint");
        if !checkpoint.exists() {
            fs::write(&checkpoint, "epoch 7").unwrap();
            return Err(how());
        }
        assert_eq!(fs::read_to_string(&checkpoint).unwrap(), "epoch 7");
        fs::remove_file(checkpoint).unwrap();
        Ok(StageReport::default())
    });
    [Fake::new("data", &[]), train, Fake::new("package", &["train"])]
}

#[test]
fn a_failed_stage_keeps_earlier_results_and_goes_on_in_its_folder() {
    let bench = Bench::new();
    let full = || Unfinished::from(io::Error::from(io::ErrorKind::StorageFull));
    let summary = bench.run(failing(full));
    assert_eq!((summary.ended, summary.exit_code()), (Ended::Failed, 1));
    assert_eq!(bench.log.take(), ["data", "train"]);
    let text = summary.to_string();
    assert!(text.contains("train failed: no storage space; free space there"), "{text}");
    let folder = summary.stage("train").unwrap().folder.clone().unwrap();
    assert!(folder.join("checkpoint").exists());

    let summary = bench.run(failing(full));
    assert_eq!(summary.ended, Ended::Done);
    assert_eq!(bench.log.take(), ["train", "package"]);
    assert!(!folder.exists());
}

#[test]
fn a_panic_is_a_failure_of_its_stage() {
    let bench = Bench::new();
    let summary = bench.run(failing(|| panic!("index 3 of 2")));
    assert_eq!(summary.exit_code(), 1);
    assert!(summary.to_string().contains("train failed: panicked: index 3 of 2; this is a fault of Takt"), "{summary}");
    assert_eq!(bench.run(failing(|| panic!("again"))).ended, Ended::Done);
    assert_eq!(bench.log.take(), ["data", "train", "train", "package"]);
}

#[test]
fn a_result_that_lacked_only_its_rename_is_not_made_again() {
    let bench = Bench::new();
    let first = bench.run(chain(1));
    bench.log.take();
    let folder = first.stage("train").unwrap().folder.clone().unwrap();
    let running = bench.work().join("running").join(folder.file_name().unwrap());
    // Killed before the rename, and killed between the two renames that replace a result.
    for replaced in [false, true] {
        fs::rename(&folder, &running).unwrap();
        if replaced {
            let gone = bench.work().join("running").join(format!(".gone-{}", folder.file_name().unwrap().display()));
            fs::create_dir(&gone).unwrap();
            fs::write(gone.join("value"), "old").unwrap();
        }
        assert_eq!(bench.run(chain(1)).stages, bench.run(chain(1)).stages);
        assert!(bench.log.take().is_empty());
        assert!(bench.names("running").is_empty());
        assert!(folder.join("value").exists());
    }
}

#[test]
fn what_is_not_complete_is_never_taken_for_a_result() {
    let bench = Bench::new();
    let first = bench.run(chain(1));
    let folder = first.stage("train").unwrap().folder.clone().unwrap();
    let running = bench.work().join("running").join(folder.file_name().unwrap());
    let record = fs::read_to_string(folder.join("result.json")).unwrap();
    let torn: [&dyn Fn(&Path); 3] = [
        &|at| fs::write(at.join("result.json"), &record[..record.len() / 2]).unwrap(),
        &|at| fs::rename(at.join("result.json"), at.join("result.json.part")).unwrap(),
        &|at| fs::remove_file(at.join("value")).unwrap(),
    ];
    for tear in torn {
        bench.log.take();
        fs::rename(&folder, &running).unwrap();
        tear(&running);
        assert_eq!(bench.run(chain(1)).ended, Ended::Done);
        assert_eq!(bench.log.take(), ["train"]);
        assert!(!folder.join("result.json.part").exists() && !running.exists());
    }
}

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn warn(&self, stage: &str, message: &str) {
        self.0.lock().unwrap().push(format!("{stage}: {message}"));
    }
}

#[test]
fn damaged_results_are_made_again_with_a_warning() {
    let bench = Bench::new();
    let first = bench.run(chain(1));
    let folder = first.stage("train").unwrap().folder.clone().unwrap();
    type Damage<'a> = (&'a dyn Fn(&Path), &'a str);
    let damages: [Damage<'_>; 4] = [
        (&|at| fs::remove_file(at.join("value")).unwrap(), "'value' is missing"),
        (&|at| fs::write(at.join("value"), "").unwrap(), "'value' has 0 bytes, expected 6"),
        (&|at| fs::write(at.join("result.json"), "{").unwrap(), "result.json: EOF"),
        (&|at| fs::remove_file(at.join("result.json")).unwrap(), "result.json is missing"),
    ];
    for (damage, told) in damages {
        bench.log.take();
        damage(&folder);
        let warnings = Warnings::default();
        let plan = bench.plan(chain(1));
        let summary = run(&plan, &bench.work(), &Options::default(), &warnings, &bench.stop).unwrap();
        assert_eq!(bench.log.take(), ["train"], "what depends on it is the same as before");
        assert!(matches!(summary.stage("train").unwrap().why, Some(Why::Damaged { .. })));
        let warnings = warnings.0.into_inner().unwrap();
        assert!(matches!(&warnings[..], [one] if one.starts_with("train: ") && one.contains(told)), "{warnings:?}");
    }
}

#[test]
fn a_forced_run_that_fails_leaves_the_old_result() {
    let bench = Bench::new();
    let first = bench.run(chain(1));
    let [data, train, rest @ ..] = chain(1);
    let train = train.doing(|_, _| Err(Unfinished::failed("no")));
    let options = Options { force: vec!["train".to_owned()], ..Options::default() };
    let summary = bench.run_with([data, train].into_iter().chain(rest), &options);
    assert_eq!(summary.stage("train").unwrap().happened, Happened::Failed { error: "no".to_owned() });
    assert_eq!(bench.log.take().len(), ALL.len() + 1);
    let after = bench.run(chain(1));
    assert!(bench.log.take().is_empty());
    assert_eq!(bench.value(&after, "package"), bench.value(&first, "package"));
}

/// Where the child works; only in the child.
const CHILD: &str = "TAKT_TEST_KILLED_RUN";
/// Longest time that either process waits for the other.
const PATIENCE: Duration = Duration::from_secs(60);

/// `data`, then `train` with a checkpoint per epoch, which never ends in the child.
fn killed(child: bool) -> Plan {
    let train = Fake::new("train", &["data"]).doing(move |out, _| {
        let epoch = |n: u32| out.join(format!("epoch-{n}"));
        let from = (1..=5).find(|n| !epoch(*n).exists()).unwrap();
        fs::write(out.join("began-at"), from.to_string()).unwrap();
        for n in from..=5 {
            if child && n == 4 {
                thread::sleep(PATIENCE);
            }
            fs::write(epoch(n), "").unwrap();
        }
        Ok(StageReport::default())
    });
    let boxed = |fake: Fake| -> Box<dyn Stage> { Box::new(fake) };
    let stages = [("data", Fake::new("data", &[])), ("train", train)];
    Plan::new(stages.map(|(name, fake)| (name.to_owned(), boxed(fake))).into()).unwrap()
}

#[test]
fn a_killed_run_goes_on_from_its_checkpoint() {
    let go = |work: &Path, child| run(&killed(child), work, &Options::default(), &Unobserved, &AtomicBool::new(false));
    if let Some(work) = std::env::var_os(CHILD) {
        go(&PathBuf::from(work), true).unwrap();
        return;
    }
    let bench = Bench::new();
    let name = concat!(module_path!(), "::a_killed_run_goes_on_from_its_checkpoint");
    let name = name.split_once("::").unwrap().1;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, bench.work())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let reached = || {
        let mut running = fs::read_dir(bench.work().join("running")).into_iter().flatten().flatten();
        running.any(|entry| entry.path().join("epoch-3").exists())
    };
    while !reached() {
        assert!(begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none(), "the child has not come to epoch 3");
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let summary = go(&bench.work(), false).unwrap();
    assert_eq!(summary.stage("data").unwrap().happened, Happened::Cached);
    let train = summary.stage("train").unwrap();
    assert_eq!(train.happened, Happened::Ran);
    assert_eq!(fs::read_to_string(train.folder.as_ref().unwrap().join("began-at")).unwrap(), "4");
}
