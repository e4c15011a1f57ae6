//! What is trained on its grids comes through the same door into the graph, and wins back what rounding lost.

use candle_core::{Device, Tensor};
use takt_graph::Model;
use takt_graph::execute::{Executor, Mode, Options as ExecutorOptions, backward};
use takt_graph::onnx::tensor_proto::DataType;
use takt_graph::onnx::{GraphProto, NodeProto, TensorProto};
use takt_graph::shape::{Dim, Fact};
use takt_ops::{Sgd, SgdOptions};
use takt_pipeline::quantise::{Calibration, Draft, Fusion, Options, Rounding, Target, Trainable, unwatched};

use crate::parity::optimised;
use crate::support::{Noise, cosine, images, onnxruntime, run, tract};

/// Two depthwise blocks behind a stem. Channels differ by up to a hundred times between a depthwise convolution and the
/// pointwise one that evens them out: one grid for all of them drowns the small ones. Clip keeps equalisation from helping.
fn depthwise() -> Model {
    const CHANNELS: usize = 16;
    let mut noise = Noise(5);
    let mut tensors = vec![TensorProto::from_f32("low", &[], &[0.0]), TensorProto::from_f32("high", &[], &[60.0])];
    let mut nodes = Vec::new();
    let spread = |channel: usize| [1.0, 0.1, 0.01, 0.3][channel % 4];
    let mut conv = |name: &str, from: &str, shape: [usize; 4], stride: i64, factor: &dyn Fn(usize, usize) -> f32| {
        let each = shape[1] * shape[2] * shape[3];
        let size = (2.0 / each as f32).sqrt();
        let value = |at: usize| 1.7 * noise.next() * size * factor(at / each, at % each / (shape[2] * shape[3]));
        let values: Vec<f32> = (0..shape[0] * each).map(value).collect();
        tensors.push(TensorProto::from_f32(&format!("{name}.weight"), &shape, &values));
        let pad = i64::from(shape[2] == 3);
        let node = NodeProto::new("Conv", name, &[from, &format!("{name}.weight")], &[&format!("{name}.conv")]);
        let group = if shape[1] == 1 { CHANNELS as i64 } else { 1 };
        nodes.push(node.with_ints("pads", &[pad; 4]).with_ints("strides", &[stride; 2]).with_int("group", group));
        let inputs = [&format!("{name}.conv"), "low", "high"];
        nodes.push(NodeProto::new("Clip", &format!("{name}.clip"), &inputs, &[name]));
    };
    conv("stem", "image", [CHANNELS, 3, 3, 3], 2, &|_, _| 1.0);
    for (block, from) in [("one", "stem"), ("two", "one.point")] {
        conv(&format!("{block}.depth"), from, [CHANNELS, 1, 3, 3], 2, &|channel, _| spread(channel));
        let back = |_, input| 1.0 / spread(input);
        conv(&format!("{block}.point"), &format!("{block}.depth"), [CHANNELS, CHANNELS, 1, 1], 1, &back);
    }
    let weights: Vec<f32> = (0..10 * CHANNELS).map(|_| noise.next()).collect();
    tensors.push(TensorProto::from_f32("fc.weight", &[10, CHANNELS], &weights));
    nodes.push(NodeProto::new("GlobalAveragePool", "pool", &["two.point"], &["pooled"]));
    nodes.push(NodeProto::new("Flatten", "flatten", &["pooled"], &["features"]));
    nodes.push(NodeProto::new("Gemm", "fc", &["features", "fc.weight"], &["logits"]).with_int("transB", 1));
    let value = |name: &str, dims: &[usize]| {
        let dims = std::iter::once(Dim::symbol("batch")).chain(dims.iter().map(|&dim| Dim::from(dim)));
        Fact::new(Some(DataType::Float), dims.collect()).declare(name)
    };
    let graph = GraphProto {
        name: Some("depthwise".to_owned()),
        node: nodes,
        input: vec![value("image", &[3, 32, 32])],
        output: vec![value("logits", &[10])],
        initializer: tensors,
        ..GraphProto::default()
    };
    Model::from_graph(graph, 17).unwrap()
}

