//! One suite, run against every runtime: the same models must give the same signature and the same numbers.
//!
//! Models and expected outputs are made by `models/make.py`; the expected outputs are those of ONNX Runtime 1.31 on x86-64.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use takt_artifact::{DataType, Signature, TensorSpec};
use takt_backend::{Backend, InputView, LoadError, LoadRequest, OutputTensor, RunError, Session};

/// How far a runtime may be from ONNX Runtime's numbers: `absolute + relative * |expected|`.
struct Tolerance {
    absolute: f64,
    relative: f64,
}

impl Tolerance {
    /// Order of summation.
    const FP32: Self = Self { absolute: 1e-5, relative: 1e-5 };
    /// One unit in the last place of a half.
    const FP16: Self = Self { absolute: 1e-4, relative: 1e-3 };
    /// One step of the output's scale (0.05): an integer and a float convolution may round a value to neighbours.
    const QDQ: Self = Self { absolute: 0.0501, relative: 0.0 };
    /// Integers and truth values.
    const EXACT: Self = Self { absolute: 0.0, relative: 0.0 };
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name).with_extension("onnx")
}

fn request(name: &str) -> LoadRequest {
    LoadRequest { model: model(name), batch_sizes: vec![1, 2], intra_op_threads: 0, ..LoadRequest::default() }
}

fn load(backend: &dyn Backend, name: &str) -> Box<dyn Session> {
    backend.load(&request(name)).unwrap_or_else(|error| panic!("{name} in {}: {error}", backend.name()))
}

fn spec(name: &str, datatype: DataType, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), datatype, shape: shape.to_vec() }
}

fn datatype(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::F32 => DataType::Fp32,
        Dtype::F16 => DataType::Fp16,
        Dtype::I64 => DataType::Int64,
        Dtype::U8 => DataType::Uint8,
        Dtype::BOOL => DataType::Bool,
        other => panic!("the suite has no {other:?}"),
    }
}

fn numbers(datatype: DataType, bytes: &[u8]) -> Vec<f64> {
    let of = |size: usize, read: fn(&[u8]) -> f64| bytes.chunks_exact(size).map(read).collect();
    match datatype {
        DataType::Fp32 => of(4, |b| f64::from(f32::from_ne_bytes(b.try_into().unwrap()))),
        DataType::Fp16 => of(2, |b| f64::from(half::f16::from_ne_bytes(b.try_into().unwrap()))),
        DataType::Int64 => of(8, |b| i64::from_ne_bytes(b.try_into().unwrap()) as f64),
        DataType::Uint8 | DataType::Bool => of(1, |b| f64::from(b[0])),
        other => panic!("the suite has no {other}"),
    }
}

/// Runs every case of a model and compares with what is recorded.
fn check_numbers(backend: &dyn Backend, name: &str, tolerance: &Tolerance) {
    let file = std::fs::read(model(name).with_extension("safetensors")).unwrap();
    let recorded = SafeTensors::deserialize(&file).unwrap();
    let mut cases = recorded.names().into_iter().map(|name| name.split_once('/').unwrap().0).collect::<Vec<_>>();
    cases.sort_unstable();
    cases.dedup();
    assert!(!cases.is_empty());
    let mut session = load(backend, name);
    let signature = session.signature().clone();
    for case in cases {
        let views = signature.inputs.iter().map(|spec| recorded.tensor(&format!("{case}/in/{}", spec.name)).unwrap());
        let views = views.collect::<Vec<_>>();
        // Aligned copies: a safetensors file aligns its buffer, not every tensor in it.
        let aligned = views.iter().map(|view| aligned(view.data())).collect::<Vec<_>>();
        let inputs = views.iter().zip(&aligned).map(|(view, data)| InputView {
            datatype: datatype(view.dtype()),
            shape: view.shape(),
            data: &bytemuck::cast_slice(data)[..view.data().len()],
        });
        let outputs = session.run(&inputs.collect::<Vec<_>>()).unwrap();
        assert_eq!(outputs.len(), signature.outputs.len());
        for (spec, output) in signature.outputs.iter().zip(&outputs) {
            let expected = recorded.tensor(&format!("{case}/out/{}", spec.name)).unwrap();
            let what = format!("{name}, case {case}, output {} in {}", spec.name, backend.name());
            assert_eq!(output.datatype, datatype(expected.dtype()), "{what}");
            assert_eq!(output.shape, expected.shape(), "{what}");
            compare(&what, output, &numbers(output.datatype, expected.data()), tolerance);
        }
    }
}

fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0_u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

fn compare(what: &str, output: &OutputTensor, expected: &[f64], tolerance: &Tolerance) {
    let found = numbers(output.datatype, &output.data);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance.absolute + tolerance.relative * expected.abs();
        assert!((found - expected).abs() <= allowed, "{what}[{at}]: found {found}, expected {expected} +- {allowed}");
    }
}

mod suite {
    use super::*;

    pub fn numbers_are_those_of_onnxruntime(backend: &dyn Backend) {
        check_numbers(backend, "classifier", &Tolerance::FP32);
        check_numbers(backend, "nameless_batch", &Tolerance::FP32);
        check_numbers(backend, "traced_shapes", &Tolerance::FP32);
        check_numbers(backend, "two_inputs", &Tolerance::FP32);
        check_numbers(backend, "integers", &Tolerance::EXACT);
        check_numbers(backend, "fixed_shape", &Tolerance::FP32);
        check_numbers(backend, "half_precision", &Tolerance::FP16);
        check_numbers(backend, "quantised", &Tolerance::QDQ);
    }

