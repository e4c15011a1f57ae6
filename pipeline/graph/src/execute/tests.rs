use candle_core::{DType, Device, Tensor};
use takt_ops::{Conv2dParams, conv2d};

use super::*;
use crate::arch::{ResNetOptions, resnet_cifar};
use crate::channels::{self, Selection};
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{GraphProto, NodeProto, TensorProto};
use crate::shape::{Dim, Fact};

fn net() -> Model {
    resnet_cifar(&ResNetOptions { classes: 3, input: [3, 8, 8], width: 0.5 }, 1, 11).unwrap()
}

fn images(count: usize) -> Tensor {
    let values: Vec<f32> = (0..count * 192).map(|at| (at as f32 * 0.7).sin()).collect();
    Tensor::from_vec(values, (count, 3, 8, 8), &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn far(a: &Tensor, b: &Tensor) -> f32 {
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Steps against the gradient of the cross-entropy with fixed labels.
fn step(executor: &mut Executor, rate: f64) -> f32 {
    let run = executor.run(&[images(6)], Mode::Train).unwrap();
    let logits = &run.outputs[0];
    let probabilities = logits.exp().unwrap();
    let log_sum = probabilities.sum(1).unwrap().log().unwrap();
    let labels = Tensor::new(&[[0_u32], [1], [2], [0], [1], [2]], &Device::Cpu).unwrap();
    let picked = logits.gather(&labels, 1).unwrap().squeeze(1).unwrap();
    let loss = (log_sum - picked).unwrap().mean_all().unwrap();
    let gradients = backward(&loss).unwrap();
    for (name, var) in executor.vars() {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("{name} has no gradient"));
        var.set(&(var.as_tensor() - (gradient * rate).unwrap()).unwrap()).unwrap();
    }
    executor.update_statistics(&run, 0.1).unwrap();
    loss.to_scalar().unwrap()
}

#[test]
fn training_lowers_the_loss_and_reaches_every_weight() {
    let model = net();
    let mut executor = Executor::new(&model, &Options::default()).unwrap();
    let losses: Vec<f32> = (0..12).map(|_| step(&mut executor, 0.1)).collect();
    assert!(losses[11] < 0.5 * losses[0], "{losses:?}");
    let statistics = model.graph().initializer.iter().filter(|tensor| tensor.name().contains("running_")).count();
    assert_eq!(executor.vars().len() + statistics, model.graph().initializer.len());
}

#[test]
fn what_was_trained_is_written_back() {
    let mut model = net();
    let mut executor = Executor::new(&model, &Options::default()).unwrap();
    step(&mut executor, 0.1);
    let trained = executor.run(&[images(2)], Mode::Eval).unwrap().outputs[0].clone();
    let names: Vec<_> = model.graph().initializer.iter().map(|tensor| tensor.name().to_owned()).collect();
    executor.write_to(&mut model).unwrap();
    assert!(model.graph().initializer.iter().map(|tensor| tensor.name().to_owned()).eq(names));
    let again = Executor::new(&model, &Options { frozen: true, ..Options::default() }).unwrap();
    assert!(again.vars().is_empty());
    assert_eq!(values(&again.run(&[images(2)], Mode::Eval).unwrap().outputs[0]), values(&trained));
}

#[test]
fn statistics_of_the_batch_reach_the_running_ones() {
    let model = net();
    let mut executor = Executor::new(&model, &Options::default()).unwrap();
    let run = executor.run(&[images(6)], Mode::Train).unwrap();
    let before = executor.run(&[images(6)], Mode::Eval).unwrap();
    assert!(far(&run.outputs[0], &before.outputs[0]) > 1e-2, "fresh running statistics are not the batch's");
    // Taken over whole, they differ from those that normalised the batch by biased against unbiased variance alone: by the
    // factor 24/23 in the last stage, whose images are 2x2.
    executor.update_statistics(&run, 1.0).unwrap();
    let after = executor.run(&[images(6)], Mode::Eval).unwrap();
    let (near, first) = (far(&run.outputs[0], &after.outputs[0]), far(&run.outputs[0], &before.outputs[0]));
    assert!(near < 0.1 * first, "{near} against {first}");
}

#[test]
fn taps_hand_out_values_between_and_change_nothing() {
    let model = net();
    let plain = Executor::new(&model, &Options::default()).unwrap();
    // The values before and after a fused ReLU.
    let taps = vec!["conv1.bn.out".to_owned(), "conv1.act.out".to_owned(), "features".to_owned()];
    let tapped = Executor::new(&model, &Options { taps, ..Options::default() }).unwrap();
    assert!(plain.steps.len() < tapped.steps.len());
    let run = tapped.run(&[images(2)], Mode::Eval).unwrap();
    assert_eq!(values(&run.taps[0].relu().unwrap()), values(&run.taps[1]));
    assert_eq!(run.taps[2].dims(), [2, 32]);
    assert!(far(&run.outputs[0], &plain.run(&[images(2)], Mode::Eval).unwrap().outputs[0]) < 1e-6);
    let missing = Options { taps: vec!["nowhere".to_owned()], ..Options::default() };
    assert!(Executor::new(&model, &missing).unwrap_err().to_string().contains("no value 'nowhere'"));
}

#[test]
fn folding_changes_no_number() {
    let mut model = net();
    let mut executor = Executor::new(&model, &Options::default()).unwrap();
    for _ in 0..3 {
        step(&mut executor, 0.05);
    }
    executor.write_to(&mut model).unwrap();
    let passes: [&dyn crate::patch::Pass; 1] = [&crate::clean::FoldBatchNorm];
    crate::patch::run(&mut model, &passes, &mut same_numbers(1e-5)).unwrap();
    assert!(model.graph().node.iter().all(|node| !node.is("BatchNormalization")));
}

#[test]
fn other_numbers_are_refused() {
    let before = net();
    let mut after = before.clone();
    let bias = crate::onnx::TensorProto::from_f32("fc.bias", &[3], &[0.0, 0.0, 0.01]);
    after.graph_mut().set_initializer(bias);
    let mut check = same_numbers(1e-5);
    assert!(check(&before, &before).is_ok());
    assert!(check(&before, &after).unwrap_err().starts_with("output 0 is"));
    let broken = crate::onnx::TensorProto::from_f32("fc.bias", &[3], &[f32::NAN; 3]);
    after.graph_mut().set_initializer(broken);
    assert!(check(&before, &after).is_err());
}

#[test]
fn a_pruned_net_runs_and_trains() {
    let mut model = net();
    let groups = channels::groups(&model).unwrap();
    let selection = (0..groups.groups.len()).fold(Selection::new(), |all, group| all.drop_units(group, [1, 3]));
    channels::prune(&mut model, &groups, &selection).unwrap();
    let mut executor = Executor::new(&model, &Options::default()).unwrap();
    let first = step(&mut executor, 0.1);
    assert!((0..8).map(|_| step(&mut executor, 0.1)).fold(first, f32::min) < first);
}

#[test]
fn what_cannot_be_run_is_told_before() {
    let mut model = net();
    model.graph_mut().node[2].op_type = Some("Mystery".to_owned());
    let told = Executor::new(&model, &Options::default()).unwrap_err().to_string();
    assert!(
        told.contains("Mystery 'conv1.act': this operator cannot be run for training; supported are Abs, Add"),
        "{told}"
    );
    let executor = Executor::new(&net(), &Options::default()).unwrap();
    assert_eq!(executor.run(&[], Mode::Eval).unwrap_err().to_string(), "found 0 inputs, expected 1");
    let wrong = Tensor::zeros((1, 4, 8, 8), DType::F32, &Device::Cpu).unwrap();
    assert!(executor.run(&[wrong], Mode::Eval).unwrap_err().to_string().starts_with("Conv 'conv1': "));
}

/// `x`, quantised to bytes and back, times quantised weights; `clip` bounds the weights' integers.
fn on_grids(weight_inputs: &[&str], tensors: Vec<TensorProto>) -> Model {
    let mut node = vec![
        NodeProto::new("QuantizeLinear", "q", &["x", "s", "z"], &["xq"]),
        NodeProto::new("DequantizeLinear", "d", &["xq", "s", "z"], &["xd"]),
        NodeProto::new("DequantizeLinear", "wd", weight_inputs, &["wr"]).with_int("axis", 0),
        NodeProto::new("Gemm", "fc", &["xd", "wr"], &["y"]).with_int("transB", 1),
    ];
    if weight_inputs[0] == "wc" {
        node.insert(0, NodeProto::new("QuantizeLinear", "wq", &["w", "ws", "wz"], &["wi"]).with_int("axis", 0));
        node.insert(1, NodeProto::new("Clip", "clip", &["wi", "low", "high"], &["wc"]));
    }
    let value = |name: &str| Fact::new(Some(DataType::Float), vec![Dim::symbol("n"), Dim::from(2_usize)]).declare(name);
    let graph = GraphProto {
        name: Some("grids".to_owned()),
        node,
        input: vec![value("x")],
        output: vec![value("y")],
        initializer: [
            TensorProto::from_f32("s", &[], &[0.5]),
            TensorProto::from_u8("z", &[], &[2]),
            TensorProto::from_f32("ws", &[2], &[0.5, 0.25]),
            TensorProto::from_i8("wz", &[2], &[0, 0]),
        ]
        .into_iter()
        .chain(tensors)
        .collect(),
        ..GraphProto::default()
    };
    Model::from_graph(graph, 17).unwrap()
}

#[test]
fn constants_on_grids_and_weights_that_go_onto_them_give_the_same_and_the_latter_are_trained() {
    let fixed = on_grids(&["w", "ws", "wz"], vec![TensorProto::from_i8("w", &[2, 2], &[1, -2, 3, 2])]);
    let moving = on_grids(
        &["wc", "ws", "wz"],
        vec![
            TensorProto::from_f32("w", &[2, 2], &[0.6, -1.1, 9.0, 0.5]),
            TensorProto::from_i8("low", &[], &[-3]),
            TensorProto::from_i8("high", &[], &[3]),
        ],
    );
    // 0.8 is nearest to 1, -9 goes to the end of the grid, -1.
    let x = Tensor::new(&[[0.8_f32, -9.0], [1.0, 2.0]], &Device::Cpu).unwrap();
    let expected = [0.5 + 1.0, 0.75 - 0.5, 0.5 - 2.0, 0.75 + 1.0];
    for model in [&fixed, &moving] {
        let executor = Executor::new(model, &Options { frozen: true, ..Options::default() }).unwrap();
        assert_eq!(values(&executor.run(std::slice::from_ref(&x), Mode::Eval).unwrap().outputs[0]), expected);
    }
    let executor = Executor::new(&moving, &Options::default()).unwrap();
    let names: Vec<&str> = executor.vars().keys().map(String::as_str).collect();
    assert_eq!(names, ["s", "w", "ws"], "steps are trained, whatever their shape");
    let run = executor.run(&[x], Mode::Train).unwrap();
    let gradients = backward(&run.outputs[0].sqr().unwrap().sum_all().unwrap()).unwrap();
    assert!(executor.vars().values().all(|var| gradients.get(var).is_some()));
}

#[test]
fn integers_that_somebody_else_reads_are_told() {
    let mut model = on_grids(&["w", "ws", "wz"], vec![TensorProto::from_i8("w", &[2, 2], &[1, -2, 3, 2])]);
    model.graph_mut().node[1].input[1] = "other".to_owned();
    model.graph_mut().initializer.push(TensorProto::from_f32("other", &[], &[0.1]));
    let told = Executor::new(&model, &Options::default()).unwrap_err().to_string();
    assert!(told.contains("'d' reads its integers, expected DequantizeLinear with the same scale"), "{told}");
}

fn conv(input: &str, weight: &str, output: &str) -> NodeProto {
    NodeProto::new("Conv", output, &[input, weight], &[output]).with_ints("pads", &[1; 4])
}

/// `x`, `[n, 2, 4, 4]`, through these nodes to `y`. Weights are given by their outputs and inputs, and are three by three.
fn convolutions(node: Vec<NodeProto>, weights: &[(&str, [usize; 2])], other: Option<TensorProto>) -> Model {
    let weight = |&(name, [outputs, inputs]): &(&str, [usize; 2])| {
        let values: Vec<f32> = (0..outputs * inputs * 9).map(|at| ((at + name.len()) as f32 * 0.7).sin()).collect();
        TensorProto::from_f32(name, &[outputs, inputs, 3, 3], &values)
    };
    let dims = vec![Dim::symbol("n"), Dim::from(2_usize), Dim::from(4_usize), Dim::from(4_usize)];
    let graph = GraphProto {
        name: Some("convolutions".to_owned()),
        node,
        input: vec![Fact::new(Some(DataType::Float), dims).declare("x")],
        output: vec![crate::onnx::ValueInfoProto { name: Some("y".to_owned()), ..Default::default() }],
        initializer: weights.iter().map(weight).chain(other).collect(),
        ..GraphProto::default()
    };
    Model::from_graph(graph, 17).unwrap()
}

/// A batch of two gives what `define` does on the same weights, and the same gradients.
#[track_caller]
fn assert_as_defined(model: &Model, define: impl Fn(&Tensor, &dyn Fn(&Tensor, &str) -> Tensor) -> Tensor) {
    let executor = Executor::new(model, &Options::default()).unwrap();
    let pixels: Vec<f32> = (0..64).map(|at| (at as f32 * 0.3).cos()).collect();
    let x = Tensor::from_vec(pixels, (2, 2, 4, 4), &Device::Cpu).unwrap();
    let params = Conv2dParams { padding: [1; 4], ..Conv2dParams::default() };
    let convolve = |x: &Tensor, weight: &str| {
        conv2d(x, executor.vars()[weight].as_tensor(), None, &params).unwrap().contiguous().unwrap()
    };
    let expected = define(&x, &convolve);
    let found = executor.run(&[x], Mode::Train).unwrap().outputs.remove(0);
    let near = |found: &Tensor, expected: &Tensor| {
        let largest = values(expected).iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        found.dims() == expected.dims() && far(found, expected) <= 1e-5 * largest
    };
    assert!(near(&found, &expected), "the outputs differ");
    let gradients = |y: &Tensor| backward(&y.sqr().unwrap().sum_all().unwrap()).unwrap();
    let (found, expected) = (gradients(&found), gradients(&expected));
    for (name, var) in executor.vars() {
        assert!(near(found.get(var).unwrap(), expected.get(var).unwrap()), "the gradients of '{name}' differ");
    }
}

#[test]
fn maps_that_were_joined_are_convolved_further() {
    let join = NodeProto::new("Concat", "join", &["p", "q"], &["pq"]).with_int("axis", 1);
    let nodes = vec![conv("x", "a", "p"), conv("x", "bb", "q"), join, conv("pq", "c", "y")];
    let model = convolutions(nodes, &[("a", [3, 2]), ("bb", [2, 2]), ("c", [2, 5])], None);
    assert_as_defined(&model, |x, convolve| {
        convolve(&Tensor::cat(&[convolve(x, "a"), convolve(x, "bb")], 1).unwrap(), "c")
    });
}

#[test]
fn maps_in_two_orders_are_joined() {
    // The image lies as it came, the map with the images innermost.
    let join = NodeProto::new("Concat", "join", &["x", "p"], &["xp"]).with_int("axis", 1);
    let nodes = vec![conv("x", "a", "p"), join, conv("xp", "c", "y")];
    let model = convolutions(nodes, &[("a", [3, 2]), ("c", [2, 5])], None);
    assert_as_defined(&model, |x, convolve| convolve(&Tensor::cat(&[x, &convolve(x, "a")], 1).unwrap(), "c"));
}

#[test]
fn maps_that_were_padded_are_convolved_further() {
    // Above, left, below, right, behind pads of images and channels.
    let pads = TensorProto::from_i64("pads", &[8], &[0, 0, 1, 0, 0, 0, 2, 3]);
    let nodes = vec![conv("x", "a", "p"), NodeProto::new("Pad", "pad", &["p", "pads"], &["q"]), conv("q", "c", "y")];
    let model = convolutions(nodes, &[("a", [3, 2]), ("c", [2, 3])], Some(pads));
    assert_as_defined(&model, |x, convolve| {
        let padded = convolve(x, "a").pad_with_zeros(2, 1, 2).unwrap().pad_with_zeros(3, 0, 3).unwrap();
        convolve(&padded, "c")
    });
}
