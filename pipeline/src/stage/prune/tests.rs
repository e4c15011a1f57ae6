use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::prune::{Keep, Measure};
use crate::stage::tests::{cut_to, settings, shop, trained};
use crate::stage::{Architecture, Start, Train, train};
use crate::testing::{SIDE, require_onnxruntime, stripes};

/// A network that is quicker to train than it is good.
fn quickly_trained(data: &Path, out: &Path) -> PathBuf {
    let start = Start::Architecture { name: Architecture::Resnet20, width: 0.25, size: SIDE };
    train(data, out, &Train { start, settings: settings(1), teacher: None, new_head: false }, &shop()).unwrap();
    out.join(MODEL)
}

#[test]
fn gradients_and_sparsity_lead_to_a_smaller_model_and_are_not_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("prune"));
    stripes(&data, 16);
    let big = quickly_trained(&data, &folder.path().join("train"));
    let run = Prune {
        criterion: Criterion::Taylor,
        sparsity: Some(Sparsity { strength: 0.5 }),
        rounds: NonZeroU32::MIN,
        settings: settings(1),
        ..cut_to(&big, Keep::Share(0.5))
    };
    let pruned = prune(&data, &out, &run, &shop()).unwrap();
    assert!(pruned.rounds[0].share <= 0.5, "{pruned:?}");
    let sparse = std::fs::read_to_string(out.join("sparse/metrics.jsonl")).unwrap();
    assert_eq!(sparse.lines().count(), 2, "two epochs of sparsity");
    let round = std::fs::metadata(out.join("round-1").join(MODEL)).unwrap().modified().unwrap();
    assert_eq!(prune(&data, &out, &run, &shop()).unwrap(), pruned);
    assert_eq!(std::fs::metadata(out.join("round-1").join(MODEL)).unwrap().modified().unwrap(), round);
}

#[test]
fn a_cut_that_loses_too_much_is_taken_back_and_smaller_ones_are_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("prune"));
    stripes(&data, 40);
    let big = trained(&data, &folder.path().join("train"));
    // Fine-tuning that changes nothing: every cut loses what it loses.
    let idle = Settings { learning_rate: 0.0, ..settings(1) };
    let run = Prune { settings: idle, max_drop: Some(0.0), ..cut_to(&big, Keep::Share(0.05)) };
    let run = Prune { cut: Cut { keep_at_least: 0.0, ..run.cut }, ..run };
    let pruned = prune(&data, &out, &run, &shop()).unwrap();
    let lost: Vec<f64> = pruned.taken_back.iter().map(|back| back.lost).collect();
    assert!(!lost.is_empty() && lost.iter().all(|&lost| lost > 0.0), "{pruned:?}");
    let reason = pruned.ended_early.clone().unwrap();
    assert!(reason.contains("taken back") && reason.contains("smaller"), "{reason}");
    assert!(out.join(MODEL).exists());
    assert_eq!(prune(&data, &out, &run, &shop()).unwrap(), pruned, "and cuts that were taken back are not tried again");
}

#[test]
fn a_student_that_was_pruned_learns_from_its_ancestors_features_by_what_its_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), |name: &str| folder.path().join(name));
    stripes(&data, 16);
    let big = quickly_trained(&data, &out("train"));
    let run = Prune { settings: settings(1), ..cut_to(&big, Keep::Share(0.4)) };
    let pruned = prune(&data, &out("prune"), &run, &shop()).unwrap();
    assert_eq!(pruned.rounds.len(), 2, "cut twice");
    let small = out("prune").join(MODEL);
    let distil = Distil { features: 1.0, views: 1, ..Distil::default() };
    let student = |model: &Path| Train {
        start: Start::Model(model.to_owned()),
        settings: settings(1),
        teacher: Some((big.clone(), distil.clone())),
        new_head: false,
    };
    train(&data, &out("student"), &student(&small), &shop()).unwrap();
    let again = prune(&data, &out("again"), &Prune { distil: distil.clone(), ..run }, &shop()).unwrap();
    assert_eq!(again.rounds.len(), 2);

    let targets = vec![crate::quantise::Target::CpuInt8];
    let run = crate::stage::Quantise { model: small, targets, options: Default::default(), tune: None };
    crate::stage::quantise(&data, &out("int8"), &run, &shop()).unwrap();
    let told = train(&data, &out("other"), &student(&out("int8").join(MODEL)), &shop()).unwrap_err().to_string();
    assert!(told.contains("no record of which of the teacher's they are"), "what serves has none: {told}");
}

