use proptest::prelude::*;

use crate::DataType;
use crate::decision::Activation;
use crate::manifest::{FileDigest, Manifest, ManifestErrors};
use crate::preprocess::{Color, Layout, Resize};
use crate::sample;

/// The faults after `change`, as text, told by a parser that read the JSON.
fn faults(change: impl FnOnce(&mut Manifest)) -> Vec<String> {
    let mut manifest = sample::manifest();
    change(&mut manifest);
    let bytes = serde_json::to_vec(&manifest).unwrap();
    match Manifest::parse(&bytes) {
        Ok(_) => Vec::new(),
        Err(ManifestErrors::Faults { faults, .. }) => faults.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
    }
}

/// The one fault after `change`.
fn fault(change: impl FnOnce(&mut Manifest)) -> String {
    let faults = faults(change);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.into_iter().next().unwrap()
}

fn assert_starts(text: &str, start: &str) {
    assert!(text.starts_with(start), "{text:?} should start with {start:?}");
}

fn parse_text(change: impl FnOnce(&mut serde_json::Value)) -> ManifestErrors {
    let mut value = serde_json::to_value(sample::manifest()).unwrap();
    change(&mut value);
    Manifest::parse(value.to_string().as_bytes()).unwrap_err()
}

#[test]
fn a_full_manifest_is_written_as_agreed() {
    let bytes = sample::manifest().to_bytes().unwrap();
    insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
}

#[test]
fn a_manifest_survives_being_written_and_read() {
    let manifest = sample::manifest();
    let bytes = manifest.to_bytes().unwrap();
    assert!(bytes.ends_with(b"}\n"));
    let read = Manifest::parse(&bytes).unwrap();
    assert_eq!(read, manifest);
    assert_eq!(read.to_bytes().unwrap(), bytes);
}

