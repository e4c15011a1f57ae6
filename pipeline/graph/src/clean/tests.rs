use super::*;
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{GraphProto, NodeProto, TensorProto};
use crate::shape::{Dim, Fact};

fn floats(name: &str, shape: &[usize]) -> TensorProto {
    let count = shape.iter().product::<usize>();
    TensorProto::from_f32(name, shape, &(0..count).map(|at| 0.1 * at as f32).collect::<Vec<_>>())
}

fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Model {
    let batch = Dim::symbol("batch");
    let input = Fact::new(Some(DataType::Float), vec![batch, 4.into(), 2.into(), 2.into()]).declare("x");
    let output = crate::onnx::ValueInfoProto { name: Some("y".to_owned()), ..Default::default() };
    Model::from_graph(
        GraphProto { node: nodes, initializer, input: vec![input], output: vec![output], ..Default::default() },
        17,
    )
    .unwrap()
}

fn operators(model: &Model) -> Vec<&str> {
    model.graph().node.iter().map(NodeProto::op_type).collect()
}

#[test]
fn an_output_keeps_its_name_when_its_identity_goes() {
    let nodes = vec![
        NodeProto::new("Identity", "", &["x"], &["a"]),
        NodeProto::new("Relu", "", &["a"], &["b"]),
        NodeProto::new("Dropout", "", &["b"], &["c"]),
        NodeProto::new("Identity", "", &["c"], &["y"]),
    ];
    let mut model = model(nodes, vec![]);
    clean(&mut model).unwrap();
    assert_eq!(operators(&model), ["Relu"]);
    assert_eq!(
        (&*model.graph().node[0].input, &*model.graph().node[0].output),
        (&["x".to_owned()][..], &["y".to_owned()][..])
    );
}

#[test]
fn an_identity_between_input_and_output_stays() {
    let mut model = model(vec![NodeProto::new("Identity", "", &["x"], &["y"])], vec![]);
    clean(&mut model).unwrap();
    assert_eq!(operators(&model), ["Identity"]);
}

#[test]
fn weights_shared_through_identity_become_two() {
    let nodes = vec![
        NodeProto::new("Identity", "", &["w"], &["v"]),
        NodeProto::new("Conv", "", &["x", "w"], &["a"]),
        NodeProto::new("Conv", "", &["a", "v"], &["y"]),
    ];
    let mut model = model(nodes, vec![floats("w", &[4, 4, 1, 1])]);
    clean(&mut model).unwrap();
    let graph = model.graph();
    assert_eq!(graph.initializer.len(), 2);
    assert_ne!(graph.node[0].input[1], graph.node[1].input[1]);
    assert_eq!(graph.initializer[0].f32s(), graph.initializer[1].f32s());
}

#[test]
fn a_computed_target_is_written_out() {
    let nodes = vec![
        NodeProto::new("Shape", "", &["x"], &["all"]),
        NodeProto::new("Gather", "", &["all", "zero"], &["n"]),
        NodeProto::new("Constant", "", &[], &["rest"]).with_ints("value_ints", &[16]),
        NodeProto::new("Concat", "", &["n", "rest"], &["to"]).with_int("axis", 0),
        NodeProto::new("Reshape", "", &["x", "to"], &["y"]).with_int("allowzero", 1),
    ];
    let mut model = model(nodes, vec![TensorProto::from_i64("zero", &[1], &[0])]);
    clean(&mut model).unwrap();
    assert_eq!(operators(&model), ["Reshape"]);
    let graph = model.graph();
    assert_eq!(graph.initializer.len(), 1);
    assert_eq!(graph.initializer[0].i64s().unwrap(), [0, 16]);
    assert_eq!(graph.node[0].int("allowzero"), None);
}

#[test]
fn a_bias_that_is_computed_becomes_an_initialiser() {
    let nodes = vec![
        NodeProto::new("Shape", "", &["w"], &["count"]).with_int("end", 1),
        NodeProto::new("Constant", "", &[], &["zero"]).with_float("value_float", 0.5),
        NodeProto::new("CastLike", "", &["zero", "x"], &["like"]),
        NodeProto::new("Expand", "", &["like", "count"], &["b"]),
        NodeProto::new("Conv", "", &["x", "w", "b"], &["y"]),
    ];
    let mut model = model(nodes, vec![floats("w", &[3, 4, 1, 1])]);
    clean(&mut model).unwrap();
    assert_eq!(operators(&model), ["Conv"]);
    assert_eq!(model.graph().initializer_named("b").unwrap().f32s().unwrap(), [0.5; 3]);
}

#[test]
fn a_norm_is_folded_only_where_nobody_sees_the_value_before() {
    let norm = NodeProto::new("BatchNormalization", "", &["a", "g", "b", "m", "v"], &["c"]);
    let weights: Vec<_> =
        ["g", "b", "m", "v"].iter().map(|name| floats(name, &[3])).chain([floats("w", &[3, 4, 1, 1])]).collect();
    let conv = NodeProto::new("Conv", "", &["x", "w"], &["a"]);
    let seen = vec![conv.clone(), norm.clone(), NodeProto::new("Add", "", &["a", "c"], &["y"])];
    let mut seen = model(seen, weights.clone());
    fold_batch_norm(&mut seen).unwrap();
    assert_eq!(operators(&seen), ["Conv", "BatchNormalization", "Add"]);
    let mut alone = model(vec![conv, norm, NodeProto::new("Relu", "", &["c"], &["y"])], weights);
    fold_batch_norm(&mut alone).unwrap();
    assert_eq!(operators(&alone), ["Conv", "Relu"]);
    assert_eq!(alone.graph().initializer.len(), 2);
}

#[test]
fn a_result_that_the_caller_refuses_is_not_taken() {
    let nodes = vec![NodeProto::new("Identity", "", &["x"], &["a"]), NodeProto::new("Relu", "", &["a"], &["y"])];
    let mut model = model(nodes, vec![]);
    let before = model.clone();
    let refuse = &mut |_: &Model, _: &Model| Err("other numbers".to_owned());
    let error = run(&mut model, &[&RemoveIdentity], refuse).unwrap_err();
    assert_eq!(error.to_string(), "remove-identity was refused: other numbers");
    assert_eq!(model, before);
}

#[test]
fn a_pass_that_breaks_the_graph_is_told() {
    struct Saw;
    impl crate::patch::Pass for Saw {
        fn name(&self) -> &'static str {
            "saw"
        }
        fn propose(&self, _: &Model, _: &crate::shape::Facts) -> Result<crate::patch::Patch, String> {
            let mut patch = crate::patch::Patch::default();
            patch.remove(0);
            Ok(patch)
        }
    }
    let nodes = vec![NodeProto::new("Relu", "", &["x"], &["a"]), NodeProto::new("Relu", "r", &["a"], &["y"])];
    let mut model = model(nodes, vec![]);
    let error = run(&mut model, &[&Saw], &mut no_check).unwrap_err();
    assert!(error.to_string().starts_with("saw would break the graph: Relu 'r' uses 'a'"), "{error}");
    assert_eq!(operators(&model), ["Relu", "Relu"]);
}
