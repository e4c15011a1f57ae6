use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use takt_artifact::DataType;
use takt_backend::InputView;
use takt_graph::{channels, clean};

use super::*;
use crate::progress::Silent;
use crate::testing::{network, require_onnxruntime};

fn prepared() -> (Model, Groups) {
    let mut model = network(3);
    clean::clean(&mut model).unwrap();
    let groups = channels::groups(&model).unwrap();
    (model, groups)
}

const WINDOW: layer::Window =
    layer::Window { kernel: [3, 3], strides: [1, 1], pads: [1; 4], dilations: [1, 1], image: [8, 8] };

/// Counts what is measured.
#[derive(Default)]
struct Count(std::sync::atomic::AtomicU64);

impl Progress for Count {
    fn begin(&self, total: u64) {
        self.0.store(total, std::sync::atomic::Ordering::Relaxed);
    }

    fn advance(&self) {}
}

#[test]
fn layers_of_a_network_are_found_with_what_is_pruned_of_them() {
    let (model, groups) = prepared();
    let layers = layer::layers(&model).unwrap();
    let kinds: BTreeMap<String, usize> = layers.iter().fold(BTreeMap::new(), |mut kinds, layer| {
        *kinds.entry(layer.kind.to_string()).or_default() += 1;
        kinds
    });
    assert_eq!(kinds["product rows 1"], 1);
    assert_eq!(kinds.values().sum::<usize>(), layers.len());
    let first = &layers[0];
    assert_eq!((first.inputs, first.outputs), (3, 8));
    assert_eq!(first.grid(&groups, 4), [vec![3], vec![4, 8]], "the image's colours stay");
    let last = layers.last().unwrap();
    assert_eq!(last.grid(&groups, 4)[1], [3], "and so do the classes");
}

#[test]
fn an_image_of_unknown_size_is_refused_by_name() {
    let (mut model, _) = prepared();
    use takt_graph::shape::{Dim, Fact};
    let shape = vec![Dim::symbol("n"), 3.into(), Dim::symbol("h"), Dim::symbol("w")];
    model.graph_mut().input =
        vec![Fact::new(Some(takt_graph::onnx::tensor_proto::DataType::Float), shape).declare("input")];
    let error = layer::layers(&model).unwrap_err().to_string();
    assert!(error.contains("Conv") && error.contains("size"), "{error}");
}

/// tract runs what ONNX Runtime is timed on: the probe is the layer that it says it is.
#[test]
fn a_probe_computes_its_layer() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (Kind::Conv(WINDOW), [4, 8], vec![1, 8, 8, 8]),
        (
            Kind::Grouped { window: layer::Window { strides: [2, 2], ..WINDOW }, inputs: 1, outputs: 1 },
            [6, 1],
            vec![1, 4, 4, 6],
        ),
        (Kind::Product { rows: 2 }, [16, 3], vec![2, 3]),
    ];
    for (kind, point, expected) in cases {
        let (model, shape) = probe::model(&kind, point).unwrap();
        let path = folder.path().join("probe.onnx");
        model.save(&path).unwrap();
        let request = takt_backend::LoadRequest { model: path, ..Default::default() };
        let mut session = takt_backend::tract::TractBackend::new().load(&request).unwrap();
        let words = vec![0_u64; shape.iter().product::<usize>().div_ceil(8)];
        let data = &bytemuck::cast_slice::<u64, u8>(&words)[..shape.iter().product()];
        let outputs = session.run(&[InputView { datatype: DataType::Uint8, shape: &shape, data }]).unwrap();
        assert_eq!(outputs[0].shape, expected, "{kind}");
    }
}

#[cfg(feature = "ort")]
#[test]
fn after_optimising_a_probe_is_one_integer_kernel() {
    use takt_backend::discover::Surroundings;
    use takt_backend::ort::{OrtBackend, RuntimeOptions};
    if !require_onnxruntime() {
        return;
    }
    let options = RuntimeOptions { intra_op_threads: 1, ..RuntimeOptions::default() };
    let backend = OrtBackend::find(&Surroundings::of_process(), options).unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kinds = [
        (Kind::Conv(WINDOW), "QLinearConv"),
        (Kind::Grouped { window: WINDOW, inputs: 1, outputs: 1 }, "QLinearConv"),
        (Kind::Product { rows: 1 }, "QGemm"),
    ];
    for (kind, expected) in kinds {
        let (path, to) = (folder.path().join("probe.onnx"), folder.path().join("optimised.onnx"));
        probe::model(&kind, [16, if matches!(kind, Kind::Grouped { .. }) { 1 } else { 16 }])
            .unwrap()
            .0
            .save(&path)
            .unwrap();
        let cpu = takt_backend::provider::Cpu { exact_int8: false, ..Default::default() };
        let providers = vec![takt_backend::Provider::Cpu(cpu)];
        let request = takt_backend::LoadRequest { model: path, providers, ..Default::default() };
        backend.write_optimised(&request, &to).unwrap();
        // ONNX Runtime's own operators are of no set that `Model::load` would take.
        let bytes = std::fs::read(&to).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let count = |op: &str| text.matches(op).count();
        assert!(count(expected) > 0, "{kind}");
        assert_eq!(count("Transpose"), 0, "{kind}");
    }
}

#[test]
fn what_was_measured_once_is_not_measured_again() {
    if !require_onnxruntime() {
        return;
    }
    let (model, groups) = prepared();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latency.json");
    let go_on = AtomicBool::new(false);
    let count = Count::default();
    let measure = || {
        let mut latencies = Latencies::open(&path).unwrap();
        latencies.layers(&model, &groups, 4, &count, &go_on).unwrap().unwrap()
    };
    let first = measure();
    assert!(count.0.load(std::sync::atomic::Ordering::Relaxed) > 10);
    assert_eq!(measure(), first);
    assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), 0, "nothing is left to be measured");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no probe is left behind");
    let whole: f64 = first.iter().map(|timed| timed.at(timed.inputs as f64, timed.outputs as f64)).sum();
    assert!(whole > 0.0);
}

#[test]
fn a_stop_ends_measuring_and_keeps_nothing_half_done() {
    if !require_onnxruntime() {
        return;
    }
    let (model, groups) = prepared();
    let folder = tempfile::tempdir().unwrap();
    let mut latencies = Latencies::open(&folder.path().join("latency.json")).unwrap();
    let stopped = latencies.layers(&model, &groups, 4, &Silent, &AtomicBool::new(true)).unwrap();
    assert_eq!(stopped, None);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
