//! Files: what is read is written again, weights may lie beside, and files made to harm are refused with a reason.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use takt_graph::arch::{ResNetOptions, resnet_cifar};
use takt_graph::onnx::tensor_proto::DataLocation;
use takt_graph::onnx::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, TrainingInfoProto, ValueInfoProto,
};
use takt_graph::{Model, Weights};

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

fn value(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..Default::default() }
}

/// A model with something in every corner.
fn rich() -> ModelProto {
    let mut mystery =
        NodeProto::new("Mystery", "m", &["x", "w"], &["y"]).with_ints("list", &[1, -2]).with_float("f", 0.5);
    mystery.domain = Some("com.example".to_owned());
    mystery.doc_string = Some("why".to_owned());
    mystery.overload = Some("over".to_owned());
    mystery.metadata_props = vec![entry("trace", "here")];
    let body = GraphProto { output: vec![value("x")], doc_string: Some("inner".to_owned()), ..Default::default() };
    mystery.attribute.push(AttributeProto { name: Some("body".to_owned()), g: Some(body), ..Default::default() });
    let typed = TensorProto { float_data: vec![1.0, 2.0], raw_data: None, ..TensorProto::from_f32("w", &[2], &[]) };
    let sparse = SparseTensorProto {
        values: Some(TensorProto::from_f32("s", &[1], &[3.0])),
        indices: Some(TensorProto::from_i64("", &[1], &[0])),
        dims: vec![4],
    };
    let graph = GraphProto {
        name: Some("g".to_owned()),
        doc_string: Some("graph".to_owned()),
        node: vec![mystery],
        input: vec![value("x")],
        output: vec![value("y")],
        value_info: vec![value("x")],
        initializer: vec![typed],
        sparse_initializer: vec![sparse],
        quantization_annotation: vec![TensorAnnotation { tensor_name: Some("y".to_owned()), ..Default::default() }],
        metadata_props: vec![entry("graph", "props")],
    };
    let function = FunctionProto { name: Some("F".to_owned()), domain: Some("local".to_owned()), ..Default::default() };
    ModelProto {
        ir_version: Some(10),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(21) }],
        producer_name: Some("somebody".to_owned()),
        model_version: Some(7),
        metadata_props: vec![entry("labels", "a,b")],
        functions: vec![function],
        training_info: vec![TrainingInfoProto::default()],
        graph: Some(graph),
        ..Default::default()
    }
}

fn write(folder: &Path, proto: &ModelProto) -> PathBuf {
    let path = folder.join("model.onnx");
    fs::write(&path, proto.encode_to_vec()).unwrap();
    path
}

#[test]
fn a_round_trip_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), &rich());
    let again = folder.path().join("again.onnx");
    let model = Model::load(&path).unwrap();
    model.save(&again).unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
    assert_eq!(model.to_proto(), rich());
    assert_eq!(model.metadata("labels"), Some("a,b"));
}

#[test]
fn saving_leaves_the_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let model = Model::from_proto(rich()).unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, "old").unwrap();
    model.save(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = model.save(folder.path().join("none/model.onnx")).unwrap_err();
    assert!(error.to_string().starts_with("cannot write"), "{error}");
    assert!(model.save(folder.path().join("..")).unwrap_err().to_string().contains("no file name"));
}

fn net() -> Model {
    resnet_cifar(&ResNetOptions { input: [3, 16, 16], ..ResNetOptions::default() }, 1, 5).unwrap()
}

#[test]
fn weights_may_lie_beside_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    net().save_with(&path, Weights::Beside).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 40_000);
    assert_eq!(Model::load(&path).unwrap(), net());
    // The next one takes another file, so that the first stays whole until it is replaced.
    net().save_with(&path, Weights::Beside).unwrap();
    assert_eq!(Model::load(&path).unwrap(), net());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "old weights are gone");
    net().save(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(Model::load(&path).unwrap(), net());
}

/// A model whose weight lies where `entries` say.
fn outside(entries: &[(&str, &str)]) -> ModelProto {
    let mut proto = rich();
    let tensor = &mut proto.graph.as_mut().unwrap().initializer[0];
    tensor.float_data.clear();
    tensor.data_location = Some(DataLocation::External.into());
    tensor.external_data = entries.iter().map(|(key, value)| entry(key, value)).collect();
    proto
}

