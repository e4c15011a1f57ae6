use super::*;
use crate::onnx::tensor_proto::DataType;
use crate::onnx::{GraphProto, TensorProto};

/// A model of `nodes` on `input`, of float values.
fn model(input: &[i64], nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Model {
    let mut shape = vec![Dim::symbol("batch")];
    shape.extend(input.iter().map(|&dim| Dim::from(dim)));
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![Fact::new(Some(DataType::Float), shape).declare("x")],
        ..GraphProto::default()
    };
    Model::from_graph(graph, 17).unwrap()
}

fn shape_of(input: &[i64], node: NodeProto, initializer: Vec<TensorProto>) -> Result<String, String> {
    let facts = infer(&model(input, vec![node], initializer)).map_err(|error| error.to_string())?;
    Ok(facts.get("y").to_string())
}

fn weight(shape: &[usize]) -> TensorProto {
    TensorProto::from_f32("w", shape, &vec![0.0; shape.iter().product()])
}

fn ints(name: &str, values: &[i64]) -> TensorProto {
    TensorProto::from_i64(name, &[values.len()], values)
}

#[test]
fn a_convolution_moves_its_window_within_the_padding() {
    let conv =
        NodeProto::new("Conv", "c", &["x", "w"], &["y"]).with_ints("pads", &[1, 1, 1, 1]).with_ints("strides", &[2, 2]);
    assert_eq!(shape_of(&[3, 9, 8], conv.clone(), vec![weight(&[5, 3, 3, 3])]).unwrap(), "[batch, 5, 5, 4]");
    let told = shape_of(&[4, 9, 8], conv.clone(), vec![weight(&[5, 3, 3, 3])]).unwrap_err();
    assert!(told.starts_with("Conv 'c': found 4 input channels with weight [5, 3, 3, 3] in 1 groups"), "{told}");
    let told = shape_of(&[3, 1, 8], conv.with_ints("pads", &[0; 4]), vec![weight(&[5, 3, 3, 3])]).unwrap_err();
    assert!(told.contains("fewer than the kernel"), "{told}");
}

#[test]
fn windows_beyond_the_end_count_when_the_ceiling_is_taken() {
    let pool = |pads: &[i64]| {
        let node = NodeProto::new("MaxPool", "p", &["x"], &["y"]).with_ints("kernel_shape", &[2, 2]);
        node.with_ints("strides", &[2, 2]).with_int("ceil_mode", 1).with_ints("pads", pads)
    };
    assert_eq!(shape_of(&[3, 5, 4], pool(&[0; 4]), vec![]).unwrap(), "[batch, 3, 3, 2]");
    // A fourth window would begin in the padding.
    assert_eq!(shape_of(&[3, 5, 4], pool(&[0, 0, 1, 0]), vec![]).unwrap(), "[batch, 3, 3, 2]");
}

#[test]
fn broadcasting_takes_ones_and_refuses_others() {
    let add = NodeProto::new("Add", "a", &["x", "w"], &["y"]);
    assert_eq!(shape_of(&[3, 4, 4], add.clone(), vec![weight(&[3, 1, 1])]).unwrap(), "[batch, 3, 4, 4]");
    assert!(shape_of(&[3, 4, 4], add, vec![weight(&[2, 1, 1])]).unwrap_err().contains("found 3 and 2 on axis 1"));
}

#[test]
fn reshape_knows_zero_and_minus_one() {
    let reshape = NodeProto::new("Reshape", "r", &["x", "s"], &["y"]);
    let shape = |values: &[i64]| shape_of(&[6, 2, 2], reshape.clone(), vec![ints("s", values)]);
    assert_eq!(shape(&[0, -1]).unwrap(), "[batch, 24]");
    assert_eq!(shape(&[-1, 24]).unwrap(), "[batch, 24]");
    assert_eq!(shape(&[0, 2, 3, 2, 2]).unwrap(), "[batch, 2, 3, 2, 2]");
    assert_eq!(shape(&[-1, 6]).unwrap(), "[4*batch, 6]");
    assert!(shape(&[-1, -1]).unwrap_err().contains("at most one -1"));
}

