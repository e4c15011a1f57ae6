use std::collections::HashMap;

use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::file::{METADATA, Stored};
use super::*;
use crate::manifest::Precision;
use crate::sample;

fn tensor(shape: &[usize], numbers: &[f32]) -> GoldenTensor {
    GoldenTensor {
        datatype: DataType::Fp32,
        shape: shape.to_vec(),
        data: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

fn golden() -> Golden {
    let tolerances = Tolerances { int8: Tolerance { absolute: 0.5, relative: 0.25 }, ..Tolerances::default() };
    Golden {
        inputs: BTreeMap::from([("x.1".to_owned(), tensor(&[1, 2], &[0.5, -1.0]))]),
        images: BTreeMap::from([("image".to_owned(), vec![b"jpeg".to_vec(), b"png".to_vec()])]),
        outputs: BTreeMap::from([("logits".to_owned(), tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]))]),
        tolerances,
    }
}

fn file(tensors: &[(&str, Dtype, &[usize], &[u8])], metadata: Option<&str>) -> Vec<u8> {
    let tensors = tensors.iter().map(|&(name, dtype, shape, data)| {
        let shape = shape.to_vec();
        (name.to_owned(), Stored { dtype, shape, data })
    });
    let metadata = metadata.map(|text| HashMap::from([(METADATA.to_owned(), text.to_owned())]));
    safetensors::serialize(tensors, metadata).unwrap()
}

const X: (&str, Dtype, &[usize], &[u8]) = ("input.x", Dtype::F32, &[1], &[0; 4]);
const Y: (&str, Dtype, &[usize], &[u8]) = ("output.y", Dtype::F32, &[1], &[0; 4]);

#[test]
fn golden_files_survive_being_written_and_read() {
    let written = golden().to_bytes().unwrap();
    assert_eq!(Golden::parse(&written).unwrap(), golden());
    assert_eq!(golden().to_bytes().unwrap(), written, "the same bytes each time");
}

#[test]
fn one_image_needs_no_number_and_names_may_hold_dots() {
    let mut one = golden();
    one.images = BTreeMap::from([("input.1".to_owned(), vec![b"jpeg".to_vec()])]);
    let written = one.to_bytes().unwrap();
    let tensors = SafeTensors::deserialize(&written).unwrap();
    assert!(tensors.names().contains(&"image.input.1"), "{:?}", tensors.names());
    assert_eq!(Golden::parse(&written).unwrap(), one);
}

#[test]
fn a_file_without_metadata_has_the_tolerances_of_the_table() {
    let golden = Golden::parse(&file(&[X, Y], None)).unwrap();
    assert_eq!(golden.tolerances, Tolerances::default());
    assert_eq!(golden.tolerances.of(Precision::Int8), Tolerance::INT8);
    let some = r#"{"schema": 1, "tolerances": {"fp16": {"absolute": 1, "relative": 0}}}"#;
    let golden = Golden::parse(&file(&[X, Y], Some(some))).unwrap();
    assert_eq!(golden.tolerances.fp16.absolute, 1.0);
    assert_eq!(golden.tolerances.fp32, Tolerance::FP32);
}

#[test]
fn a_newer_or_malformed_file_is_refused() {
    let error = Golden::parse(&file(&[X, Y], Some(r#"{"schema": 2}"#))).unwrap_err();
    assert_eq!(error.kind(), "newer_schema");
    assert!(error.to_string().starts_with("golden.safetensors"), "{error}");
    let error = Golden::parse(b"not a file of tensors").unwrap_err();
    assert_eq!(error.kind(), "form");
    let mut cut = golden().to_bytes().unwrap();
    cut.pop();
    assert_eq!(Golden::parse(&cut).unwrap_err().kind(), "form");
}

#[test]
fn tensors_that_mean_nothing_are_told_all_at_once() {
    let bytes = file(
        &[
            ("x", Dtype::F32, &[1], &[0; 4]),
            ("input.f8", Dtype::F8_E4M3, &[1], &[0]),
            ("image.a", Dtype::F32, &[1], &[0; 4]),
            ("image.b#1", Dtype::U8, &[1], &[0]),
            ("output.y", Dtype::F32, &[1], &f32::NAN.to_le_bytes()),
        ],
        Some(r#"{"schema": 1, "tolerances": {"int8": {"absolute": -1, "relative": 0}}}"#),
    );
    let error = Golden::parse(&bytes).unwrap_err();
    let mut paths: Vec<_> = error.faults().iter().map(|f| f.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["image.a", "image.b", "input.f8", "output.y", "tolerances.int8", "x"]);
}

#[test]
fn inputs_and_outputs_must_both_be_there() {
    let error = Golden::parse(&file(&[X], None)).unwrap_err();
    assert_eq!(error.faults()[0].path, "output.");
    let error = Golden::parse(&file(&[Y], None)).unwrap_err();
    assert_eq!(error.faults()[0].path, "input.");
    let mut wrong = golden();
    wrong.outputs.insert("z".to_owned(), tensor(&[3], &[1.0]));
    let error = wrong.to_bytes().unwrap_err();
    assert!(error.to_string().contains("output.z: found 4 bytes"), "{error}");
}

#[test]
fn disagreements_with_the_signature_are_told() {
    let signature = sample::manifest().signature;
    let mut golden = golden();
    let paths = |golden: &Golden| -> Vec<String> {
        let faults = golden.disagreements(&signature);
        faults.into_iter().map(|f| f.path).collect()
    };
    assert_eq!(paths(&golden), ["input.x.1", "output.logits"]);
    golden.inputs.clear();
    let three = tensor(&[2, 3], &[0.0; 6]);
    golden.outputs.insert("logits".to_owned(), three);
    assert!(paths(&golden).is_empty(), "the image stands for the input");
    golden.images = BTreeMap::from([("picture".to_owned(), vec![vec![0]])]);
    assert_eq!(paths(&golden), ["input.image", "image.picture"]);
}

#[test]
fn a_run_is_held_against_every_output() {
    let golden = golden();
    let same = golden.compare(|name| Some(golden.outputs[name].view()), Tolerance::FP32);
    assert_eq!(same.unwrap(), MaxError::default());
    let none = golden.compare(|_| None, Tolerance::FP32).unwrap_err();
    assert_eq!(none.kind(), "no_output");
    let off = tensor(&[2, 2], &[1.0, 2.5, 3.0, 4.0]);
    let error = golden.compare(|_| Some(off.view()), Tolerance::FP32).unwrap_err();
    assert!(error.to_string().starts_with("output 'logits' at [0, 1]: found 2.5"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(Golden::parse(&bytes).is_err());
    }
}
