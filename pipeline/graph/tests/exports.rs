//! Real exports: eight networks of torchvision and two of timm, both of PyTorch's exporters, BatchNormalization kept and
//! folded. What ONNX Runtime made of them lies beside; `tests/export_models/export.py` recorded it. A folder of more (`--full`)
//! may be named in `TAKT_EXPORTS`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Deserialize;
use takt_artifact::DataType;
use takt_backend::tract::TractBackend;
use takt_backend::{Backend, InputView, LoadRequest};
use takt_graph::channels::{Groups, Role, Selection, groups, prune};
use takt_graph::execute::{Executor, Mode, Options};
use takt_graph::shape::infer;
use takt_graph::{Model, clean, cost};

/// Relative to the largest output: the order of summation, over some 50 layers.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Recorded {
    input: Vec<usize>,
    outputs: BTreeMap<String, Vec<f32>>,
    shapes: BTreeMap<String, Vec<i64>>,
}

/// All models, with what is recorded of them.
fn exports() -> Vec<(String, Model, Recorded)> {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let folders = [Some(committed), std::env::var_os("TAKT_EXPORTS").map(PathBuf::from)];
    let files = folders.into_iter().flatten().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort_unstable();
    assert!(paths.len() >= 16, "the committed exports are there");
    let read = |path: PathBuf| {
        let recorded = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, Model::load(&path).unwrap(), serde_json::from_str(&recorded).unwrap())
    };
    paths.into_iter().map(read).collect()
}

/// As `pattern` in export.py.
fn pattern(shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product::<usize>() as u64;
    (0..count).map(|at| ((at * 2_654_435_761 % (1 << 32)) as f64 / 2_f64.powi(31) - 1.0) as f32).collect()
}

fn run_tract(model: &Model, shape: &[usize]) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    model.save(&path).unwrap();
    let request = LoadRequest { model: path, batch_sizes: vec![shape[0]], ..LoadRequest::default() };
    let mut session = TractBackend::new().load(&request).unwrap();
    let input = pattern(shape);
    let data = bytemuck::cast_slice(&input);
    let outputs = session.run(&[InputView { datatype: DataType::Fp32, shape, data }]).unwrap();
    outputs[0].data.chunks_exact(4).map(|bytes| f32::from_ne_bytes(bytes.try_into().unwrap())).collect()
}

fn run_executor(model: &Model, shape: &[usize]) -> Vec<f32> {
    let executor = Executor::new(model, &Options { frozen: true, ..Options::default() }).unwrap();
    let input = Tensor::from_vec(pattern(shape), shape, &Device::Cpu).unwrap();
    executor.run(&[input], Mode::Eval).unwrap().outputs[0].flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0_f32, |most, value| most.max(value.abs()));
    let far = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    assert!(far <= TOLERANCE * largest.max(1e-3), "{name}: {far} off, where the largest output is {largest}");
    assert!(largest.is_finite() && largest > 0.0, "{name}: outputs of {largest} show nothing");
}

