//! How near quantised nets come to single precision, in both runtimes, and what ONNX Runtime fuses of them.
//!
//! A convolution that is not fused runs in single precision between conversions, slower than before quantising.

use std::collections::BTreeMap;

use takt_backend::ort::OrtBackend;
use takt_graph::Model;
use takt_graph::onnx::tensor_proto::DataType;
use takt_graph::onnx::{GraphProto, NodeProto, TensorProto};
use takt_graph::shape::{Dim, Fact};
use takt_pipeline::quantise::{Fusion, Options, Target};

use crate::support::{Noise, cosine, export_for, images, onnxruntime, quantised, request, run, tract};

/// All architectures, with the least cosine of their logits on images that calibration has not seen. The exports have random
/// weights and few channels, where rounding averages out less than in trained nets; those with gates lose most.
const EXPORTS: [(&str, f64); 9] = [
    ("resnet18_old_bn", 0.985),
    ("resnet18_new_folded", 0.985),
    ("resnet50_new_folded", 0.97),
    ("mobilenet_v2_old_bn", 0.96),
    ("mobilenet_v3_new_folded", 0.95),
    ("efficientnet_new_folded", 0.93),
    ("regnet_x_old_folded", 0.995),
    ("regnet_y_new_bn", 0.995),
    ("shufflenet_v2_new_folded", 0.96),
];

/// The nodes that ONNX Runtime makes of a model.
pub fn optimised(backend: &OrtBackend, model: &Model) -> Vec<NodeProto> {
    let folder = tempfile::tempdir().unwrap();
    let (path, optimised) = (folder.path().join("model.onnx"), folder.path().join("optimised.onnx"));
    model.save(&path).unwrap();
    backend.write_optimised(&request(&path, 1), &optimised).unwrap();
    Model::load(&optimised).unwrap().graph().node.clone()
}

/// Whether sums of 8-bit products do not saturate here. Where they do, full 8-bit weights are off by design: their package
/// asks for a processor that has this.
fn adds_into_32_bits() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// One quantisation per export serves all three questions: it is what takes the time.
fn check(exports: &[(&str, f64)], target: Target) {
    let images = images(16, 99);
    let onnxruntime = onnxruntime();
    let mut faults = Vec::new();
    for &(name, least) in exports {
        let (model, quantised) = export_for(name, target);
        let exact = run(&tract(), &model, &images);
        let mut agree = |runtime: &str, rounded: &[f32]| {
            let found = cosine(&exact, rounded);
            if found.is_nan() || found < least {
                faults.push(format!("{name} in {runtime}: cosine {found:.5}, expected {least}"));
            }
        };
        agree("tract", &run(&tract(), &quantised.model, &images));
        let Some(backend) = onnxruntime.as_ref().filter(|_| target != Target::TensorrtInt8) else { continue };
        if adds_into_32_bits() || target != Target::CpuInt8 {
            agree("ONNX Runtime", &run(backend, &quantised.model, &images));
        }
        let fusion = Fusion::count(&model, &optimised(backend, &quantised.model));
        if fusion.quantised != fusion.convolutions {
            faults.push(format!("{name}: {fusion:?}"));
        }
    }
    assert!(faults.is_empty(), "{target}:\n{}", faults.join("\n"));
}

#[test]
fn every_export_agrees_with_single_precision_and_every_convolution_is_fused() {
    check(&EXPORTS, Target::CpuInt8Avx2);
}

#[test]
fn weights_of_eight_bits_are_fused_as_well() {
    check(&EXPORTS[1..3], Target::CpuInt8);
}

#[test]
fn symmetric_grids_for_tensorrt_agree_with_single_precision() {
    check(&EXPORTS[1..3], Target::TensorrtInt8);
}

#[test]
fn a_residual_net_leaves_integers_at_its_ends_only() {
    let Some(backend) = onnxruntime() else { return };
    let (_, quantised) = export_for("resnet18_new_folded", Target::CpuInt8Avx2);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for node in optimised(&backend, &quantised.model) {
        *counts.entry(node.op_type().to_owned()).or_default() += 1;
    }
    for float in ["Conv", "FusedConv", "Relu", "Add", "Gemm", "GlobalAveragePool", "DequantizeLinear"] {
        assert_eq!(counts.get(float), None, "{float} in {counts:?}");
    }
    assert_eq!(counts.get("QuantizeLinear"), Some(&1), "the input alone: {counts:?}");
}

/// Two linear layers on maps with the channels last, as ConvNeXt has them.
fn channels_last() -> Model {
    let mut noise = Noise(3);
    let mut matrix = |name: &str, shape: [usize; 2]| {
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| noise.next()).collect();
        TensorProto::from_f32(name, &shape, &values)
    };
    let value = |name: &str, dims: &[usize]| {
        let dims = std::iter::once(Dim::symbol("batch")).chain(dims.iter().map(|&dim| Dim::from(dim)));
        Fact::new(Some(DataType::Float), dims.collect()).declare(name)
    };
    let graph = GraphProto {
        name: Some("channels last".to_owned()),
        node: vec![
            NodeProto::new("Transpose", "last", &["image"], &["pixels"]).with_ints("perm", &[0, 2, 3, 1]),
            NodeProto::new("MatMul", "up", &["pixels", "up.weight"], &["hidden"]),
            NodeProto::new("Relu", "relu", &["hidden"], &["active"]),
            NodeProto::new("MatMul", "down", &["active", "down.weight"], &["features"]),
            NodeProto::new("Transpose", "first", &["features"], &["maps"]).with_ints("perm", &[0, 3, 1, 2]),
            NodeProto::new("GlobalAveragePool", "pool", &["maps"], &["pooled"]),
            NodeProto::new("Flatten", "flatten", &["pooled"], &["logits"]),
        ],
        input: vec![value("image", &[3, 32, 32])],
        output: vec![value("logits", &[10])],
        initializer: vec![matrix("up.weight", [3, 12]), matrix("down.weight", [12, 10])],
        ..GraphProto::default()
    };
    Model::from_graph(graph, 17).unwrap()
}

#[test]
fn linear_layers_on_maps_with_the_channels_last_agree_with_single_precision() {
    let model = channels_last();
    let report = quantised(&model, Target::CpuInt8, &Options::default()).report;
    let (layers, outputs) = (report.layers.iter(), report.outputs.iter());
    let agreements = layers.map(|layer| layer.agreement).chain(outputs.map(|(_, agreement)| *agreement));
    let cosines: Vec<f64> = agreements.map(|agreement| agreement.cosine()).collect();
    assert!(cosines.len() == 3 && cosines.iter().all(|&cosine| cosine > 0.99), "{cosines:?}");
}
