//! Runs of small plans, from the first to one that goes on after a kill.

pub mod fakes;
mod interrupted;
mod random;
mod shown;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use self::fakes::{Bench, Fake};
use super::{Ended, Happened, Options, StageReport, Unfinished, Unobserved, Why, prune_results, run};

/// data -> train -> prune -> package, and data -> other; `train` with a setting.
fn chain(train: i64) -> [Fake; 5] {
    [
        Fake::new("data", &[]),
        Fake::new("train", &["data"]).setting(train),
        Fake::new("other", &["data"]),
        Fake::new("prune", &["train"]),
        Fake::new("package", &["prune", "data"]),
    ]
}

const ALL: [&str; 5] = ["data", "train", "other", "prune", "package"];

#[test]
fn a_second_run_does_nothing() {
    let bench = Bench::new();
    let first = bench.run(chain(1));
    assert_eq!(bench.log.take(), ALL);
    assert_eq!((first.ended, first.exit_code()), (Ended::Done, 0));
    assert!(first.stages.iter().all(|row| row.happened == Happened::Ran && row.why == Some(Why::NeverRun)));
    assert_eq!(bench.value(&first, "package"), "1(1(1(1())),1())");

    let second = bench.run(chain(1));
    assert!(bench.log.take().is_empty());
    assert!(second.stages.iter().all(|row| row.happened == Happened::Cached && row.seconds.is_none()));
    assert_eq!(bench.value(&second, "package"), bench.value(&first, "package"));
    assert!(bench.names("running").is_empty());
}

#[test]
fn a_changed_stage_runs_with_what_depends_on_it_and_nothing_else() {
    let bench = Bench::new();
    bench.run(chain(1));
    bench.log.take();
    let changed = bench.run(chain(2));
    assert_eq!(bench.log.take(), ["train", "prune", "package"]);
    let why = |stage| changed.stage(stage).unwrap().why.clone().unwrap().to_string();
    assert_eq!(why("train"), "settings changed: setting was 1, is 2");
    assert_eq!(why("prune"), "input 'train' changed");
    assert_eq!(bench.value(&changed, "package"), "1(1(2(1())),1())");
    bench.run(chain(1));
    assert!(bench.log.take().is_empty(), "results of settings had before are still there");
}

#[test]
fn a_changed_source_runs_what_reads_it() {
    let bench = Bench::new();
    let images = bench.dir.path().join("images");
    fs::create_dir(&images).unwrap();
    fs::write(images.join("1.png"), "one").unwrap();
    let stages = || [Fake::new("data", &[]).source(&images), Fake::new("train", &["data"]), Fake::new("other", &[])];
    bench.run(stages());
    bench.log.take();
    fs::write(images.join("1.png"), "two").unwrap();
    let summary = bench.run(stages());
    assert_eq!(bench.log.take(), ["data", "train"]);
    assert_eq!(summary.stage("data").unwrap().why, Some(Why::Source { path: images }));
}

#[test]
fn sources_that_are_not_there_are_told_at_once_and_before_anything_runs() {
    let bench = Bench::new();
    let none = bench.dir.path().join("none");
    let stages = ["a", "b"].map(|name| Fake::new(name, &[]).source(&none.join(name)));
    let plan = bench.plan([Fake::new("first", &[])].into_iter().chain(stages));
    let error = run(&plan, &bench.work(), &Options::default(), &Unobserved, &bench.stop).unwrap_err();
    assert_eq!(error.kind(), "sources");
    let text = error.to_string();
    assert!(text.contains("stage 'a': source ") && text.contains("stage 'b': source "), "{text}");
    assert!(text.contains("is not there; put it there or correct its path"), "{text}");
    assert!(bench.log.take().is_empty());
}

#[test]
fn a_source_that_changes_under_a_stage_gives_no_result() {
    let bench = Bench::new();
    let labels = bench.dir.path().join("labels.csv");
    fs::write(&labels, "old").unwrap();
    let stages = || {
        let labels = labels.clone();
        [Fake::new("data", &[]).source(&labels.clone()).doing(move |_, _| {
            fs::write(&labels, "new").unwrap();
            Ok(StageReport::default())
        })]
    };
    let summary = bench.run(stages());
    assert_eq!(summary.exit_code(), 1);
    assert!(summary.to_string().contains("labels.csv changed while the stage read it"), "{summary}");
    assert!(bench.names("results").is_empty());
    assert_eq!(bench.run(stages()).ended, Ended::Done);
}

