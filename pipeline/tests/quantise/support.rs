//! Models, images and runtimes of these tests.

use std::path::Path;

use takt_artifact::DataType;
use takt_backend::discover::Surroundings;
use takt_backend::ort::{OrtBackend, RuntimeOptions};
use takt_backend::provider::Cpu;
use takt_backend::tract::TractBackend;
use takt_backend::{Backend, InputView, LoadRequest, Provider};
use takt_graph::Model;
use takt_pipeline::quantise::{Batch, Options, Quantised, Target, quantise, unwatched};

/// One of the exports that `takt-graph` is tested on.
pub fn export(name: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("graph/tests/models");
    Model::load(folder.join(name).with_extension("onnx")).unwrap()
}

/// Side of the images that the exports take.
const SIDE: usize = 32;

/// Uniform from -1 to 1, the same for the same seed.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

/// Images with structure: seeded waves and noise, as far from white noise as a camera's.
pub fn images(count: usize, seed: u64) -> Batch {
    let shape = [count, 3, SIDE, SIDE];
    let mut noise = Noise(seed);
    let mut noise = || noise.next();
    let mut data = Vec::new();
    for _ in 0..count * 3 {
        let (down, across, phase, level) = (noise() * 0.6, noise() * 0.6, noise() * 3.0, noise() * 0.5);
        for at in 0..SIDE * SIDE {
            let (row, column) = ((at / SIDE) as f32, (at % SIDE) as f32);
            data.push((row * down + column * across + phase).sin() + level + 0.3 * noise());
        }
    }
    Batch { shape, data }
}

/// Quantised as `options` say, on 32 images in batches of 16.
pub fn quantised(model: &Model, target: Target, options: &Options) -> Quantised {
    let mut batches = (0..2).map(|seed| Ok(images(16, seed)));
    quantise(model, target, &mut batches, options, &mut unwatched).unwrap()
}

/// The quantised form of an export for `target`, with the options that are the default.
pub fn export_for(name: &str, target: Target) -> (Model, Quantised) {
    let model = export(name);
    let quantised = quantised(&model, target, &Options::default());
    (model, quantised)
}

/// ONNX Runtime where it is installed. A test run that set out to have it (`TAKT_REQUIRE_ORT=1`) fails without it.
#[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
pub fn onnxruntime() -> Option<OrtBackend> {
    let found = OrtBackend::find(&Surroundings::of_process(), RuntimeOptions::default()).unwrap();
    if found.is_none() {
        let how = "no ONNX Runtime found; `pip install onnxruntime` or point TAKT_ORT at its library";
        assert!(std::env::var_os("TAKT_REQUIRE_ORT").is_none_or(|value| value == "0"), "{how}");
        eprintln!("SKIPPED: {how}");
    }
    found
}

pub fn tract() -> TractBackend {
    TractBackend::new()
}

/// As an artefact for processors is loaded: 7-bit weights need no slower kernels to be exact.
pub fn request(path: &Path, batch: usize) -> LoadRequest {
    let cpu = Cpu { exact_int8: false, ..Cpu::default() };
    LoadRequest {
        model: path.to_owned(),
        providers: vec![Provider::Cpu(cpu)],
        batch_sizes: vec![batch],
        ..LoadRequest::default()
    }
}

/// The first output of `model` in a runtime.
pub fn run(backend: &dyn Backend, model: &Model, images: &Batch) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.save(&path).unwrap();
    let mut session = backend.load(&request(&path, images.shape[0])).unwrap();
    let data = bytemuck::cast_slice(&images.data);
    let outputs = session.run(&[InputView { datatype: DataType::Fp32, shape: &images.shape, data }]).unwrap();
    outputs[0].data.chunks_exact(4).map(|bytes| f32::from_ne_bytes(bytes.try_into().unwrap())).collect()
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
