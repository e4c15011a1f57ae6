use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use takt_artifact::VersionDir;

use super::*;
use crate::run::{Ended, Happened, Options, Unobserved, run, show};
use crate::testing::{SIDE, stripes};

const MACHINE: Machine = Machine { threads: NonZeroUsize::new(2).unwrap(), cache_bytes: 1 << 24, weigh: None };

fn text(gates: &str) -> String {
    format!(
        r#"
        schema = 1
        name = "stripes"

        [decision]
        output = "logits"
        activation = "softmax"
        good_classes = ["across"]

        [[stage]]
        name = "teacher"
        kind = "train"
        data = "./data"
        start = {{ architecture = {{ name = "resnet20", width = 0.5, size = {SIDE} }} }}
        settings = {{ epochs = 4, batch = 8, warmup_epochs = 0.5 }}

        [[stage]]
        name = "small"
        kind = "prune"
        data = "./data"
        model = "teacher"
        cut = {{ keep = 0.5, block = 2, select = "uniform" }}
        settings = {{ epochs = 2, batch = 8, warmup_epochs = 0.5 }}
        distil = {{ views = 2, features = 0.5 }}

        [[stage]]
        name = "int8"
        kind = "quantize"
        data = "./data"
        model = "small"
        targets = ["cpu-int8-avx2"]

        [[stage]]
        name = "judge"
        kind = "evaluate"
        data = "./data"
        model = "int8"
        artefact = "cpu-int8-avx2"
        parent = "teacher"
        gates = {{ {gates} }}

        [[stage]]
        name = "version"
        kind = "package"
        data = "./data"
        artefacts = "int8"
        evaluation = "judge"
        "#
    )
}

fn recipe(folder: &Path, gates: &str) -> Recipe {
    Recipe::parse(&folder.join("stripes.toml"), &text(gates)).unwrap()
}

fn fault(text: &str) -> String {
    Recipe::parse(Path::new("line.toml"), text).unwrap_err().to_string()
}

#[test]
fn from_a_file_to_a_version_and_a_second_run_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data"), 32);
    let (work, go_on) = (folder.path().join("work"), AtomicBool::new(false));
    let recipe = recipe(folder.path(), "min_balanced_accuracy = 0.6, parity.cpu-int8-avx2.min_cosine = 0.9");
    let plan = recipe.plan(MACHINE).unwrap();
    let summary = run(&plan, &work, &Options::default(), &Unobserved, &go_on).unwrap();
    assert_eq!(summary.ended, Ended::Done, "{summary}");
    let versions = recipe.versions(&summary);
    let version = VersionDir::open(&versions[0]).unwrap();
    version.verify().unwrap();
    let manifest = version.manifest().unwrap();
    assert_eq!(manifest.name, "stripes");
    assert_eq!(manifest.decision.as_ref().unwrap().good_classes, ["across"]);
    assert_eq!(manifest.variants[0].weight_bits, Some(7));
    let teacher = summary.stage("teacher").unwrap().folder.clone().unwrap();
    assert!(teacher.join("model.onnx").is_file() && !teacher.join("checkpoint").exists());

    let again = run(&recipe.plan(MACHINE).unwrap(), &work, &Options::default(), &Unobserved, &go_on).unwrap();
    assert!(again.stages.iter().all(|row| row.happened == Happened::Cached), "{again}");
    assert_eq!(recipe.versions(&again), versions);

    // Another gate judges again, and says no; what comes before is not made again, and nothing is packaged.
    let strict = self::recipe(folder.path(), "min_speedup = 1000.0");
    let refused = run(&strict.plan(MACHINE).unwrap(), &work, &Options::default(), &Unobserved, &go_on).unwrap();
    assert_eq!(refused.exit_code(), 3, "{refused}");
    assert!(refused.to_string().contains("min_speedup"), "{refused}");
    assert_eq!(refused.stage("int8").unwrap().happened, Happened::Cached);
    assert!(strict.versions(&refused).is_empty());
}

#[test]
fn a_stop_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data"), 16);
    let plan = recipe(folder.path(), "").plan(MACHINE).unwrap();
    let work = folder.path().join("work");
    let stopped = run(&plan, &work, &Options::default(), &StopAtOnce, &STOP).unwrap();
    assert_eq!(stopped.ended, Ended::Stopped, "{stopped}");
    assert_eq!(stopped.stage("teacher").unwrap().happened, Happened::Stopped);
    assert!(show(&plan, &work, &Options::default()).unwrap().to_string().contains("goes on"));
}

