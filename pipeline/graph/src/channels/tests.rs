#![expect(clippy::single_range_in_vec_init, reason = "a unit of one slice is a list of one range")]

use proptest::prelude::*;

use super::*;
use crate::arch::{ResNetOptions, resnet_cifar};
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{GraphProto, NodeProto, TensorProto};
use crate::shape::{Dim, Fact, infer};

fn floats(name: &str, shape: &[usize]) -> TensorProto {
    let count = shape.iter().product::<usize>();
    TensorProto::from_f32(name, shape, &(0..count).map(|at| at as f32).collect::<Vec<_>>())
}

/// A graph from `x` `[batch, channels, 4, 4]` to `y`.
fn model(channels: i64, nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Model {
    let input = Fact::new(Some(DataType::Float), vec![Dim::symbol("batch"), channels.into(), 4.into(), 4.into()]);
    let output = crate::onnx::ValueInfoProto { name: Some("y".to_owned()), ..Default::default() };
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![input.declare("x")],
        output: vec![output],
        ..Default::default()
    };
    Model::from_graph(graph, 17).unwrap()
}

fn conv(input: &str, weight: &str, output: &str) -> NodeProto {
    NodeProto::new("Conv", output, &[input, weight], &[output])
}

fn names(group: &Group) -> Vec<(&str, usize, Role)> {
    group.members.iter().map(|member| (member.initializer.as_str(), member.axis, member.role)).collect()
}

fn shape(model: &Model, value: &str) -> String {
    infer(model).unwrap().get(value).to_string()
}

#[test]
fn filters_go_with_what_reads_them() {
    let nodes = vec![conv("x", "w", "a"), NodeProto::new("Relu", "", &["a"], &["b"]), conv("b", "v", "y")];
    let mut model = model(3, nodes, vec![floats("w", &[6, 3, 1, 1]), floats("v", &[2, 6, 1, 1])]);
    let found = groups(&model).unwrap();
    assert_eq!(found.groups.len(), 1);
    assert_eq!(names(&found.groups[0]), [("w", 0, Role::Filters), ("v", 1, Role::Inputs)]);
    assert_eq!(found.groups[0].units[4].slices, [vec![4..5], vec![4..5]]);
    let reasons: Vec<_> = found.locked.iter().map(|locked| locked.reason.as_str()).collect();
    assert_eq!(reasons, ["the graph takes 'x'", "the graph gives out 'y'"]);
    prune(&mut model, &found, &Selection::new().drop_units(0, [0, 4])).unwrap();
    let weights = |name| model.graph().initializer_named(name).unwrap().f32s().unwrap();
    assert_eq!(weights("w"), [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 15.0, 16.0, 17.0]);
    assert_eq!(weights("v"), [1.0, 2.0, 3.0, 5.0, 7.0, 8.0, 9.0, 11.0]);
}

#[test]
fn what_is_added_to_the_graphs_input_is_locked() {
    let nodes = vec![conv("x", "w", "a"), NodeProto::new("Add", "", &["a", "x"], &["b"]), conv("b", "v", "y")];
    let model = model(3, nodes, vec![floats("w", &[3, 3, 1, 1]), floats("v", &[2, 3, 1, 1])]);
    assert!(groups(&model).unwrap().groups.is_empty());
}

#[test]
fn an_unknown_operator_locks_what_it_sees() {
    let mut mystery = NodeProto::new("Mystery", "m", &["a"], &["b"]);
    mystery.domain = Some("com.example".to_owned());
    let nodes = vec![conv("x", "w", "a"), mystery, conv("a", "v", "y")];
    let model = model(3, nodes, vec![floats("w", &[6, 3, 1, 1]), floats("v", &[2, 6, 1, 1])]);
    let found = groups(&model).unwrap();
    assert!(found.groups.is_empty());
    assert!(found.locked.iter().any(|locked| locked.reason == "com.example.Mystery 'm' has no rule for pruning"));
}

#[test]
fn joined_values_keep_their_channels_apart() {
    let nodes = vec![
        conv("x", "w", "a"),
        conv("x", "v", "b"),
        NodeProto::new("Concat", "", &["a", "b"], &["c"]).with_int("axis", 1),
        conv("c", "u", "y"),
    ];
    let weights = vec![floats("w", &[2, 3, 1, 1]), floats("v", &[4, 3, 1, 1]), floats("u", &[2, 6, 1, 1])];
    let mut model = model(3, nodes, weights);
    let found = groups(&model).unwrap();
    assert_eq!(found.groups.len(), 2);
    assert_eq!(found.groups[1].units[3].slices, [vec![3..4], vec![5..6]]);
    prune(&mut model, &found, &Selection::new().drop_units(1, [0, 2]).drop_units(0, [1])).unwrap();
    assert_eq!(model.graph().initializer_named("u").unwrap().f32s().unwrap(), [0.0, 3.0, 5.0, 6.0, 9.0, 11.0]);
}