fn tensor(seed: u64) -> Tensor {
    let batch = images(16, seed);
    Tensor::from_vec(batch.data, &batch.shape, &Device::Cpu).unwrap()
}

fn outputs(model: &Model, seed: u64) -> Vec<f32> {
    let executor = Executor::new(model, &ExecutorOptions { frozen: true, ..ExecutorOptions::default() }).unwrap();
    let run = executor.run(&[tensor(seed)], Mode::Eval).unwrap();
    run.outputs[0].flatten_all().unwrap().to_vec1().unwrap()
}

fn draft(model: &Model, target: Target, options: &Options) -> Draft {
    let mut batches = (0..2).map(|seed| Ok(images(16, seed)));
    Draft::new(model, target, &mut batches, options, &mut unwatched).unwrap()
}

/// Towards the outputs of the net in single precision.
fn train(trainable: &mut Trainable, teacher: &Model, steps: u64) {
    let executor = Executor::new(&trainable.model, &ExecutorOptions::default()).unwrap();
    let teacher = Executor::new(teacher, &ExecutorOptions { frozen: true, ..ExecutorOptions::default() }).unwrap();
    let vars = executor.vars().iter().map(|(name, var)| (name.clone(), var.clone())).collect();
    let mut sgd =
        Sgd::new(vars, SgdOptions { learning_rate: 0.02, clip: Some(0.05), ..SgdOptions::default() }).unwrap();
    for step in 0..steps {
        let images = [tensor(step % 8)];
        let wanted = &teacher.run(&images, Mode::Eval).unwrap().outputs[0];
        let found = &executor.run(&images, Mode::Train).unwrap().outputs[0];
        let loss = (found - wanted).unwrap().sqr().unwrap().mean_all().unwrap();
        sgd.step(&backward(&loss).unwrap()).unwrap();
    }
    executor.write_to(&mut trainable.model).unwrap();
}

#[test]
fn before_training_the_trainable_net_gives_what_the_quantised_one_does() {
    for target in Target::ALL {
        let model = depthwise();
        let draft = draft(&model, target, &Options::default());
        let (trainable, finished) = (draft.trainable().unwrap(), draft.finish().unwrap());
        let (rounded, simulated) = (outputs(&finished.model, 9), outputs(&trainable.model, 9));
        // The last step apart, where sums that are added in another order fall to either side of a half.
        assert!(cosine(&rounded, &simulated) > 0.999_9, "{target}");
        assert!(cosine(&rounded, &run(&tract(), &finished.model, &images(16, 9))) > 0.999_9, "{target}");
        let mut back = draft.clone();
        back.take(&trainable).unwrap();
        assert_eq!(back.finish().unwrap().model, finished.model, "{target}: untrained, it comes back as it went");
    }
}

#[test]
fn training_wins_back_what_rounding_lost_and_every_convolution_stays_fused() {
    let model = depthwise();
    let exact = outputs(&model, 99);
    // The cheapest quantisation, so that there is much to win.
    let options = Options {
        calibration: Some(Calibration::MinMax),
        rounding: Rounding::Nearest,
        correct_bias: false,
        ..Options::default()
    };
    let mut draft = draft(&model, Target::CpuInt8Avx2, &options);
    let error = |found: &[f32]| 1.0 - cosine(&exact, found);
    let untrained = draft.finish().unwrap();
    let before = error(&outputs(&untrained.model, 99));
    let mut trainable = draft.trainable().unwrap();
    train(&mut trainable, &model, 120);
    draft.take(&trainable).unwrap();
    let quantised = draft.finish().unwrap();
    let after = error(&outputs(&quantised.model, 99));
    assert!(after < 0.5 * before, "error {before:.6} before, {after:.6} after");
    let [told, tells] = [&untrained, &quantised].map(|quantised| 1.0 - quantised.report.outputs[0].1.cosine());
    assert!(tells < 0.5 * told, "the report knows: {told:.6} before, {tells:.6} after");
    let Some(backend) = onnxruntime() else { return };
    assert!(error(&run(&backend, &quantised.model, &images(16, 99))) < 0.5 * before);
    let fusion = Fusion::count(&model, &optimised(&backend, &quantised.model));
    assert_eq!(fusion.quantised, fusion.convolutions);
}