/// Puts times that follow from the channels in place of measured ones: a busy machine measures anything.
fn settle(latencies: &Path) {
    let mut file: Value = serde_json::from_str(&fs::read_to_string(latencies).unwrap()).unwrap();
    let machines = file["microseconds"].as_object_mut().unwrap();
    for layer in machines.values_mut().flat_map(|layers| layers.as_object_mut().unwrap().values_mut()) {
        for (point, time) in layer.as_object_mut().unwrap() {
            assert!(time.as_f64().unwrap() > 0.0, "{point} was measured");
            let channels: Vec<f64> = point.split('x').map(|count| count.parse().unwrap()).collect();
            *time = (1.0 + channels[0] * channels[1] / 100.0).into();
        }
    }
    fs::write(latencies, file.to_string()).unwrap();
}

#[test]
fn a_model_is_cut_to_a_time_by_the_times_that_were_measured() {
    if !require_onnxruntime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("prune"));
    stripes(&data, 16);
    let big = folder.path().join("big.onnx");
    Architecture::Resnet20.build(3, 1.0, SIDE, 0).unwrap().save(&big).unwrap();
    let run = cut_to(&big, Keep::Milliseconds(1e-6));
    let cut = Cut { measure: Measure::Latency, block: 4, ..run.cut };
    let impossible = Prune { cut, rounds: NonZeroU32::MIN, settings: settings(1), ..run };
    let error = prune(&data, &out, &impossible, &shop()).unwrap_err().to_string();
    assert!(error.contains("microseconds") && error.contains("at least"), "{error}");

    settle(&out.join("latency.json"));
    let run = Prune { cut: Cut { keep: Keep::Share(0.7), ..cut }, ..impossible };
    let pruned = prune(&data, &out, &run, &shop()).unwrap();
    let [before, after] = pruned.rounds[0].latency_ms.unwrap();
    assert!(after <= 0.7 * before + 0.001 && after > 0.5 * before, "{before} to {after}");
}

#[test]
fn a_target_that_is_out_of_reach_is_told_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("prune"));
    stripes(&data, 8);
    let model = Architecture::Resnet20.build(3, 0.5, SIDE, 0).unwrap();
    let path = folder.path().join("model.onnx");
    model.save(&path).unwrap();
    let run = cut_to(&path, Keep::Share(0.001));
    let error = prune(&data, &out, &run, &shop()).unwrap_err().to_string();
    assert!(error.contains("at least") && !out.join("teacher").exists(), "{error}");
    let run = Prune { cut: Cut { measure: Measure::Parameters, keep: Keep::Bytes(6e6), ..run.cut }, ..run };
    let error = prune(&data, &out, &run, &shop()).unwrap_err().to_string();
    assert!(error.contains("6MB") && error.contains("nothing to prune"), "{error}");
}

#[test]
fn sparsity_without_batch_normalisation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    stripes(&data, 8);
    let mut model = Architecture::Resnet20.build(3, 0.5, SIDE, 0).unwrap();
    takt_graph::clean::clean(&mut model).unwrap();
    takt_graph::clean::fold_batch_norm(&mut model).unwrap();
    let path = folder.path().join("folded.onnx");
    model.save(&path).unwrap();
    let run = Prune { sparsity: Some(Sparsity { strength: 0.01 }), ..cut_to(&path, Keep::Share(0.5)) };
    let error = prune(&data, &folder.path().join("prune"), &run, &shop()).unwrap_err().to_string();
    assert!(error.contains("BatchNormalization"), "{error}");
    let run = Prune { sparsity: Some(Sparsity { strength: -1.0 }), sparse_epochs: 0, max_drop: Some(-1.0), ..run };
    let error = prune(&data, &folder.path().join("prune"), &run, &shop()).unwrap_err().to_string();
    assert!(["strength", "sparse_epochs", "max_drop"].iter().all(|fault| error.contains(fault)), "{error}");
}