#[test]
fn a_gate_that_says_no_ends_the_run_and_its_report_is_kept() {
    let bench = Bench::new();
    let stages = |limit: f64| {
        let evaluate = Fake::new("evaluate", &["data"]).setting(limit).doing(move |_, _| {
            let refused = (limit > 0.9).then(|| "accuracy 0.9000 < 0.9500".to_owned());
            Ok(StageReport { figures: vec![("accuracy".to_owned(), json!(0.9))], refused })
        });
        [Fake::new("data", &[]), evaluate, Fake::new("package", &["evaluate"])]
    };
    for cached in [false, true] {
        let summary = bench.run(stages(0.95));
        assert_eq!((summary.ended, summary.exit_code()), (Ended::Refused, 3));
        let evaluate = summary.stage("evaluate").unwrap();
        assert!(matches!(evaluate.happened, Happened::Refused { cached: was, .. } if was == cached));
        assert_eq!(evaluate.figures, [("accuracy".to_owned(), json!(0.9))]);
        assert_eq!(summary.stage("package").unwrap().happened, Happened::NotReached);
        assert!(summary.to_string().contains("evaluate says no: accuracy 0.9000 < 0.9500"), "{summary}");
    }
    assert_eq!(bench.log.take(), ["data", "evaluate"]);
    assert_eq!(bench.run(stages(0.5)).ended, Ended::Done);
    assert_eq!(bench.log.take(), ["evaluate", "package"]);
}

#[test]
fn a_forced_stage_runs_and_others_only_if_it_comes_out_otherwise() {
    let bench = Bench::new();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let stages = || {
        let varies = Fake::new("varies", &["same"]).doing(|out, _| {
            fs::write(out.join("count"), COUNT.fetch_add(1, Ordering::Relaxed).to_string()).unwrap();
            Ok(StageReport::default())
        });
        [Fake::new("same", &[]), varies, Fake::new("last", &["varies"])]
    };
    let options = |force: &[&str], from: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Options { force: owned(force), from: owned(from) }
    };
    bench.run(stages());
    bench.log.take();
    bench.run_with(stages(), &options(&["same"], &[]));
    assert_eq!(bench.log.take(), ["same"]);
    let summary = bench.run_with(stages(), &options(&["varies"], &[]));
    assert_eq!(bench.log.take(), ["varies", "last"]);
    assert_eq!(summary.stage("last").unwrap().why, Some(Why::Remade { stage: "varies".to_owned() }));
    bench.run_with(stages(), &options(&[], &["same"]));
    assert_eq!(bench.log.take(), ["same", "varies", "last"]);
    bench.run(stages());
    assert!(bench.log.take().is_empty());

    let plan = bench.plan(stages());
    let error = run(&plan, &bench.work(), &options(&["lst"], &[]), &Unobserved, &bench.stop).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no stage 'lst' in this plan; expected one of same, varies, last; did you mean 'last'?"
    );
}

#[test]
fn plans_share_results_and_pruning_keeps_what_either_uses() {
    let bench = Bench::new();
    bench.run(chain(1));
    bench.log.take();
    bench.run([Fake::new("data", &[]), Fake::new("train", &["data"]), Fake::new("distil", &["train"])]);
    assert_eq!(bench.log.take(), ["distil"]);
    bench.run(chain(2));
    fs::create_dir_all(bench.work().join("running/train-0000000000000000")).unwrap();
    assert_eq!(bench.names("results").len(), 9);

    let (chain, other) = (bench.plan(chain(2)), bench.plan([Fake::new("data", &[]), Fake::new("train", &["data"])]));
    let pruned = prune_results(&[&chain, &other], &bench.work()).unwrap();
    assert_eq!(pruned.removed.len(), 4, "{pruned:?}");
    assert!(pruned.bytes > 0);
    assert_eq!(bench.names("results").len(), 6);
    assert!(bench.names("running").is_empty());
    bench.log.take();
    bench.run(self::chain(2));
    assert!(bench.log.take().is_empty());
}