#[test]
fn nothing_outside_the_models_folder_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(folder.path().join("secret"), [0; 8]).unwrap();
    let absolute = folder.path().join("secret");
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret", inner.join("link")).unwrap();
    for location in ["../secret", absolute.to_str().unwrap(), "x/../../secret", "link", "..\\secret"] {
        let error = Model::load(write(&inner, &outside(&[("location", location)]))).unwrap_err().to_string();
        assert!(error.contains("leads out of the model's folder"), "{location}: {error}");
    }
}

#[test]
fn weights_that_are_not_there_are_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data"), [0; 12]).unwrap();
    let told = |entries: &[(&str, &str)]| Model::load(write(folder.path(), &outside(entries))).unwrap_err().to_string();
    for (entries, expected) in [
        (&[][..], "no 'location' says in which"),
        (&[("location", "none")], "tensor 'w': cannot read"),
        (&[("location", "data"), ("offset", "8")], "needs bytes 8 to 16 of 'data', which has 12"),
        (&[("location", "data"), ("offset", "-1")], "found '-1' as offset"),
        (&[("location", "data"), ("length", "4")], "found a length of 4 bytes, expected 8"),
        (&[("location", "data"), ("offset", "18446744073709551615")], "which has 12"),
    ] {
        let told = told(entries);
        assert!(told.contains(expected), "{expected} in {told}");
    }
    let model = Model::load(write(folder.path(), &outside(&[("location", "data"), ("offset", "4")]))).unwrap();
    assert_eq!(model.graph().initializer_named("w").unwrap().f32s().unwrap(), [0.0, 0.0]);
}

#[test]
fn files_made_to_harm_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.onnx");
    let told = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Model::load(&path).unwrap_err().to_string()
    };
    let whole = rich().encode_to_vec();
    assert!(told(&whole[..whole.len() / 2]).contains("is cut off or no ONNX model"));
    assert!(told(b"").contains("found no graph"));
    assert!(told(b"<html>not a model</html>").contains("is cut off or no ONNX model"));
    // A length of 2^63 bytes.
    assert!(told(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).contains("is cut off"));

    let changed = |change: &dyn Fn(&mut GraphProto)| {
        let mut proto = rich();
        change(proto.graph.as_mut().unwrap());
        told(&proto.encode_to_vec())
    };
    assert!(changed(&|graph| graph.node[0].input[0] = "y".to_owned()).contains("runs in a circle through"));
    assert!(changed(&|graph| graph.node[0].input[0] = "gone".to_owned()).contains("uses 'gone'"));
    assert!(changed(&|graph| graph.initializer[0].dims = vec![i64::MAX; 8]).contains("found dimensions"));
    assert!(changed(&|graph| graph.initializer[0].dims = vec![3]).contains("expected 12"));
    assert!(changed(&|graph| graph.initializer[0].data_type = Some(77)).contains("found element type 77"));
    let twice = changed(&|graph| graph.initializer.push(graph.initializer[0].clone()));
    assert!(twice.contains("value 'w' is made twice"), "{twice}");
    let mut old = rich();
    old.opset_import[0].version = Some(9);
    assert!(told(&old.encode_to_vec()).contains("found operator set 9, expected 13 to 21"));
}

#[test]
fn graphs_within_graphs_do_not_exhaust_the_stack() {
    let folder = tempfile::tempdir().unwrap();
    // GraphProto.node, NodeProto.attribute, AttributeProto.g, each around the last: deeper than a struct could be built.
    let mut bytes = Vec::new();
    for level in 0..3000 {
        let mut around = vec![[0x32, 0x2a, 0x0a][level % 3]];
        prost::encoding::encode_varint(bytes.len() as u64, &mut around);
        around.append(&mut bytes);
        bytes = around;
    }
    let mut model = vec![0x3a];
    prost::encoding::encode_varint(bytes.len() as u64, &mut model);
    model.append(&mut bytes);
    let path = folder.path().join("deep.onnx");
    fs::write(&path, model).unwrap();
    let told = Model::load(&path).unwrap_err().to_string();
    assert!(told.contains("recursion limit"), "{told}");
}