#[test]
fn a_newer_schema_is_called_newer_whatever_else_it_holds() {
    let error = Manifest::parse(br#"{"schema": 2, "shape_of_things_to_come": []}"#).unwrap_err();
    assert_eq!(error.kind(), "newer_schema");
    assert_starts(&error.to_string(), "manifest.json: written by a newer Takt: schema 2, this reads up to 1");
}

#[test]
fn a_manifest_without_a_schema_number_is_refused() {
    for schema in ["", r#""schema": null"#, r#""schema": "1""#, r#""schema": 0"#, r#""schema": 1.5"#] {
        let error = Manifest::parse(format!("{{{schema}}}").as_bytes()).unwrap_err();
        assert_eq!(error.kind(), "no_schema", "{schema}: {error}");
    }
}

#[test]
fn faults_of_form_give_the_path_and_the_line() {
    let error = Manifest::parse(b"{\n\"schema\": 1,\n").unwrap_err();
    assert_eq!(error.kind(), "form");
    assert!(error.to_string().contains("line 3"), "{error}");
    let error = parse_text(|m| m["signature"]["inputs"][0]["datatype"] = "FLOAT".into());
    assert_starts(&error.to_string(), "manifest.json: signature.inputs[0].datatype: unknown variant `FLOAT`");
    let error = parse_text(|m| m["preprocess"]["widht"] = 3.into());
    assert!(error.to_string().contains("unknown field `widht`"), "{error}");
    let error = parse_text(|m| {
        m.as_object_mut().unwrap().remove("variants");
    });
    assert!(error.to_string().contains("missing field `variants`"), "{error}");
    let mut bytes = sample::manifest().to_bytes().unwrap();
    bytes.extend_from_slice(b"{}");
    let error = Manifest::parse(&bytes).unwrap_err();
    assert!(error.to_string().contains("trailing characters"), "{error}");
}

#[test]
fn identity_must_be_in_form() {
    let text = fault(|m| m.name = "../surface".to_owned());
    assert_starts(&text, "name: found \"../surface\", expected 1 to 128 of");
    assert_starts(&fault(|m| m.name.clear()), "name: found \"\"");
    assert_starts(&fault(|m| m.semver = "v1.2".to_owned()), "semver: found \"v1.2\"");
    let text = fault(|m| m.created = "yesterday".to_owned());
    assert_starts(&text, "created: found \"yesterday\", expected a date and time of RFC 3339");
    let text = fault(|m| m.lineage.parent = Some("abc".to_owned()));
    assert_starts(&text, "lineage.parent: found \"abc\", expected 64");
}

#[test]
fn tensors_must_have_names_of_their_own_and_shapes() {
    let text = fault(|m| {
        let again = m.signature.outputs[0].clone();
        m.signature.outputs.push(again);
    });
    assert_starts(&text, "signature.outputs[1].name: found 'logits' a second time");
    let text = fault(|m| m.signature.outputs[0].shape[0] = -2);
    assert_starts(&text, "signature.outputs[0].shape: found [-2, 3]");
    let texts = faults(|m| m.signature.inputs.clear());
    assert_starts(&texts[0], "signature.inputs: found none");
    assert_starts(&texts[1], "preprocess.input: found \"image\", expected an input of the signature: nothing");
}

#[test]
fn the_image_must_fit_its_input() {
    let text = fault(|m| m.preprocess.as_mut().unwrap().input = "img".to_owned());
    assert_starts(&text, "preprocess.input: found \"img\", expected an input of the signature: 'image'");
    let text = fault(|m| m.preprocess.as_mut().unwrap().layout = Layout::Nhwc);
    assert_eq!(
        text,
        "preprocess.input: found 'image' of shape [-1, 3, 224, 224], expected [batch, 224, 224, 3] for nhwc of 224 x 224 pixels with 3 channels; set layout to nchw"
    );
    let text = fault(|m| m.preprocess.as_mut().unwrap().width = 200);
    assert!(text.contains("[batch, 3, 224, 200]"), "{text}");
    let text = fault(|m| m.signature.inputs[0].shape.truncate(3));
    assert_starts(&text, "preprocess.input: found 'image' of shape [-1, 3, 224]");
    let texts = faults(|m| m.preprocess.as_mut().unwrap().color = Color::Gray);
    assert_eq!(texts.len(), 3, "mean, std and shape: {texts:#?}");
    let text = fault(|m| m.signature.inputs[0].datatype = DataType::Int64);
    assert_starts(&text, "preprocess.input: found 'image' of datatype INT64");
    assert!(faults(|m| m.signature.inputs[0].shape = vec![-1; 4]).is_empty());
}

#[test]
fn the_numbers_of_a_preprocess_must_be_usable() {
    let image = |change: fn(&mut crate::Preprocess)| fault(|m| change(m.preprocess.as_mut().unwrap()));
    assert_starts(&image(|p| p.scale = 0.0), "preprocess.scale: found 0");
    assert_starts(&image(|p| p.std[1] = 0.0), "preprocess.std: found [0.229, 0.0");
    assert_starts(&image(|p| p.mean = vec![0.5; 2]), "preprocess.mean: found 2 numbers");
    assert_starts(
        &image(|p| p.resize = Resize::ShorterSideCrop { shorter: 100 }),
        "preprocess.resize.shorter: found 100, expected 224",
    );
    let texts = faults(|m| m.preprocess.as_mut().unwrap().height = 0);
    assert_starts(&texts[0], "preprocess.height: found 0");
    let text = fault(|m| m.signature.inputs[0].datatype = DataType::Uint8);
    assert_starts(&text, "preprocess.scale: found 0.003921569");
}

#[test]
fn the_decision_must_fit_its_output_and_the_labels() {
    let text = fault(|m| m.decision.as_mut().unwrap().output = "probs".to_owned());
    assert_starts(&text, "decision.output: found \"probs\", expected an output of the signature: 'logits'");
    let text = fault(|m| m.signature.outputs[0].shape = vec![-1, 4]);
    assert_starts(&text, "labels: found 3 labels, expected 4");
    assert!(faults(|m| m.signature.outputs[0].shape = vec![-1, -1]).is_empty());
    let text = fault(|m| m.decision.as_mut().unwrap().good_classes = vec!["fine".to_owned()]);
    assert_starts(&text, "decision.good_classes[0]: found 'fine', expected one of 'ok', 'scratch', 'dent'");
    let text = fault(|m| {
        let thresholds = &mut m.decision.as_mut().unwrap().thresholds;
        thresholds.insert("hole".to_owned(), 0.5);
    });
    assert_starts(&text, "decision.thresholds[\"hole\"]: found 'hole'");
    let text = fault(|m| m.signature.outputs[0].datatype = DataType::Int64);
    assert_starts(&text, "decision.output: found 'logits' of datatype INT64");
    let texts = faults(|m| m.labels[2] = "scratch".to_owned());
    assert_starts(&texts[0], "labels[2]: found 'scratch' a second time");
    assert_starts(&texts[1], "decision.thresholds[\"dent\"]: found 'dent'");
}

#[test]
fn variants_must_be_named_once_and_listed() {
    let texts = faults(|m| m.variants.clear());
    assert_starts(&texts[0], "variants: found none");
    let text = fault(|m| m.variants[1].name = "cpu-int8-avx2".to_owned());
    assert_starts(&text, "variants[1].name: found 'cpu-int8-avx2' a second time");
    let text = fault(|m| m.variants[0].name = "cpu int8".to_owned());
    assert_starts(&text, "variants[0].name: found \"cpu int8\"");
    let text = fault(|m| m.variants[1].file = "modle.onnx".to_owned());
    assert_starts(&text, "variants[1].file: found \"modle.onnx\", expected a file of `files`: 'golden.safetensors'");
}

#[test]
fn files_must_stay_in_the_directory_and_have_digests() {
    for name in ["../model.onnx", "/etc/passwd", "a/b.onnx", ""] {
        let text = fault(|m| {
            m.files.insert(name.to_owned(), FileDigest::of_bytes(b""));
        });
        assert_starts(&text, &format!("files[{name:?}]: found {name:?}, expected the plain name"));
    }
    let text = fault(|m| {
        m.files.insert(Manifest::FILE.to_owned(), FileDigest::of_bytes(b""));
    });
    assert!(text.contains("no file can hold its own digest"), "{text}");
    let text = fault(|m| {
        let file = m.files.get_mut("model.onnx").unwrap();
        file.sha256.make_ascii_uppercase();
    });
    assert_starts(&text, "files[\"model.onnx\"].sha256: found");
}

#[test]
fn all_faults_are_told_at_once() {
    let mut manifest = sample::manifest();
    manifest.name = ".hidden".to_owned();
    manifest.semver = "one".to_owned();
    manifest.labels.pop();
    manifest.variants[0].file = "../model.onnx".to_owned();
    let error = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap_err();
    insta::assert_snapshot!(error);
    assert_eq!(manifest.to_bytes().unwrap_err(), error, "nor is it written");
}

proptest! {
    #[test]
    fn any_sound_manifest_survives_being_written_and_read(
        name in "[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}",
        semver in "(0|[1-9][0-9]{0,3})\\.(0|[1-9][0-9]{0,3})\\.(0|[1-9][0-9]{0,3})(-[a-z]{1,5})?",
        labels in prop::collection::btree_set("\\PC{1,12}", 1..6),
        threshold in 0.0_f32..=1.0,
        scale in prop::num::f32::NORMAL,
        mean in prop::collection::vec(prop::num::f32::NORMAL, 3),
        bytes in any::<u64>(),
        nhwc in any::<bool>(),
    ) {
        let mut manifest = sample::manifest();
        manifest.name = name;
        manifest.semver = semver;
        manifest.labels = labels.into_iter().collect();
        manifest.signature.outputs[0].shape[1] = i64::try_from(manifest.labels.len()).unwrap();
        let decision = manifest.decision.as_mut().unwrap();
        decision.activation = Activation::Sigmoid;
        decision.good_classes = vec![manifest.labels[0].clone()];
        decision.thresholds = manifest.labels[1..].iter().map(|l| (l.clone(), threshold)).collect();
        let image = manifest.preprocess.as_mut().unwrap();
        image.scale = scale;
        image.mean = mean;
        if nhwc {
            image.layout = Layout::Nhwc;
            manifest.signature.inputs[0].shape = vec![1, 224, 224, 3];
        }
        manifest.files.get_mut("model.onnx").unwrap().bytes = bytes;
        let written = manifest.to_bytes().unwrap();
        let read = Manifest::parse(&written).unwrap();
        prop_assert_eq!(&read, &manifest);
        prop_assert_eq!(read.to_bytes().unwrap(), written);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Manifest::parse(&bytes).is_err());
    }
}
