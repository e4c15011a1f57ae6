//! What the tests of the stages share: a tiny data set that a tiny network can learn.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use takt_artifact::Preprocess;
use takt_graph::Model;
use takt_graph::arch::{ResNetOptions, resnet_cifar};
use takt_graph::onnx::tensor_proto::DataType;
use takt_graph::onnx::{GraphProto, NodeProto, TensorProto};
use takt_graph::shape::{Dim, Fact};

use crate::data::{Dataset, Images, LoadOptions};
use crate::rng::Rng;

/// Side of the images.
pub const SIDE: usize = 16;
pub const CLASSES: [&str; 3] = ["across", "down", "plain"];

/// Images with stripes across, stripes down and none, under noise: `count` of each.
pub fn stripes(folder: &Path, count: usize) -> (Dataset, Arc<Images>) {
    let mut rng = Rng::new(7, &[]);
    for (class, name) in CLASSES.iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for number in 0..count {
            let pixels = (0..SIDE * SIDE).flat_map(|at| {
                let along = if class == 0 { at / SIDE } else { at % SIDE };
                let stripe = if class < 2 && along % 4 < 2 { 40.0 } else { 0.0 };
                let value = (100.0 + stripe + 20.0 * rng.unit() as f64) as u8;
                [value; 3]
            });
            let pixels: Vec<u8> = pixels.collect();
            fs::write(folder.join(name).join(format!("{number}.bmp")), bmp(&pixels)).unwrap();
        }
    }
    let data = Dataset::open(folder, &LoadOptions::default()).unwrap();
    let images = Arc::new(Images::new(&data, &preprocess(), 1 << 24).unwrap());
    (data, images)
}

/// How the images become tensors.
pub fn preprocess() -> Preprocess {
    let spec = format!(
        r#"{{"input": "image", "width": {SIDE}, "height": {SIDE}, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}}"#
    );
    serde_json::from_str(&spec).unwrap()
}

pub fn class_names() -> Vec<String> {
    CLASSES.map(str::to_owned).to_vec()
}

/// A network of eight layers.
pub fn network(seed: u64) -> Model {
    let options = ResNetOptions { classes: CLASSES.len(), input: [3, SIDE, SIDE], width: 0.5 };
    resnet_cifar(&options, 1, seed).unwrap()
}

/// A convolution of eight filters, gated through two channels, and one that reads it. The gate's first weight is the first of
/// the graph, and on its two axes the first of two groups of channels.
pub fn gated() -> Model {
    let conv = |name: &str, input: &str, output: &str| NodeProto::new("Conv", name, &[input, name], &[output]);
    let weight = |name: &str, filters: usize, inputs: usize| {
        let values: Vec<f32> = (1..=filters * inputs).map(|at| (at as f32).sin()).collect();
        TensorProto::from_f32(name, &[filters, inputs, 1, 1], &values)
    };
    let value = |name: &str, channels: usize| {
        let dims = vec![Dim::symbol("batch"), channels.into(), Dim::from(4_usize), Dim::from(4_usize)];
        Fact::new(Some(DataType::Float), dims).declare(name)
    };
    let graph = GraphProto {
        name: Some("gated".to_owned()),
        node: vec![
            conv("trunk", "image", "maps"),
            NodeProto::new("GlobalAveragePool", "pool", &["maps"], &["pooled"]),
            conv("squeeze", "pooled", "squeezed"),
            NodeProto::new("Relu", "relu", &["squeezed"], &["few"]),
            conv("excite", "few", "excited"),
            NodeProto::new("Sigmoid", "sigmoid", &["excited"], &["gates"]),
            NodeProto::new("Mul", "gate", &["gates", "maps"], &["passed"]),
            conv("end", "passed", "output"),
        ],
        input: vec![value("image", 3)],
        output: vec![value("output", 2)],
        initializer: vec![weight("squeeze", 2, 8), weight("excite", 8, 2), weight("trunk", 8, 3), weight("end", 2, 8)],
        ..GraphProto::default()
    };
    Model::from_graph(graph, 17).unwrap()
}

pub const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Whether ONNX Runtime is there. A test run that set out to have it (`TAKT_REQUIRE_ORT=1`) fails without it.
#[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
pub fn require_onnxruntime() -> bool {
    let found = crate::predict::onnxruntime().unwrap().is_some();
    if !found {
        let how = "no ONNX Runtime found; `pip install onnxruntime` or point TAKT_ORT at its library";
        assert!(std::env::var_os("TAKT_REQUIRE_ORT").is_none_or(|value| value == "0"), "{how}");
        eprintln!("SKIPPED: {how}");
    }
    found
}

/// An uncompressed picture of [`SIDE`] by [`SIDE`] pixels.
fn bmp(pixels: &[u8]) -> Vec<u8> {
    let (header, side) = (54u32, SIDE as i32);
    let mut file = b"BM".to_vec();
    file.extend((header + pixels.len() as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend(header.to_le_bytes());
    file.extend(40u32.to_le_bytes());
    file.extend(side.to_le_bytes());
    file.extend((-side).to_le_bytes());
    file.extend(1u16.to_le_bytes());
    file.extend(24u16.to_le_bytes());
    file.extend([0; 24]);
    file.extend(pixels);
    file
}
