//! The demonstration model in `examples/`: sound on disk, and made from what it says it was made from.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use takt_artifact::golden::Golden;
use takt_artifact::{Manifest, VersionDir};
use takt_pipeline::data::surface::{Label, Plan, Scene, Split, render};
use takt_pipeline::recipe::{Machine, Recipe, Spec};

/// What a checkout may spend on it.
const MOST_BYTES: u64 = 4_000_000;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn version() -> VersionDir {
    VersionDir::open(examples().join("repository/surface-defects/1")).unwrap()
}

fn manifest() -> Manifest {
    version().manifest().unwrap().clone()
}

/// The recipe that made it.
fn recipe() -> Recipe {
    Recipe::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("surface-defects.toml")).unwrap()
}

/// The plan of its images.
fn plan() -> Plan {
    let specs = recipe().stages.into_iter().map(|(_, spec)| spec);
    let mut plans = specs.filter_map(|spec| match spec {
        Spec::Generate(generate) => Some(generate.0.plan().unwrap()),
        _ => None,
    });
    plans.next().unwrap()
}

#[test]
fn every_file_is_what_the_manifest_says() {
    let verified = version().verify().unwrap();
    assert_eq!(verified.unlisted, Vec::<String>::new());
    let bytes: u64 = manifest().files.values().map(|file| file.bytes).sum();
    assert!(bytes < MOST_BYTES, "{bytes} bytes");
}

#[test]
fn golden_inputs_and_outputs_fit_the_signature() {
    let bytes = fs::read(version().golden().unwrap()).unwrap();
    let golden = Golden::parse(&bytes).unwrap();
    assert_eq!(golden.disagreements(&manifest().signature), []);
}

#[test]
fn labels_are_those_of_the_generator() {
    let labels: BTreeSet<String> = manifest().labels.into_iter().collect();
    assert_eq!(labels, Label::ALL.map(|label| label.name().to_owned()).into());
}

#[test]
fn it_was_made_by_the_shipped_recipe_and_holds_what_its_gates_demand() {
    let (recipe, manifest) = (recipe(), manifest());
    assert_eq!((&manifest.name, &manifest.decision), (&recipe.name, &recipe.decision));
    assert!(manifest.lineage.pipeline.is_some() && manifest.lineage.data.is_some());
    assert_eq!(manifest.evaluation["images"], plan().counts.test);
    let gates = recipe.stages.iter().find_map(|(_, spec)| match spec {
        Spec::Evaluate(evaluate) => Some(&evaluate.gates),
        _ => None,
    });
    let (gates, figure) = (gates.unwrap(), |name: &str| manifest.evaluation[name].as_f64().unwrap());
    assert!(figure("balanced_accuracy") >= gates.min_balanced_accuracy.unwrap());
    assert!(figure("drop_upper_95") <= gates.max_drop.unwrap());
    assert!(figure("times_faster") >= gates.min_speedup.unwrap());
    assert!(figure("times_smaller") >= gates.min_size_ratio.unwrap());
}

#[test]
fn every_shipped_recipe_is_a_plan() {
    let machine = Machine { threads: NonZeroUsize::MIN, cache_bytes: 0, weigh: None };
    let folder = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap().map(|entry| entry.unwrap().path());
    let recipes =
        folder.filter(|path| path.extension().is_some_and(|end| end == "toml") && !path.ends_with("Cargo.toml"));
    let names: BTreeSet<String> = recipes
        .map(|path| {
            let recipe = Recipe::read(&path).unwrap_or_else(|error| panic!("{error}"));
            recipe.plan(machine).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(path.file_stem().unwrap().to_str(), Some(recipe.name.as_str()));
            recipe.name
        })
        .collect();
    assert_eq!(names, ["mobilenet-v2", "resnet50", "surface-defects"].map(str::to_owned).into());
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
