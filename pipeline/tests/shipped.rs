//! The demonstration model in `examples/`: sound on disk, and made from what it says it was made from.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use takt_artifact::golden::Golden;
use takt_artifact::{Manifest, VersionDir};
use takt_pipeline::data::surface::{Counts, Label, Plan, Scene, Split, render};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn version() -> VersionDir {
    VersionDir::open(examples().join("repository/surface-defects/1")).unwrap()
}

fn manifest() -> Manifest {
    version().manifest().unwrap().clone()
}

/// The plan that the manifest names as its data.
fn plan() -> Plan {
    serde_json::from_value(manifest().evaluation["data"]["plan"].clone()).unwrap()
}

#[test]
fn every_file_is_what_the_manifest_says() {
    let verified = version().verify().unwrap();
    assert_eq!(verified.unlisted, Vec::<String>::new());
    let model = &manifest().files["model.onnx"];
    assert!(model.bytes < 1_000_000, "{} bytes", model.bytes);
}

#[test]
fn golden_inputs_and_outputs_fit_the_signature() {
    let bytes = fs::read(version().golden().unwrap()).unwrap();
    let golden = Golden::parse(&bytes).unwrap();
    assert_eq!(golden.disagreements(&manifest().signature), []);
}

#[test]
fn labels_are_those_of_the_generator() {
    assert_eq!(manifest().labels, Label::ALL.map(Label::name));
}

#[test]
fn its_data_is_what_the_command_in_its_readme_generates() {
    // `takt data generate --test 2000 --calibration 0 --reference 0`, see tests/train_demo/README.md.
    let counts = Counts { test: 2000, calibration: 0, reference: 0, ..Counts::default() };
    assert_eq!(plan(), Plan { counts, ..Plan::default() });
    assert_eq!(manifest().lineage.data, Some(plan().digest()));
}

#[test]
fn the_example_images_are_held_out_and_come_out_of_the_generator_byte_for_byte() {
    let (plan, folder) = (plan(), examples().join("images"));
    let shipped: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let scenes = Scene::of(&plan, Split::Test).into_iter();
    let named: Vec<(String, Scene)> = scenes
        .map(|scene| (scene.file().rsplit_once('/').unwrap().1.to_owned(), scene))
        .filter(|(name, _)| shipped.contains(name))
        .collect();
    assert_eq!(named.len(), shipped.len(), "every image is of the test split");
    let labels: BTreeSet<Label> = named.iter().map(|(_, scene)| scene.label).collect();
    assert_eq!(labels, BTreeSet::from(Label::ALL));
    for (name, scene) in named {
        let drawn = render(&plan, &scene).to_jpeg(plan.jpeg_quality).unwrap();
        assert!(fs::read(folder.join(&name)).unwrap() == drawn, "{name} is another image");
    }
}
