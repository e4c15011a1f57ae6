//! How near quantised nets come to single precision, in both runtimes and in our own simulation.

use takt_backend::Backend;
use takt_pipeline::quantise::Target;

use crate::support::{cosine, export_for, images, onnxruntime, run, tract};

/// All architectures, with the least cosine of their logits on images that calibration has not seen. The exports have random
/// weights and few channels, where rounding averages out less than in trained nets; those with gates lose most.
const EXPORTS: [(&str, f64); 9] = [
    ("resnet18_old_bn", 0.999),
    ("resnet18_new_folded", 0.999),
    ("resnet50_old_bn", 0.999),
    ("mobilenet_v2_old_bn", 0.99),
    ("mobilenet_v3_new_folded", 0.99),
    ("efficientnet_old_bn", 0.99),
    ("regnet_x_old_folded", 0.999),
    ("regnet_y_old_bn", 0.999),
    ("shufflenet_v2_new_folded", 0.99),
];

fn agree(backend: &dyn Backend, target: Target) {
    let images = images(32, 99);
    let mut faults = Vec::new();
    for (name, least) in EXPORTS {
        let (model, quantised) = export_for(name, target);
        let exact = run(backend, &model, &images);
        let rounded = run(backend, &quantised.model, &images);
        let (found, simulated) = (cosine(&exact, &rounded), quantised.report.outputs[0].1.cosine());
        let line = format!("{name}: cosine {found:.5}, {simulated:.5} in the report, expected {least}");
        if found < least || (1.0 - simulated) > 2.0 * (1.0 - least) {
            faults.push(line);
        }
    }
    assert!(faults.is_empty(), "{target} in {}:\n{}", backend.name(), faults.join("\n"));
}

#[test]
fn what_tract_makes_of_a_quantised_net_agrees_with_single_precision() {
    agree(&tract(), Target::CpuInt8Avx2);
}

#[test]
fn what_onnx_runtime_makes_of_a_quantised_net_agrees_with_single_precision() {
    let Some(backend) = onnxruntime() else { return };
    agree(&backend, Target::CpuInt8Avx2);
}

#[test]
fn symmetric_grids_for_tensorrt_agree_with_single_precision() {
    agree(&tract(), Target::TensorrtInt8);
}
