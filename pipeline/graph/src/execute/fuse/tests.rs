use candle_core::{Device, Tensor};

use crate::Model;
use crate::execute::{Executor, Mode, Options, backward};
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{GraphProto, NodeProto, TensorProto};
use crate::shape::{Dim, Fact};

/// `x`, `[n, 2, 3, 3]`, through BatchNormalization to `b` and from there through these nodes to `y`.
fn behind_norm(nodes: Vec<NodeProto>) -> Model {
    let norm = NodeProto::new("BatchNormalization", "norm", &["x", "scale", "shift", "mean", "var"], &["b"]);
    let dims = || vec![Dim::symbol("n"), Dim::from(2_usize), Dim::from(3_usize), Dim::from(3_usize)];
    let value = |name: &str| Fact::new(Some(DataType::Float), dims()).declare(name);
    let pair = |name, values: [f32; 2]| TensorProto::from_f32(name, &[2], &values);
    let number = |name, value| TensorProto::from_f32(name, &[], &[value]);
    let graph = GraphProto {
        name: Some("fused".to_owned()),
        node: std::iter::once(norm).chain(nodes).collect(),
        input: vec![value("x")],
        output: vec![value("y")],
        initializer: vec![
            pair("scale", [1.5, 0.5]),
            pair("shift", [0.3, -0.2]),
            pair("mean", [0.1, 0.0]),
            pair("var", [0.8, 1.2]),
            number("half", 0.5),
            number("one", 1.0),
            number("root", std::f32::consts::SQRT_2),
            number("inverse", std::f32::consts::FRAC_1_SQRT_2),
        ],
        ..GraphProto::default()
    };
    Model::from_graph(graph, 20).unwrap()
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto::new(op, &format!("{op} to {output}"), inputs, &[output])
}

fn hard_sigmoid(alpha: f32) -> NodeProto {
    node("HardSigmoid", &["b"], "s").with_float("alpha", alpha).with_float("beta", 0.5)
}

/// Steps of the plan, its outputs in both modes, and the gradient of its scales.
fn facts(model: &Model, taps: &[&str]) -> (usize, [Vec<f32>; 3]) {
    let taps = taps.iter().map(|&tap| tap.to_owned()).collect();
    let executor = Executor::new(model, &Options { taps, ..Options::default() }).unwrap();
    let values = (0..72).map(|at| (at as f32 * 0.7).sin() * 3.0).collect::<Vec<f32>>();
    let x = Tensor::from_vec(values, (4, 2, 3, 3), &Device::Cpu).unwrap();
    let run = |mode| executor.run(std::slice::from_ref(&x), mode).unwrap().outputs.remove(0);
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (train, eval) = (run(Mode::Train), run(Mode::Eval));
    let gradients = backward(&train.sqr().unwrap().sum_all().unwrap()).unwrap();
    (executor.steps.len(), [flat(&train), flat(&eval), flat(gradients.get(&executor.vars()["scale"]).unwrap())])
}

/// All becomes one step, and what a tap keeps apart gives the same.
#[track_caller]
fn assert_one_step(nodes: Vec<NodeProto>) {
    let apart = nodes.len() + 1;
    let between: Vec<String> = nodes.iter().flat_map(|node| node.output.clone()).filter(|name| name != "y").collect();
    let between: Vec<&str> = between.iter().map(String::as_str).chain(["b"]).collect();
    let model = behind_norm(nodes);
    let (steps, fused) = facts(&model, &[]);
    let (all, plain) = facts(&model, &between);
    assert_eq!((steps, all), (1, apart));
    for (found, expected) in fused.iter().flatten().zip(plain.iter().flatten()) {
        assert!((found - expected).abs() < 2e-5 * expected.abs().max(1.0), "{found} instead of {expected}");
    }
}

#[test]
fn an_activation_behind_batch_normalisation_is_part_of_it() {
    for op in ["Relu", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "Gelu"] {
        assert_one_step(vec![node(op, &["b"], "y")]);
    }
    assert_one_step(vec![node("Clip", &["b", "half", "one"], "y")]);
}

#[test]
fn what_is_multiplied_with_its_sigmoid_is_silu_and_with_its_hard_sigmoid_hard_swish() {
    assert_one_step(vec![node("Sigmoid", &["b"], "s"), node("Mul", &["b", "s"], "y")]);
    assert_one_step(vec![node("Sigmoid", &["b"], "s"), node("Mul", &["s", "b"], "y")]);
    assert_one_step(vec![hard_sigmoid(1.0 / 6.0), node("Mul", &["b", "s"], "y")]);
}

#[test]
fn the_ways_to_write_gelu_are_one() {
    let erf = |scale: NodeProto| vec![scale, node("Erf", &["d"], "e"), node("Add", &["e", "one"], "a")];
    let ends = [
        [node("Mul", &["b", "a"], "p"), node("Mul", &["p", "half"], "y")],
        [node("Mul", &["b", "half"], "p"), node("Mul", &["p", "a"], "y")],
        [node("Mul", &["half", "a"], "p"), node("Mul", &["b", "p"], "y")],
    ];
    for end in ends {
        assert_one_step([erf(node("Div", &["b", "root"], "d")), end.to_vec()].concat());
        assert_one_step([erf(node("Mul", &["inverse", "b"], "d")), end.to_vec()].concat());
    }
}

#[test]
fn what_only_looks_alike_stays_as_it_is() {
    let steps = |nodes| facts(&behind_norm(nodes), &[]).0;
    assert_eq!(steps(vec![hard_sigmoid(0.2), node("Mul", &["b", "s"], "y")]), 3, "another slope");
    assert_eq!(steps(vec![node("Sigmoid", &["x"], "s"), node("Mul", &["b", "s"], "y")]), 3, "of another value");
    let twice = vec![node("Sigmoid", &["b"], "s"), node("Mul", &["b", "s"], "m"), node("Add", &["m", "s"], "y")];
    assert_eq!(steps(twice), 4, "the gate is read again");
    let other = vec![
        node("Div", &["b", "half"], "d"),
        node("Erf", &["d"], "e"),
        node("Add", &["e", "one"], "a"),
        node("Mul", &["b", "a"], "p"),
        node("Mul", &["p", "half"], "y"),
    ];
    assert_eq!(steps(other), 6, "another width");
}