    pub fn signatures_are_those_of_the_file(backend: &dyn Backend) {
        use DataType::{Bool, Fp16, Fp32, Int64, Uint8};
        let image = spec("image", Fp32, &[-1, 3, 16, 16]);
        let expected = [
            ("classifier", vec![image.clone()], vec![spec("logits", Fp32, &[-1, 4])]),
            ("nameless_batch", vec![image], vec![spec("logits", Fp32, &[-1, 4])]),
            (
                "two_inputs",
                vec![spec("image", Fp32, &[-1, 4, 4]), spec("gain", Fp32, &[-1, 1, 1])],
                vec![spec("scaled", Fp32, &[-1, 4, 4]), spec("mean", Fp32, &[-1])],
            ),
            (
                "integers",
                vec![spec("ids", Int64, &[-1, -1])],
                vec![spec("doubled", Int64, &[-1, -1]), spec("large", Bool, &[-1, -1])],
            ),
            ("fixed_shape", vec![spec("x", Fp32, &[3, 6])], vec![spec("y", Fp32, &[3, 2])]),
            ("half_precision", vec![spec("pixels", Uint8, &[-1, 2, 3])], vec![spec("y", Fp16, &[-1, 2, 3])]),
            ("quantised", vec![spec("image", Fp32, &[-1, 3, 8, 8])], vec![spec("y", Fp32, &[-1, 4, 6, 6])]),
        ];
        for (name, inputs, outputs) in expected {
            assert_eq!(load(backend, name).signature(), &Signature { inputs, outputs }, "{name} in {}", backend.name());
        }
    }

    pub fn bad_models_are_refused_by_name(backend: &dyn Backend) {
        let refused = |name: &str| match backend.load(&request(name)) {
            Ok(_) => panic!("{} loaded {name}", backend.name()),
            Err(error) => error,
        };
        let text = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
        std::fs::write(text.path(), "this is no model, however long one looks at it").unwrap();
        let no_model = LoadRequest { model: text.path().to_owned(), ..LoadRequest::default() };

        for (error, kind, says) in [
            (refused("gone"), "read", "gone.onnx"),
            (backend.load(&no_model).err().unwrap(), "model", &*text.path().display().to_string()),
            (refused("unknown_operator"), "model", "Levitate"),
            (refused("missing_output"), "model", "missing_output.onnx"),
            (refused("strings"), "element_type", "input 'names' is of type"),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(says), "{error}");
            assert!(!matches!(error, LoadError::Runtime(_)), "{error}");
        }
    }

    pub fn misfit_inputs_are_refused_and_the_session_lives_on(backend: &dyn Backend) {
        let mut session = load(backend, "classifier");
        let data = aligned(&vec![0; 3 * 16 * 16 * 4]);
        let data = bytemuck::cast_slice::<_, u8>(&data);
        let good = InputView { datatype: DataType::Fp32, shape: &[1, 3, 16, 16], data };
        let misfits: [(&[InputView<'_>], &str); 5] = [
            (&[], "0 inputs were given, the model takes 1"),
            (&[InputView { datatype: DataType::Uint8, ..good }], "is UINT8, the model takes FP32"),
            (&[InputView { shape: &[1, 3, 16, 8], ..good }], "shape [1, 3, 16, 8], the model takes [-1, 3, 16, 16]"),
            (&[InputView { data: &data[4..], ..good }], "3068 bytes of data, expected 3072"),
            (&[InputView { shape: &[1, 768], ..good }], "shape [1, 768]"),
        ];
        for (inputs, says) in misfits {
            let error = session.run(inputs).unwrap_err();
            assert!(matches!(error, RunError::Input(_)) && !error.breaks_session(), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        assert_eq!(session.run(&[good]).unwrap()[0].shape, [1, 4]);
    }

    pub fn outputs_outlive_their_session(backend: &dyn Backend) {
        let mut session = load(backend, "fixed_shape");
        let data = aligned(bytemuck::cast_slice(&[1.0_f32; 18]));
        let input = InputView { datatype: DataType::Fp32, shape: &[3, 6], data: &bytemuck::cast_slice(&data)[..72] };
        let first = session.run(&[input]).unwrap();
        let kept = first[0].data.slice(8..16);
        let before = first[0].data.to_vec();
        drop(first);
        session.run(&[InputView { data: &[0; 72], ..input }]).unwrap();
        drop(session);
        assert_eq!(kept, before[8..16]);
    }

    pub fn sessions_run_on_threads_of_their_own(backend: &dyn Backend) {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| check_numbers(backend, "classifier", &Tolerance::FP32));
            }
        });
    }
}

/// Makes one test per item of the suite for a runtime.
macro_rules! run_suite {
    ($backend:expr) => {
        run_suite!($backend;
            numbers_are_those_of_onnxruntime,
            signatures_are_those_of_the_file,
            bad_models_are_refused_by_name,
            misfit_inputs_are_refused_and_the_session_lives_on,
            outputs_outlive_their_session,
            sessions_run_on_threads_of_their_own,
        );
    };
    ($backend:expr; $($test:ident),+ $(,)?) => {
        $(
            #[test]
            fn $test() {
                if let Some(backend) = $backend {
                    crate::suite::$test(&backend);
                }
            }
        )+
    };
}

#[cfg(feature = "tract")]
mod tract {
    use takt_backend::tract::TractBackend;

    run_suite!(Some(TractBackend::new()));
}

#[cfg(feature = "ort")]
mod common;

#[cfg(feature = "ort")]
mod onnxruntime {
    run_suite!(crate::common::onnxruntime());
}
