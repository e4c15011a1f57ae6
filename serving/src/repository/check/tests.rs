//! Whole repositories, and what a check says of them.

use std::fs;

use takt_artifact::manifest::{FileDigest, Lineage, Precision, Requires, SCHEMA};
use takt_artifact::{DataType, Manifest, TensorSpec, Variant};

use super::*;

fn signature() -> Signature {
    let tensor = |name: &str, shape: &[i64]| TensorSpec {
        name: name.to_owned(),
        datatype: DataType::Fp32,
        shape: shape.to_vec(),
    };
    Signature { inputs: vec![tensor("x", &[-1, 3, 64, 64])], outputs: vec![tensor("y", &[-1, 2])] }
}

/// Stands for a runtime: a file that says so is a model.
fn read_signature(path: &Path) -> Result<Signature, String> {
    match fs::read_to_string(path) {
        Ok(text) if text.starts_with("onnx") => Ok(signature()),
        _ => Err("no ONNX".to_owned()),
    }
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn package(root: &Path, folder: &str, edit: impl FnOnce(&mut Manifest)) {
    write(root, &format!("{folder}/model.onnx"), "onnx");
    let mut manifest = Manifest {
        schema: SCHEMA,
        name: "surface".to_owned(),
        semver: "1.0.0".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        lineage: Lineage::default(),
        signature: signature(),
        preprocess: None,
        labels: vec!["good".to_owned(), "scratch".to_owned()],
        decision: None,
        variants: vec![Variant {
            name: "default".to_owned(),
            file: "model.onnx".to_owned(),
            precision: Precision::Fp32,
            weight_bits: None,
            requires: Requires::default(),
        }],
        evaluation: serde_json::Map::default(),
        files: [("model.onnx".to_owned(), FileDigest::of_bytes(b"onnx"))].into(),
    };
    edit(&mut manifest);
    write(root, &format!("{folder}/manifest.json"), &serde_json::to_string_pretty(&manifest).unwrap());
}

fn report(root: &Path) -> CheckReport {
    let machine = Machine::detect(vec!["tract".to_owned()]);
    let options = CheckOptions { machine: &machine, read_signature: &read_signature };
    check(root, &options).unwrap()
}

/// The report with the temporary folder's name taken out.
fn text(root: &Path) -> String {
    report(root).to_string().replace(&root.display().to_string(), "")
}

#[test]
fn a_sound_repository_is_told_with_its_memory() {
    let root = tempfile::tempdir().unwrap();
    package(root.path(), "surface/2", |_| {});
    write(root.path(), "bare/1/model.onnx", "onnx");
    write(root.path(), "bare/2/model.onnx", "onnx");
    assert!(report(root.path()).is_sound());
    insta::with_settings!({filters => vec![("[0-9a-f]{12}", "<digest>")]}, {
        insta::assert_snapshot!(text(root.path()));
    });
}

#[test]
fn every_fault_of_every_model_is_told_at_once() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a-config/model.toml", "max_batchsize = 4\ninstances = 0\n");
    write(root.path(), "a-config/1/model.onnx", "onnx");
    write(root.path(), "b-empty/model.toml", "");
    write(root.path(), "c-broken/1/model.onnx", "not a model");
    package(root.path(), "d-damaged/1", |_| {});
    write(root.path(), "d-damaged/1/model.onnx", "onnx, but another");
    package(root.path(), "e-contradiction/1", |_| {});
    write(
        root.path(),
        "e-contradiction/model.toml",
        "version_policy = [1, 4]\nlabels = ['scratch', 'good']\nvariant = 'int8'\n",
    );
    package(root.path(), "f-manifest/1", |manifest| {
        manifest.semver = "1".to_owned();
        manifest.variants[0].file = "../model.onnx".to_owned();
    });
    write(root.path(), "g-triton/config.pbtxt", "platform: 'tensorrt_plan'\n");
    write(root.path(), "g-triton/1/model.onnx", "onnx");
    package(root.path(), "h-signature/1", |manifest| {
        manifest.signature.outputs[0].shape = vec![-1, 3];
    });
    write(root.path(), "notes.txt", "");
    assert!(!report(root.path()).is_sound());
    insta::with_settings!({filters => vec![("[0-9a-f]{64}", "<sha256>"), ("[0-9a-f]{12}", "<digest>")]}, {
        insta::assert_snapshot!(text(root.path()));
    });
}

#[test]
fn a_runtime_reads_signatures_by_loading() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("backend/tests/models");
    let runtime = takt_backend::tract::TractBackend::new();
    let signature = by_loading(&runtime)(&models.join("fixed_shape.onnx")).unwrap();
    assert!(!signature.inputs.is_empty());
    assert!(by_loading(&runtime)(&models.join("none.onnx")).is_err());
}

#[test]
fn programs_get_the_same_as_json() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "m/model.toml", "instances = 0\n");
    write(root.path(), "m/1/model.onnx", "onnx");
    let json = serde_json::to_value(report(root.path())).unwrap();
    let fault = &json["models"][0]["faults"][0];
    assert_eq!((&fault["line"], &fault["column"]), (&1.into(), &13.into()));
    assert_eq!((&fault["key"], &fault["found"]), (&"instances".into(), &"0".into()));
}