static STOP: AtomicBool = AtomicBool::new(false);

/// Sets the flag once training takes its first step.
struct StopAtOnce;

impl crate::run::Observer for StopAtOnce {
    fn training(&self) -> &dyn crate::train::Observer {
        self
    }
}

impl crate::train::Observer for StopAtOnce {
    fn step(&self, _: u32, _: usize, _: usize, _: f32) {
        STOP.store(true, std::sync::atomic::Ordering::Relaxed);
    }
    fn epoch(&self, _: &crate::train::EpochRecord) {}
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told = fault(
        r#"
        schema = 1
        name = "line"
        [[stage]]
        kind = "train"
        [[stage]]
        name = "teacher"
        kind = "trian"
        [[stage]]
        name = "small"
        kind = "prune"
        data = "./images"
        model = "big.onnx"
        settings = { epoch = 3 }
        [[stage]]
        name = "judge"
        kind = "evaluate"
        data = "./images"
        model = "small"
        split = "all"
        gates = { min_accuracy = 98 }
        "#,
    );
    for part in [
        "line.toml",
        "stage 1 has no name",
        "stage 'teacher': kind is 'trian'; expected one of generate, validate, train",
        "stage 'small' (prune): unknown field `epoch`",
        "split is 'all', expected one of",
        "min_accuracy is 98",
    ] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
}

#[test]
fn a_name_that_no_model_can_have_is_refused_before_it_names_a_folder() {
    for name in ["/data/models", "..", "../line", "", "Bad Name"] {
        let told = fault(&text("").replace("\"stripes\"", &format!("{name:?}")));
        assert!(told.contains(&format!("name is {name:?}, expected 1 to 128 of the characters")), "{told}");
    }
}

#[test]
fn settings_of_every_stage_are_looked_at_before_anything_runs() {
    for (from, to, expected) in [
        ("width = 0.5", "width = 0.0", "stage 'teacher' (train): start: found width 0"),
        ("keep = 0.5,", "keep = 2.0,", "stage 'small' (prune): cut: keep: found 2"),
        ("keep = 0.5,", "keep = \"5ms\",", "stage 'small' (prune): cut: keep: found 5ms"),
        ("features = 0.5 }", "features = 0.5 }\nsparse_epochs = 3", "sparse_epochs is there without sparsity"),
        ("targets = [", "targets = [\"cpu-int8-avx2\", ", "target cpu-int8-avx2 is there twice"),
        ("targets = [", "options = { samples = 0 }\ntargets = [", "options: found places of a layer to learn from 0"),
        ("targets = [", "tune = { max_drop = -1.0 }\ntargets = [", "tune.max_drop is -1"),
        ("targets = [", "tune = { learning_rate = 1e9 }\ntargets = [", "tune: learning_rate is 1000000000"),
        (
            "artefacts = \"int8\"",
            "artefacts = \"int8\"\nsemver = \"banana\"",
            "semver is 'banana', expected a semantic",
        ),
        (
            "artefacts = \"int8\"",
            "artefacts = \"int8\"\nparity = { min_top1 = 95.0 }",
            "min_top1 is 95, expected a fraction",
        ),
        ("width = 0.5", "width = \"half\"", "expected f64"),
    ] {
        assert!(text("").contains(from), "{from}");
        let told = fault(&text("").replace(from, to));
        assert!(told.contains(expected), "no {expected:?} in\n{told}");
    }
    let alone = text("").replace("settings = { epochs = 4,", "distil = { views = 2 }\nsettings = { epochs = 4,");
    assert!(fault(&alone).contains("there is none; add teacher"), "{}", fault(&alone));
}

#[test]
fn what_a_stage_takes_must_be_what_another_makes() {
    for (from, to, expected) in [
        (
            "model = \"teacher\"",
            "model = \"judge\"",
            "model is 'judge', a stage of kind evaluate, expected a stage of kind train",
        ),
        ("evaluation = \"judge\"", "evaluation = \"int8\"", "evaluation is 'int8', a stage of kind quantize, expected"),
        (
            "artefact = \"cpu-int8-avx2\"",
            "artefact = \"cpu-int8\"",
            "artefact is 'cpu-int8', and 'int8' makes cpu-int8-avx2",
        ),
        ("model = \"int8\"", "model = \"small\"", "'small' is a stage of kind prune, which makes none"),
    ] {
        let told = fault(&text("").replace(from, to));
        assert!(told.contains(expected), "no {expected:?} in\n{told}");
    }
}