#[test]
fn parts_of_a_split_are_told_their_new_sizes() {
    let nodes = vec![
        conv("x", "w", "a"),
        NodeProto::new("Split", "", &["a"], &["b", "c"]).with_int("axis", 1),
        NodeProto::new("Concat", "", &["c", "b"], &["d"]).with_int("axis", 1),
        conv("d", "u", "y"),
    ];
    let mut model = model(3, nodes, vec![floats("w", &[6, 3, 1, 1]), floats("u", &[2, 6, 1, 1])]);
    let found = groups(&model).unwrap();
    assert_eq!(found.groups[0].units[0].slices, [vec![0..1], vec![3..4]]);
    prune(&mut model, &found, &Selection::new().drop_units(0, [0, 1, 5])).unwrap();
    assert_eq!(
        (shape(&model, "b"), shape(&model, "c")),
        ("[batch, 1, 4, 4]".to_owned(), "[batch, 2, 4, 4]".to_owned())
    );
    assert_eq!(model.graph().initializer_named("u").unwrap().f32s().unwrap(), [0.0, 1.0, 5.0, 6.0, 7.0, 11.0]);
}

#[test]
fn a_grouped_convolution_loses_whole_groups() {
    let nodes = vec![conv("x", "w", "a"), conv("a", "g", "b").with_int("group", 3), conv("b", "u", "y")];
    let weights = vec![floats("w", &[6, 3, 1, 1]), floats("g", &[12, 2, 1, 1]), floats("u", &[2, 12, 1, 1])];
    let mut model = model(3, nodes, weights);
    let found = groups(&model).unwrap();
    assert_eq!(found.groups.len(), 1);
    assert_eq!(found.groups[0].units.len(), 3);
    assert_eq!(found.groups[0].units[1].slices, [vec![2..4], vec![4..8], vec![4..8]]);
    prune(&mut model, &found, &Selection::new().drop_units(0, [1])).unwrap();
    assert_eq!(model.graph().node[1].int("group"), Some(2));
    assert_eq!(shape(&model, "b"), "[batch, 8, 4, 4]");
}

#[test]
fn flattening_makes_blocks_of_a_channels_pixels() {
    let nodes = vec![
        conv("x", "w", "a"),
        NodeProto::new("Reshape", "", &["a", "to"], &["b"]),
        NodeProto::new("Gemm", "", &["b", "u"], &["y"]),
    ];
    let to = TensorProto::from_i64("to", &[2], &[-1, 80]);
    let mut model = model(3, nodes, vec![floats("w", &[5, 3, 1, 1]), floats("u", &[80, 2]), to]);
    let found = groups(&model).unwrap();
    assert_eq!(found.groups[0].units[2].slices, [vec![2..3], vec![32..48]]);
    prune(&mut model, &found, &Selection::new().drop_units(0, [0, 1])).unwrap();
    assert_eq!(shape(&model, "b"), "[batch, 48]");
}

#[test]
fn a_gate_goes_with_its_trunk() {
    let nodes = vec![
        conv("x", "w", "a"),
        NodeProto::new("GlobalAveragePool", "", &["a"], &["b"]),
        conv("b", "down", "c"),
        conv("c", "up", "d"),
        NodeProto::new("Sigmoid", "", &["d"], &["e"]),
        NodeProto::new("Mul", "", &["e", "a"], &["f"]),
        conv("f", "u", "y"),
    ];
    let weights = vec![
        floats("w", &[8, 3, 1, 1]),
        floats("down", &[2, 8, 1, 1]),
        floats("up", &[8, 2, 1, 1]),
        floats("u", &[2, 8, 1, 1]),
    ];
    let found = groups(&model(3, nodes, weights)).unwrap();
    let trunk = [("w", 0, Role::Filters), ("down", 1, Role::Inputs), ("up", 0, Role::Filters), ("u", 1, Role::Inputs)];
    assert_eq!(names(&found.groups[0]), trunk);
    assert_eq!(names(&found.groups[1]), [("down", 0, Role::Filters), ("up", 1, Role::Inputs)]);
}

/// Two groups of three channels: 0 3 1 4 2 5.
fn shuffled() -> Model {
    let nodes = vec![
        conv("x", "w", "a"),
        NodeProto::new("Reshape", "", &["a", "apart"], &["b"]),
        NodeProto::new("Transpose", "", &["b"], &["c"]).with_ints("perm", &[0, 2, 1, 3, 4]),
        NodeProto::new("Reshape", "", &["c", "together"], &["d"]),
        conv("d", "u", "y"),
    ];
    let lists = [("apart", vec![0, 2, 3, 4, 4]), ("together", vec![0, -1, 4, 4])];
    let lists = lists.map(|(name, list)| TensorProto::from_i64(name, &[list.len()], &list));
    model(3, nodes, [vec![floats("w", &[6, 3, 1, 1]), floats("u", &[1, 6, 1, 1])], lists.to_vec()].concat())
}