#[test]
fn a_chain_of_shapes_is_followed() {
    let nodes = vec![
        NodeProto::new("Shape", "", &["x"], &["all"]),
        NodeProto::new("Gather", "", &["all", "zero"], &["batch_"]),
        NodeProto::new("Unsqueeze", "", &["batch_", "axis"], &["one"]),
        NodeProto::new("Concat", "", &["one", "rest"], &["wanted"]).with_int("axis", 0),
        NodeProto::new("Reshape", "", &["x", "wanted"], &["y"]),
    ];
    let zero = TensorProto::from_i64("zero", &[], &[0]);
    let facts = infer(&model(&[6, 2, 2], nodes, vec![zero, ints("axis", &[0]), ints("rest", &[-1])])).unwrap();
    assert_eq!(facts.get("y").to_string(), "[batch, 24]");
}

#[test]
fn slices_count_from_the_end_and_backwards() {
    let slice = NodeProto::new("Slice", "s", &["x", "from", "to", "axis", "step"], &["y"]);
    let sliced = |from, to, step| {
        let lists = [("from", from), ("to", to), ("axis", 1), ("step", step)];
        shape_of(&[6, 2], slice.clone(), lists.map(|(name, value)| ints(name, &[value])).to_vec()).unwrap()
    };
    assert_eq!(sliced(1, i64::MAX, 2), "[batch, 3, 2]");
    assert_eq!(sliced(-2, 6, 1), "[batch, 2, 2]");
    assert_eq!(sliced(-1, i64::MIN, -1), "[batch, 6, 2]");
    assert_eq!(sliced(4, 1, -2), "[batch, 2, 2]");
    assert_eq!(sliced(4, 1, 1), "[batch, 0, 2]");
}

#[test]
fn parts_must_sum_up() {
    let mut split = NodeProto::new("Split", "s", &["x", "parts"], &["y", "z"]).with_int("axis", 1);
    let facts = infer(&model(&[6], vec![split.clone()], vec![ints("parts", &[2, 4])])).unwrap();
    assert_eq!(facts.get("z").to_string(), "[batch, 4]");
    assert!(shape_of(&[6], split.clone(), vec![ints("parts", &[2, 3])]).unwrap_err().contains("found parts [2, 3]"));
    split.input.pop();
    assert_eq!(shape_of(&[6], split.clone(), vec![]).unwrap(), "[batch, 3]");
    assert!(shape_of(&[5], split, vec![]).is_err());
}

#[test]
fn what_contradicts_its_declaration_is_refused() {
    let mut model = model(&[3], vec![NodeProto::new("Relu", "", &["x"], &["y"])], vec![]);
    let declared = Fact::new(Some(DataType::Float), vec![Dim::symbol("n"), 4.into()]);
    model.graph_mut().output.push(declared.declare("y"));
    assert_eq!(infer(&model).unwrap_err().to_string(), "'y': the model declares [n, 4], but it is [batch, 3]");
}

#[test]
fn behind_an_unknown_operator_declarations_are_believed() {
    let mut node = NodeProto::new("Mystery", "", &["x"], &["y"]);
    node.domain = Some("com.example".to_owned());
    let mut model = model(&[3], vec![node, NodeProto::new("Relu", "", &["y"], &["z"])], vec![]);
    assert_eq!(infer(&model).unwrap().get("z").shape, None);
    model.graph_mut().value_info.push(Fact::new(None, vec![5.into()]).declare("y"));
    assert_eq!(infer(&model).unwrap().get("z").to_string(), "[5]");
}

#[test]
fn matrices_must_fit() {
    let gemm = NodeProto::new("Gemm", "g", &["x", "w"], &["y"]).with_int("transB", 1);
    assert_eq!(shape_of(&[8], gemm.clone(), vec![weight(&[5, 8])]).unwrap(), "[batch, 5]");
    assert!(shape_of(&[8], gemm, vec![weight(&[8, 5])]).unwrap_err().contains("sum over 8 and 5"));
    let matmul = NodeProto::new("MatMul", "m", &["x", "w"], &["y"]);
    assert_eq!(shape_of(&[7, 8], matmul, vec![weight(&[8, 5])]).unwrap(), "[batch, 7, 5]");
}
