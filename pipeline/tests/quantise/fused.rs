//! What ONNX Runtime makes of our placement. A convolution that is not fused runs in single precision between conversions,
//! slower than before quantising.

use std::collections::BTreeMap;

use takt_backend::provider::Cpu;
use takt_graph::Model;
use takt_pipeline::quantise::{Fusion, Target};

use crate::support::{export_for, onnxruntime, request};

/// Operators of the optimised graph, counted.
fn optimised(
    backend: &takt_backend::ort::OrtBackend,
    model: &Model,
) -> (Vec<takt_graph::onnx::NodeProto>, BTreeMap<String, usize>) {
    let folder = tempfile::tempdir().unwrap();
    let (path, optimised) = (folder.path().join("model.onnx"), folder.path().join("optimised.onnx"));
    model.save(&path).unwrap();
    backend.write_optimised(&request(&path, 1), &optimised).unwrap();
    let nodes = Model::load(&optimised).unwrap().graph().node.clone();
    let mut counts = BTreeMap::new();
    for node in &nodes {
        *counts.entry(node.op_type().to_owned()).or_default() += 1;
    }
    (nodes, counts)
}

#[test]
fn every_convolution_is_fused_in_onnx_runtime() {
    let Some(backend) = onnxruntime() else { return };
    let _ = Cpu::default();
    for name in [
        "resnet18_old_bn",
        "resnet18_new_folded",
        "resnet50_new_folded",
        "mobilenet_v2_old_bn",
        "mobilenet_v3_old_bn",
        "efficientnet_new_folded",
        "regnet_x_old_bn",
        "regnet_y_new_bn",
        "shufflenet_v2_old_bn",
    ] {
        for target in [Target::CpuInt8Avx2, Target::CpuInt8] {
            let (model, quantised) = export_for(name, target);
            let (nodes, counts) = optimised(&backend, &quantised.model);
            let fusion = Fusion::count(&model, &nodes);
            println!("{name}: {counts:?}");
            assert_eq!(fusion.quantised, fusion.convolutions, "{name} for {target}: {counts:?}");
        }
    }
}

#[test]
fn a_residual_net_leaves_single_precision_at_its_ends_only() {
    let Some(backend) = onnxruntime() else { return };
    let (_, quantised) = export_for("resnet18_new_folded", Target::CpuInt8Avx2);
    let (_, counts) = optimised(&backend, &quantised.model);
    for float in ["Conv", "FusedConv", "Relu", "Add", "MaxPool_float", "Gemm", "GlobalAveragePool"] {
        assert_eq!(counts.get(float), None, "{float} in {counts:?}");
    }
    assert_eq!(counts.get("QuantizeLinear"), Some(&1), "the input alone: {counts:?}");
    assert_eq!(counts.get("DequantizeLinear"), None, "{counts:?}");
}