fn operators(model: &Model) -> Vec<&str> {
    model.graph().node.iter().map(NodeProto::op_type).collect()
}

#[test]
fn a_shuffle_stays_one_where_its_groups_stay_alike() {
    let mut model = shuffled();
    let found = groups(&model).unwrap();
    assert_eq!(found.groups[0].units[4].slices, [vec![4..5], vec![3..4]]);
    prune(&mut model, &found, &Selection::new().drop_units(0, [1, 4])).unwrap();
    assert_eq!(operators(&model), ["Conv", "Reshape", "Transpose", "Reshape", "Conv"]);
    assert_eq!(shape(&model, "b"), "[batch, 2, 2, 4, 4]");
    assert_eq!(model.graph().initializer_named("u").unwrap().f32s().unwrap(), [0.0, 1.0, 4.0, 5.0]);
}

#[test]
fn else_a_shuffle_becomes_a_list_of_indices_which_can_be_pruned_too() {
    let mut model = shuffled();
    let found = groups(&model).unwrap();
    prune(&mut model, &found, &Selection::new().drop_units(0, [0, 1])).unwrap();
    assert_eq!(operators(&model), ["Conv", "Gather", "Conv"]);
    // Left are channels 2 3 4 5, in the order 3 4 2 5.
    let indices =
        |model: &Model| model.graph().initializer_named(&model.graph().node[1].input[1]).unwrap().i64s().unwrap();
    assert_eq!(indices(&model), [1, 2, 0, 3]);
    assert_eq!(model.graph().initializer_named("u").unwrap().f32s().unwrap(), [1.0, 3.0, 4.0, 5.0]);
    let found = groups(&model).unwrap();
    prune(&mut model, &found, &Selection::new().drop_units(0, [1])).unwrap();
    assert_eq!(indices(&model), [1, 0, 2]);
    assert_eq!(model.graph().initializer_named("u").unwrap().f32s().unwrap(), [3.0, 4.0, 5.0]);
}

#[test]
fn slices_are_told_their_new_borders() {
    let nodes = vec![
        conv("x", "w", "a"),
        NodeProto::new("Slice", "", &["a", "two", "end", "one"], &["b"]),
        conv("b", "u", "y"),
    ];
    let lists =
        [("two", 2), ("end", i64::MAX), ("one", 1)].map(|(name, value)| TensorProto::from_i64(name, &[1], &[value]));
    let weights = vec![floats("w", &[6, 3, 1, 1]), floats("u", &[1, 4, 1, 1])];
    let mut model = model(3, nodes, [weights, lists.to_vec()].concat());
    let found = groups(&model).unwrap();
    assert_eq!(found.groups.len(), 2, "what is cut off, and what is not");
    prune(&mut model, &found, &Selection::new().drop_units(0, [1]).drop_units(1, [0])).unwrap();
    assert_eq!(
        (shape(&model, "a"), shape(&model, "b")),
        ("[batch, 4, 4, 4]".to_owned(), "[batch, 3, 4, 4]".to_owned())
    );
}

#[test]
fn nothing_is_pruned_away_altogether() {
    let options = ResNetOptions { input: [3, 16, 16], ..ResNetOptions::default() };
    let mut net = resnet_cifar(&options, 1, 0).unwrap();
    let before = net.clone();
    let found = groups(&net).unwrap();
    let all = Selection::new().drop_units(0, 0..found.groups[0].units.len());
    let error = prune(&mut net, &found, &all).unwrap_err();
    assert!(error.to_string().contains("would lose all its 16 channels"), "{error}");
    let error = prune(&mut net, &found, &Selection::new().drop_units(99, [0])).unwrap_err();
    assert!(
        error.to_string().starts_with("found unit 0 of group 99 in the selection, expected a group below"),
        "{error}"
    );
    assert_eq!(net, before);
    prune(&mut net, &found, &Selection::new().drop_units(0, [1])).unwrap();
    let error = prune(&mut net, &found, &Selection::new().drop_units(0, [1])).unwrap_err();
    assert!(matches!(error, PruneError::Stale(_)), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_dropped_shapes_agree(picks in proptest::collection::vec(0_usize..1000, 1..60)) {
        let options = ResNetOptions { input: [3, 16, 16], ..ResNetOptions::default() };
        let mut net = resnet_cifar(&options, 1, 0).unwrap();
        let found = groups(&net).unwrap();
        let mut selection = Selection::new();
        for pick in picks {
            let group = pick % found.groups.len();
            // The first unit always stays.
            selection = selection.drop_units(group, [1 + pick / 8 % (found.groups[group].units.len() - 1)]);
        }
        let before = crate::cost::total(&net).unwrap();
        prune(&mut net, &found, &selection).unwrap();
        let after = crate::cost::total(&net).unwrap();
        prop_assert!(after.macs < before.macs && after.parameters < before.parameters);
    }
}