/// Says with a name what failed.
#[track_caller]
fn on<T, E: std::fmt::Display>(name: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn inferred_shapes_are_those_of_the_run() {
    for (name, model, recorded) in exports() {
        let facts = on(&name, infer(&model));
        let batch = i64::try_from(recorded.input[0]).unwrap();
        for (value, shape) in &recorded.shapes {
            let inferred =
                facts.get(value).shape.as_ref().unwrap_or_else(|| panic!("{name}: nothing known of {value}"));
            let inferred: Option<Vec<i64>> =
                inferred.iter().map(|dim| dim.eval(&|symbol| (!symbol.starts_with('?')).then_some(batch))).collect();
            assert_eq!(inferred.as_ref(), Some(shape), "{name}: {value}");
        }
    }
}

#[test]
fn executor_and_tract_give_what_onnx_runtime_gave() {
    for (name, mut model, recorded) in exports() {
        let expected = recorded.outputs.values().next().unwrap();
        on(&name, clean::clean(&mut model));
        assert_close(&format!("{name}, executor"), &run_executor(&model, &recorded.input), expected);
        assert_close(&format!("{name}, tract"), &run_tract(&model, &recorded.input), expected);
        on(&name, clean::fold_batch_norm(&mut model));
        assert_close(&format!("{name}, folded"), &run_executor(&model, &recorded.input), expected);
    }
}

#[test]
fn cleaning_leaves_layers_and_nothing_else() {
    const PLUMBING: [&str; 10] =
        ["Constant", "Identity", "Shape", "Cast", "CastLike", "Expand", "Unsqueeze", "Squeeze", "Dropout", "Div"];
    for (name, mut model, _) in exports() {
        on(&name, clean::clean(&mut model));
        let left = model.graph().node.iter().find(|node| PLUMBING.contains(&node.op_type()));
        assert!(left.is_none(), "{name}: {} is left", left.unwrap().label());
        let again = model.clone();
        on(&name, clean::clean(&mut model));
        assert!(model == again, "{name}: cleaning twice changes more");
    }
}

/// Every third unit of every group, but never the last one.
fn third(found: &Groups) -> Selection {
    found.groups.iter().enumerate().fold(Selection::new(), |all, (at, group)| {
        let last = group.units.len() - 1;
        all.drop_units(at, (0..last).filter(|unit| unit * 7 % 10 < 3))
    })
}

/// Sets to zero whatever belongs to the selected units, so that they contribute nothing.
fn silence(model: &mut Model, found: &Groups, selection: &Selection) {
    for (group, unit) in selection.iter() {
        let group = &found.groups[group];
        for (member, ranges) in group.members.iter().zip(&group.units[unit].slices) {
            if matches!(member.role, Role::Mean | Role::Variance) {
                continue;
            }
            let tensors = &mut model.graph_mut().initializer;
            let tensor = tensors.iter_mut().find(|tensor| tensor.name() == member.initializer).unwrap();
            let shape = tensor.shape().unwrap();
            let block: usize = shape[member.axis + 1..].iter().product();
            let mut values = tensor.f32s().unwrap();
            for (at, value) in values.iter_mut().enumerate() {
                let index = at / block % shape[member.axis];
                if ranges.iter().any(|range| range.contains(&index)) {
                    *value = 0.0;
                }
            }
            tensor.set_data(values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
        }
    }
}

#[test]
fn a_pruned_net_does_what_the_net_did_with_those_channels_silent() {
    for (name, mut model, recorded) in exports() {
        on(&name, clean::clean(&mut model));
        let before = on(&name, cost::total(&model));
        let found = on(&name, groups(&model));
        let selection = third(&found);
        let mut silent = model.clone();
        silence(&mut silent, &found, &selection);
        on(&name, prune(&mut model, &found, &selection));
        let after = on(&name, cost::total(&model));
        let share = after.macs as f64 / before.macs as f64;
        assert!((0.3..0.85).contains(&share), "{name}: {share:.2} of the work is left");

        let expected = run_executor(&silent, &recorded.input);
        assert_close(&format!("{name}, pruned"), &run_executor(&model, &recorded.input), &expected);
        assert_close(&format!("{name}, pruned, tract"), &run_tract(&model, &recorded.input), &expected);

        // And once more, on what came out.
        let found = on(&name, groups(&model));
        on(&name, prune(&mut model, &found, &third(&found)));
        run_executor(&model, &recorded.input);
        assert!(on(&name, cost::total(&model)).macs < after.macs, "{name}");
    }
}

#[test]
fn everything_but_the_ends_can_be_pruned() {
    for (name, mut model, _) in exports() {
        on(&name, clean::clean(&mut model));
        let found = on(&name, groups(&model));
        for locked in &found.locked {
            let outside = locked.reason.starts_with("the graph takes") || locked.reason.starts_with("the graph gives");
            let spatial = locked.axis > 1 || locked.reason.starts_with("Conv");
            assert!(
                outside || spatial,
                "{name}: {} axis {} is locked: {}",
                locked.initializer,
                locked.axis,
                locked.reason
            );
        }
    }
}

#[test]
fn the_last_layer_reads_the_pooled_features_of_every_classifier() {
    for (name, mut model, _) in exports() {
        on(&name, clean::clean(&mut model));
        let tap = takt_graph::head::features(&model).unwrap_or_else(|| panic!("{name} has no features"));
        let facts = on(&name, infer(&model));
        let shape = facts.get(tap).shape.clone().unwrap_or_default();
        let weight = model.graph().node.iter().rev().find(|node| node.is("Gemm")).unwrap().input_name(1).unwrap();
        let weight = model.graph().initializer_named(weight).unwrap().shape().unwrap();
        assert_eq!((shape.len(), shape[1].size()), (2, Some(weight[1])), "{name}: {tap}");
    }
}
