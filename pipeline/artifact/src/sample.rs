//! A manifest with everything in it, for tests.

use std::collections::BTreeMap;

use crate::decision::{Activation, Band, Decision};
use crate::manifest::{FileDigest, Lineage, Manifest, Precision, Requires, SCHEMA, Variant};
use crate::preprocess::{Color, Filter, Layout, Preprocess, Resize};
use crate::{DataType, Signature, TensorSpec};

pub(crate) fn manifest() -> Manifest {
    let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
    let tensor = |name: &str, shape: &[i64]| TensorSpec {
        name: name.to_owned(),
        datatype: DataType::Fp32,
        shape: shape.to_vec(),
    };
    Manifest {
        schema: SCHEMA,
        name: "surface".to_owned(),
        semver: "1.2.0".to_owned(),
        created: "2026-03-01T08:30:00Z".to_owned(),
        lineage: Lineage { parent: Some("ab".repeat(32)), data: Some("cd".repeat(32)), pipeline: None },
        signature: Signature {
            inputs: vec![tensor("image", &[-1, 3, 224, 224])],
            outputs: vec![tensor("logits", &[-1, 3])],
        },
        preprocess: Some(Preprocess {
            input: "image".to_owned(),
            width: 224,
            height: 224,
            layout: Layout::Nchw,
            color: Color::Rgb,
            resize: Resize::ShorterSideCrop { shorter: 256 },
            filter: Filter::Bilinear,
            scale: 0.003_921_569,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
            scaled_decode: true,
        }),
        labels: owned(&["ok", "scratch", "dent"]),
        decision: Some(Decision {
            output: "logits".to_owned(),
            activation: Activation::Softmax,
            good_classes: owned(&["ok"]),
            thresholds: BTreeMap::from([("dent".to_owned(), 0.6)]),
            uncertain: Some(Band { low: 0.3, high: 0.5 }),
        }),
        variants: vec![
            Variant {
                name: "cpu-int8-avx2".to_owned(),
                file: "model.cpu-int8-avx2.onnx".to_owned(),
                precision: Precision::Int8,
                weight_bits: Some(7),
                requires: Requires {
                    runtime: owned(&["onnxruntime"]),
                    arch: owned(&["x86_64"]),
                    cpu_features: owned(&["avx2"]),
                },
            },
            Variant {
                name: "default".to_owned(),
                file: "model.onnx".to_owned(),
                precision: Precision::Fp32,
                weight_bits: None,
                requires: Requires::default(),
            },
        ],
        evaluation: serde_json::Map::from_iter([("balanced_accuracy".to_owned(), 0.98.into())]),
        files: ["golden.safetensors", "model.cpu-int8-avx2.onnx", "model.onnx"]
            .map(|name| (name.to_owned(), FileDigest::of_bytes(name.as_bytes())))
            .into(),
    }
}