#[test]
fn a_stage_that_is_not_there_is_named_with_those_that_are() {
    let recipe = Recipe::parse(Path::new("line.toml"), &text("").replace("model = \"teacher\"", "model = \"teecher\""));
    let told = recipe.unwrap().plan(MACHINE).unwrap_err().to_string();
    assert!(told.contains("reads 'teecher'") && told.contains("did you mean 'teacher'?"), "{told}");
}

#[test]
fn a_model_in_another_role_makes_another_result() {
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data"), 4);
    fs::write(folder.path().join("other.onnx"), b"another model").unwrap();
    let of_last = |roles: &str| {
        let first = text("");
        let first = first.split("[[stage]]\n        name = \"small\"").next().unwrap();
        let text = format!("{first}\n[[stage]]\nname = \"last\"\ndata = \"./data\"\n{roles}");
        let plan = Recipe::parse(&folder.path().join("line.toml"), &text).unwrap().plan(MACHINE).unwrap();
        let overview = show(&plan, &folder.path().join("work"), &Options::default()).unwrap();
        overview.stages.last().unwrap().key.clone()
    };
    let start = "kind = \"train\"\nstart = { model = \"teacher\" }\n";
    assert_ne!(of_last(start), of_last(&format!("{start}teacher = \"teacher\"")), "taught by itself");
    let judge = |model: &str, parent: &str| of_last(&format!("kind = \"evaluate\"\nmodel = {model:?}\n{parent}"));
    assert_ne!(judge("teacher", "parent = \"./other.onnx\""), judge("./other.onnx", "parent = \"teacher\""));
    assert_ne!(judge("teacher", ""), judge("teacher", "parent = \"teacher\""));
}

#[test]
fn settings_that_are_not_used_leave_the_key_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data"), 4);
    let key = |text: String| {
        let plan = Recipe::parse(&folder.path().join("line.toml"), &text).unwrap().plan(MACHINE).unwrap();
        show(&plan, &folder.path().join("work"), &Options::default()).unwrap().stages[1].key.clone()
    };
    let plain = text("").replace(", select = \"uniform\"", "").replace(", features = 0.5", "");
    let said =
        plain.replace("block = 2", "block = 2, select = \"greedy\"").replace("views = 2", "views = 2, features = 0.0");
    assert_eq!(key(plain.clone()), key(said));
    assert_ne!(key(plain), key(text("")));
}

#[test]
fn other_schemas_and_broken_files_are_refused() {
    assert!(fault("schema = 2\nname = \"line\"").contains("schema is 2, expected 1"));
    assert!(fault("schema = 1\nname = ").contains("line 2"));
}

#[cfg(feature = "tables")]
#[test]
fn data_that_breaks_a_rule_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    stripes(&folder.path().join("data"), 4);
    let rule = |most: u32| {
        let rule = "[[rule]]\nexpect = \"column_values_to_be_between\"\ncolumn = \"image_width\"\n";
        fs::write(folder.path().join("suite.toml"), format!("{rule}max_value = {most}\n")).unwrap();
    };
    let text = "schema = 1\nname = \"a\"\n[[stage]]\nname = \"check\"\nkind = \"validate\"\ndata = \"./data\"\n\
                suite = \"./suite.toml\"\n";
    let recipe = Recipe::parse(&folder.path().join("a.toml"), text).unwrap();
    let ran = || {
        let work = folder.path().join("work");
        run(&recipe.plan(MACHINE).unwrap(), &work, &Options::default(), &Unobserved, &AtomicBool::new(false)).unwrap()
    };
    rule(SIDE as u32);
    let summary = ran();
    assert_eq!(summary.ended, Ended::Done, "{summary}");
    rule(SIDE as u32 - 1);
    let refused = ran();
    assert_eq!(refused.exit_code(), 3, "{refused}");
    assert!(refused.to_string().contains("image_width: 12 of 12 rows"), "{refused}");
}

#[cfg(not(feature = "tables"))]
#[test]
fn a_stage_that_needs_tables_says_how_to_get_them() {
    let text = "schema = 1\nname = \"a\"\n[[stage]]\nname = \"check\"\nkind = \"validate\"\ndata = \"./data\"\n\
                suite = \"./suite.toml\"\n";
    assert!(fault(text).contains("--features tables"), "{}", fault(text));
}
