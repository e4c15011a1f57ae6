//! Configurations against models and manifests.

use std::path::Path;

use takt_artifact::DataType;
use takt_artifact::manifest::{Precision, Requires};

use super::*;
use crate::repository::toml;

fn model() -> Signature {
    let tensor = |name: &str, shape: &[i64]| TensorSpec {
        name: name.to_owned(),
        datatype: DataType::Fp32,
        shape: shape.to_vec(),
    };
    Signature { inputs: vec![tensor("x", &[-1, 3, -1, 64])], outputs: vec![tensor("y", &[-1, 2])] }
}

fn config(text: &str) -> ModelConfig {
    toml::parse("m", Path::new("model.toml"), text).unwrap()
}

fn faults(text: &str) -> String {
    let variant = Variant {
        name: "default".to_owned(),
        file: "model.onnx".to_owned(),
        precision: Precision::Fp32,
        weight_bits: None,
        requires: Requires::default(),
    };
    config(text).agrees_with(None, &[variant], &model()).unwrap_err().to_string()
}

#[test]
fn a_silent_configuration_agrees_with_every_model() {
    assert_eq!(config("").agrees_with(None, &[], &model()), Ok(()));
    assert_eq!(config("").client_signature(&model(), 8), model());
}

#[test]
fn declared_tensors_narrow_what_clients_see() {
    let config = config("[[inputs]]\nname = 'x'\ndims = [3, 32, -1]\n");
    assert_eq!(config.agrees_with(None, &[], &model()), Ok(()));
    let seen = config.client_signature(&model(), 8);
    assert_eq!(seen.inputs[0].shape, [-1, 3, 32, 64]);
    assert_eq!(seen.outputs, model().outputs);
}

#[test]
fn a_reshape_shows_clients_other_dims_of_as_many_elements() {
    let config = config("[[outputs]]\nname = 'y'\ndims = [1, 2]\nreshape = [2]\n");
    assert_eq!(config.agrees_with(None, &[], &model()), Ok(()));
    assert_eq!(config.client_signature(&model(), 8).outputs[0].shape, [-1, 1, 2]);
    insta::assert_snapshot!(faults("[[outputs]]\nname = 'y'\ndims = [3, 2]\nreshape = [2]\n"));
}

#[test]
fn a_reshape_may_hide_a_batch_dimension_of_one() {
    let mut model = model();
    model.inputs[0].shape = vec![1, 3, 64, 64];
    model.outputs[0].shape = vec![1, 2];
    let config = config("[[inputs]]\nname = 'x'\ndims = [3, 64, 64]\nreshape = [1, 3, 64, 64]\n");
    assert_eq!(config.agrees_with(None, &[], &model), Ok(()));
    assert_eq!(config.client_signature(&model, 0).inputs[0].shape, [3, 64, 64]);
}

#[test]
fn every_contradiction_with_the_model_is_told_with_its_line() {
    insta::assert_snapshot!(faults(
        r#"
variant = "cpu-int8"
labels = ["good", "scratch", "dent"]
[preprocess]
input = "image"
width = 64
height = 64
[decision]
output = "y"
good_classes = ["fine"]
[[inputs]]
name = "x"
datatype = "UINT8"
dims = [3, 32, 32]
[[outputs]]
name = "y"
dims = [2, 1]
[[outputs]]
name = "z"
dims = [2]
"#
    ));
}

#[test]
fn a_manifest_may_be_repeated_but_not_contradicted() {
    let text = "labels = ['good', 'scratch']\n[decision]\noutput = 'y'\ngood_classes = ['good']\n";
    let vision = config(text).vision(None);
    let mut manifest = Manifest {
        schema: SCHEMA,
        name: "m".to_owned(),
        semver: "1.0.0".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        lineage: Lineage::default(),
        signature: model(),
        preprocess: None,
        labels: vision.labels,
        decision: vision.decision,
        variants: Vec::new(),
        evaluation: serde_json::Map::default(),
        files: std::collections::BTreeMap::default(),
    };
    assert_eq!(config(text).agrees_with(Some(&manifest), &[], &model()), Ok(()));
    manifest.labels.reverse();
    let faults = config(text).agrees_with(Some(&manifest), &[], &model()).unwrap_err();
    insta::assert_snapshot!(faults, @r#"model.toml:1:1: labels: found ["good", "scratch"], expected ["scratch", "good"] as in the manifest, or nothing; remove it: the manifest says how a packaged version is used"#);
    assert_eq!(config(text).vision(Some(&manifest)).labels, ["scratch", "good"]);
}