#[test]
fn cleaning_leaves_what_is_nobodys_result() {
    let bench = Bench::new();
    bench.run(chain(1));
    let results = bench.work().join("results");
    fs::create_dir_all(results.join("thesis")).unwrap();
    fs::write(results.join("thesis/data.csv"), "years of work").unwrap();
    fs::write(results.join(".DS_Store"), "a desktop's").unwrap();
    fs::write(bench.work().join("running/notes-of-a-day"), "mine").unwrap();
    // A file that is called like a result is in the way of one, and goes.
    fs::write(results.join("train-0000000000000000"), "").unwrap();
    let plan = bench.plan(chain(1));
    assert_eq!(prune_results(&[&plan], &bench.work()).unwrap().removed, ["train-0000000000000000"]);
    assert!(results.join("thesis/data.csv").is_file() && results.join(".DS_Store").is_file());
    bench.log.take();
    bench.run(chain(1));
    assert!(bench.log.take().is_empty());
}

#[test]
fn a_result_that_differs_in_its_log_alone_is_the_same() {
    let bench = Bench::new();
    static HOUR: AtomicUsize = AtomicUsize::new(0);
    let stages = || {
        let train = Fake::new("train", &[]).doing(|out, _| {
            fs::write(out.join(Fake::LOG), HOUR.fetch_add(1, Ordering::Relaxed).to_string()).unwrap();
            Ok(StageReport::default())
        });
        [train, Fake::new("last", &["train"])]
    };
    bench.run(stages());
    bench.log.take();
    bench.run_with(stages(), &Options { force: vec!["train".to_owned()], from: Vec::new() });
    assert_eq!(bench.log.take(), ["train"]);
}

#[test]
fn two_runs_do_not_share_a_work_folder() {
    let bench = Bench::new();
    let held = super::store::Store::open(&bench.work()).unwrap();
    let error = run(&bench.plan(chain(1)), &bench.work(), &Options::default(), &Unobserved, &bench.stop).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("in use by process {}; wait", std::process::id())), "{text}");
    bench.show(chain(1));
    drop(held);
    assert_eq!(bench.run(chain(1)).ended, Ended::Done);
}

#[test]
fn a_stopped_run_keeps_what_it_has() {
    let bench = Bench::new();
    let stages = || {
        let train = Fake::new("train", &["data"]).doing(|out, context| {
            let checkpoint = out.join("checkpoint");
            if checkpoint.exists() {
                return Ok(StageReport::default());
            }
            fs::write(checkpoint, "1").unwrap();
            // As a signal would, in the middle of the work.
            context.stop().store(true, Ordering::Relaxed);
            if context.stopping() { Err(Unfinished::Stopped) } else { Ok(StageReport::default()) }
        });
        [Fake::new("data", &[]), train, Fake::new("package", &["train"])]
    };
    let summary = bench.run(stages());
    assert_eq!((summary.ended, summary.exit_code()), (Ended::Stopped, 130));
    assert_eq!(summary.stage("train").unwrap().happened, Happened::Stopped);
    bench.log.take();
    assert_eq!(bench.run(stages()).ended, Ended::Stopped, "the flag is still set");
    assert!(bench.log.take().is_empty());
    bench.stop.store(false, Ordering::Relaxed);
    assert_eq!(bench.run(stages()).ended, Ended::Done);
    assert_eq!(bench.log.take(), ["train", "package"]);
}

#[test]
fn the_runners_own_file_name_is_refused() {
    let bench = Bench::new();
    let stage = Fake::new("data", &[]).doing(|out, _| {
        fs::write(out.join("result.json"), "{}").unwrap();
        Ok(StageReport::default())
    });
    let summary = bench.run([stage]);
    assert!(summary.to_string().contains("which belongs to the runner"), "{summary}");
    assert!(bench.names("results").is_empty());
}
