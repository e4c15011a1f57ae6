//! What cannot be quantised is told, with what to do.

use takt_graph::Model;
use takt_pipeline::quantise::{Batch, Calibration, Options, QuantiseError, Target, quantise, unwatched};

use crate::support::{export, images, quantised};

fn told(model: &Model, batches: Vec<Batch>, options: &Options) -> String {
    let target = Target::CpuInt8Avx2;
    let error = quantise(model, target, &mut batches.into_iter().map(Ok), options, &mut unwatched).unwrap_err();
    error.to_string()
}

#[test]
fn images_that_do_not_do_are_told() {
    let model = export("resnet18_new_folded");
    let options = Options::default();
    assert!(told(&model, Vec::new(), &options).starts_with("found no calibration image, expected at least one"));
    let short = Batch { shape: [1, 3, 32, 32], data: vec![0.0; 7] };
    assert_eq!(
        told(&model, vec![short], &options),
        "calibration batch 0: found 7 numbers for shape [1, 3, 32, 32], expected 3072"
    );
    let grey = Batch { shape: [1, 1, 32, 32], data: vec![0.0; 1024] };
    assert!(told(&model, vec![grey], &options).contains("Conv"), "the node that failed is named");
    let mut bad = images(1, 1);
    bad.data[5] = f32::NAN;
    assert!(told(&model, vec![bad], &options).contains("not finite on calibration images"));
    let mut broken = [Err::<Batch, Box<dyn std::error::Error + Send + Sync>>("disk on fire".into())].into_iter();
    let error = quantise(&model, Target::CpuInt8Avx2, &mut broken, &options, &mut unwatched).unwrap_err();
    assert_eq!(error.to_string(), "calibration images: disk on fire");
}

#[test]
fn a_model_is_quantised_once() {
    let once = quantised(&export("resnet18_new_folded"), Target::CpuInt8, &Options::default()).model;
    let told = told(&once, vec![images(1, 1)], &Options::default());
    assert!(told.contains("is quantised already; start from the one in single precision"), "{told}");
}

#[test]
fn options_outside_their_range_are_told() {
    let model = export("resnet18_new_folded");
    let options = Options { calibration: Some(Calibration::Percentile(99.9)), ..Options::default() };
    assert_eq!(
        told(&model, vec![images(1, 1)], &options),
        "found the share cut off on either side 99.9, expected a share from 0 to below 0.5, such as 0.0001"
    );
    let options = Options { keep_float: ["conv77".to_owned()].into(), ..Options::default() };
    assert!(told(&model, vec![images(1, 1)], &options).starts_with("no node is called 'conv77'"));
}

#[test]
fn a_named_layer_stays_in_single_precision() {
    let model = export("resnet18_old_bn");
    let first = model.graph().node.iter().find(|node| node.is("Conv")).unwrap().name().to_owned();
    let options = Options { keep_float: [first.clone()].into(), ..Options::default() };
    let quantised = quantised(&model, Target::CpuInt8, &options);
    assert_eq!(quantised.report.float, [format!("Conv '{first}'")]);
    assert!(quantised.report.to_string().contains("in single precision"));
}

#[test]
fn a_net_without_weights_is_told() {
    let model = export("resnet18_new_folded");
    let names: std::collections::BTreeSet<String> = model
        .graph()
        .node
        .iter()
        .filter(|node| node.is("Conv") || node.is("Gemm"))
        .map(|node| node.name().to_owned())
        .collect();
    let options = Options { keep_float: names, ..Options::default() };
    let one = &mut [Ok(images(1, 1))].into_iter();
    let error = quantise(&model, Target::CpuInt8, one, &options, &mut unwatched).unwrap_err();
    assert!(matches!(error, QuantiseError::Nothing), "{error}");
}
