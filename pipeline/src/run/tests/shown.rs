//! What a person or another program gets to see.

use std::fs;

use serde_json::{Value, json};

use super::chain;
use super::fakes::{Bench, Fake};
use crate::run::{Overview, Record, StageReport, Standing, Unfinished, Why};

fn why(overview: &Overview, stage: &str) -> Option<Why> {
    let shown = overview.stages.iter().find(|shown| shown.stage == stage).unwrap();
    match &shown.standing {
        Standing::Cached { .. } => None,
        Standing::Runs { why, .. } => Some(why.clone()),
    }
}

#[test]
fn showing_says_what_would_run_and_why_and_touches_nothing() {
    let bench = Bench::new();
    let labels = bench.dir.path().join("labels.csv");
    fs::write(&labels, "a").unwrap();
    let stages = |setting| {
        let [data, rest @ ..] = chain(setting);
        [data.source(&labels)].into_iter().chain(rest).collect::<Vec<_>>()
    };
    let overview = bench.show(stages(1));
    assert!(overview.stages.iter().all(|shown| why(&overview, &shown.stage) == Some(Why::NeverRun)));
    assert!(!bench.work().exists());

    let done = bench.run(stages(1));
    let overview = bench.show(stages(1));
    assert!(overview.stages.iter().all(|shown| why(&overview, &shown.stage).is_none()), "{overview}");
    assert!(overview.to_string().ends_with("nothing to run\n"), "{overview}");
    assert!(overview.stages.iter().zip(&done.stages).all(|(shown, row)| shown.key == row.key));

    let overview = bench.show(stages(2));
    assert_eq!(why(&overview, "data"), None);
    assert_eq!(why(&overview, "train"), Some(Why::Settings { change: "setting was 1, is 2".to_owned() }));
    assert_eq!(why(&overview, "prune"), Some(Why::Input { stage: "train".to_owned() }));
    assert_eq!(why(&overview, "other"), None);
    assert!(overview.to_string().contains("3 of 5 stages to run"), "{overview}");

    fs::write(&labels, "b").unwrap();
    assert_eq!(why(&bench.show(stages(1)), "data"), Some(Why::Source { path: labels.clone() }));
    fs::write(&labels, "a").unwrap();

    fs::remove_file(done.stage("data").unwrap().folder.clone().unwrap().join("value")).unwrap();
    let overview = bench.show(stages(1));
    assert!(matches!(why(&overview, "data"), Some(Why::Damaged { .. })));
    assert_eq!(why(&overview, "train"), Some(Why::Pending { stage: "data".to_owned() }));
    assert_eq!(bench.log.take().len(), 5, "only the run ran anything");
}

#[test]
fn a_table_and_json_say_what_happened() {
    let bench = Bench::new();
    let figures = || vec![("loss".to_owned(), json!(0.125)), ("epochs".to_owned(), json!(30))];
    let train = Fake::new("train", &["data"]).doing(move |_, _| Ok(StageReport { figures: figures(), refused: None }));
    let distil = Fake::new("distil", &["train"]).doing(|_, _| Err(Unfinished::failed("the loss became NaN")));
    let mut summary = bench.run([Fake::new("data", &[]), train, distil, Fake::new("package", &["distil"])]);
    summary.seconds = 2.0;
    for row in &mut summary.stages {
        row.seconds = row.seconds.map(|_| 1.0);
    }
    let expected = "\
stage    what happened     seconds  figures
data     ran                   1.0
train    ran                   1.0  loss 0.125, epochs 30
distil   FAILED                1.0
package  not reached             -

distil failed: the loss became NaN
failed after 2.0 s; what is complete is kept, run again to go on
";
    assert_eq!(summary.to_string(), expected);

    let json: Value = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["ended"], "failed");
    assert_eq!(json["stages"][1]["happened"], "ran");
    assert_eq!(json["stages"][1]["figures"], json!({"loss": 0.125, "epochs": 30}));
    assert_eq!(json["stages"][1]["why"]["because"], "never_run");
    assert_eq!(json["stages"][2]["error"], "the loss became NaN");

    // What a stage finds in the folder of an input.
    let record = Record::read(summary.stage("train").unwrap().folder.as_ref().unwrap()).unwrap();
    assert_eq!((record.stage.as_str(), &record.key), ("train", &summary.stages[1].key));
    assert_eq!(record.inputs[0].key, summary.stages[0].key);
    assert_eq!(record.files.keys().collect::<Vec<_>>(), ["value"]);
    let error = Record::read(&bench.work()).unwrap_err().to_string();
    assert!(error.contains("is no result of a stage: result.json is missing"), "{error}");
}
