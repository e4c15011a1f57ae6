//! Numbers in a model that make no sense give an error or are lived with; nothing panics and nothing runs away.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use takt_graph::execute::{Executor, Options};
use takt_graph::onnx::tensor_shape_proto::dimension::Value as DimValue;
use takt_graph::onnx::type_proto::Value as TypeValue;
use takt_graph::onnx::{ModelProto, TensorProto};
use takt_graph::{Model, channels, clean, cost};

static MODELS: LazyLock<Vec<ModelProto>> = LazyLock::new(|| {
    let load = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name).with_extension("onnx");
        Model::load(path).unwrap().to_proto()
    };
    ["shufflenet_v2_old_bn", "shufflenet_v2_new_folded", "mobilenet_v3_old_bn", "regnet_y_new_bn"].map(load).to_vec()
});

/// Numbers at the ends of what is written, and small ones that are wrong.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![Just(i64::MAX), Just(i64::MIN), Just(i64::MAX - 1), Just(1 << 31), Just(1 << 46), -3_i64..20,]
}

/// Changes one number somewhere: `pick` says where.
fn change(model: &mut ModelProto, pick: usize, value: i64) {
    let graph = model.graph.as_mut().unwrap();
    let mut numbers: Vec<&mut i64> = Vec::new();
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        numbers.extend(attribute.i.iter_mut().chain(&mut attribute.ints));
    }
    numbers.extend(graph.initializer.iter_mut().flat_map(|tensor| &mut tensor.dims));
    for value in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
        if let Some(TypeValue::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
            for dim in tensor.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
                if let Some(DimValue::DimValue(size)) = &mut dim.value {
                    numbers.push(size);
                }
            }
        }
    }
    let count = numbers.len();
    *numbers.swap_remove(pick % count) = value;
}

/// Changes an element of a list of sizes or axes, wherever it is written.
fn change_list(model: &mut ModelProto, pick: usize, value: i64) {
    let graph = model.graph.as_mut().unwrap();
    let attributes =
        graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|attribute| attribute.t.as_mut());
    let lists = graph.initializer.iter_mut().chain(attributes);
    let mut lists: Vec<&mut TensorProto> = lists.filter(|tensor| tensor.data_type == Some(7)).collect();
    if lists.is_empty() {
        return;
    }
    let list = lists.swap_remove(pick % lists.len());
    let mut values = list.i64s().unwrap_or_default();
    if !values.is_empty() {
        let at = pick / 7 % values.len();
        values[at] = value;
        list.set_data(values.into_iter().flat_map(i64::to_le_bytes).collect::<Vec<u8>>());
    }
}

/// Everything that reads a model it did not make.
fn use_it(model: ModelProto) {
    let Ok(mut model) = Model::from_proto(model) else { return };
    let _ = cost::total(&model);
    if clean::clean(&mut model).is_err() {
        return;
    }
    if let Ok(groups) = channels::groups(&model) {
        let mut pruned = model.clone();
        let selection =
            (0..groups.groups.len()).fold(channels::Selection::new(), |all, group| all.drop_units(group, [0]));
        let _ = channels::prune(&mut pruned, &groups, &selection);
    }
    let _ = Executor::new(&model, &Options { frozen: true, ..Options::default() });
    let _ = clean::fold_batch_norm(&mut model);
}

proptest! {
    #[test]
    fn wrong_numbers_are_survived(
        model in 0_usize..4,
        changes in proptest::collection::vec((any::<bool>(), any::<usize>(), number()), 1..4),
    ) {
        let mut model = MODELS[model].clone();
        for (list, pick, value) in changes {
            if list { change_list(&mut model, pick, value) } else { change(&mut model, pick, value) }
        }
        use_it(model);
    }
}

#[test]
fn shapes_that_grow_with_each_node_end_somewhere() {
    use takt_graph::onnx::{GraphProto, NodeProto, ValueInfoProto};
    use takt_graph::shape::{Dim, Fact, infer};
    let chain = |node: &dyn Fn(&str, &str) -> NodeProto| {
        let names: Vec<String> = (0..80).map(|at| format!("v{at}")).collect();
        let nodes = names.windows(2).map(|pair| node(&pair[0], &pair[1])).collect();
        let input = Fact::new(None, vec![Dim::symbol("n"), Dim::symbol("m")]).declare("v0");
        let output = ValueInfoProto { name: Some("v79".to_owned()), ..Default::default() };
        let graph = GraphProto { node: nodes, input: vec![input], output: vec![output], ..Default::default() };
        Model::from_graph(graph, 17).unwrap()
    };
    let gathers = chain(&|from, to| NodeProto::new("Gather", "", &[from, from], &[to]));
    assert!(infer(&gathers).unwrap_err().to_string().contains("found an output of 65 dimensions"));
    let joined = chain(&|from, to| NodeProto::new("Concat", "", &[from, from], &[to]).with_int("axis", 0));
    infer(&joined).unwrap();
    let shaped = chain(&|from, to| match from {
        "v0" => NodeProto::new("Shape", "", &[from], &[to]),
        _ => NodeProto::new("Mul", "", &[from, from], &[to]),
    });
    infer(&shaped).unwrap();
}
