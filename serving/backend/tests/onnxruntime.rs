//! What only ONNX Runtime does: providers that come up or not, libraries that are there or not, threads.
#![cfg(feature = "ort")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::path::{Path, PathBuf};

use takt_artifact::DataType;
use takt_backend::discover::Surroundings;
use takt_backend::ort::{OrtBackend, RuntimeOptions};
use takt_backend::provider::{Cpu, Cuda, TensorRt};
use takt_backend::{Backend, InputView, LoadError, LoadRequest, Provider};

fn request(providers: Vec<Provider>, strict: bool) -> LoadRequest {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/classifier.onnx");
    LoadRequest { model, providers, strict, ..LoadRequest::default() }
}

fn accelerated() -> Vec<Provider> {
    vec![Provider::TensorRt(TensorRt { fp16: true, ..TensorRt::default() }), Provider::Cuda(Cuda::default())]
}

/// Whether the library in use was built for GPUs, where these tests would have to expect something else.
fn has_gpu(backend: &OrtBackend) -> bool {
    backend.library().providers.iter().any(|name| name.contains("CUDA") || name.contains("Tensorrt"))
}

fn runs(session: &mut dyn takt_backend::Session) {
    let data = vec![0_u64; 3 * 16 * 16 / 2];
    let input = InputView { datatype: DataType::Fp32, shape: &[1, 3, 16, 16], data: bytemuck::cast_slice(&data) };
    assert_eq!(session.run(&[input]).unwrap()[0].shape, [1, 4]);
}

#[test]
fn without_a_gpu_tensorrt_and_cuda_are_declined_with_a_reason_and_the_processor_runs() {
    let Some(backend) = common::onnxruntime().filter(|backend| !has_gpu(backend)) else {
        return;
    };
    let mut session = backend.load(&request(accelerated(), false)).unwrap();
    let placement = session.placement().clone();
    assert_eq!((placement.runtime, placement.provider.as_str()), ("onnxruntime", "cpu"));
    assert_eq!(placement.declined.len(), 2, "{placement:?}");
    assert!(placement.declined[0].starts_with("tensorrt: "), "{placement:?}");
    assert!(placement.declined[1].starts_with("cuda: "), "{placement:?}");
    assert!(placement.declined.iter().all(|reason| reason.len() > "tensorrt: ".len()), "{placement:?}");
    runs(&mut *session);
}

#[test]
fn a_strict_demand_for_a_missing_provider_says_what_failed_and_what_to_do() {
    let Some(backend) = common::onnxruntime().filter(|backend| !has_gpu(backend)) else {
        return;
    };
    let Err(error) = backend.load(&request(accelerated(), true)) else { panic!("loaded without a GPU") };
    assert!(matches!(&error, LoadError::Provider { provider, .. } if provider == "tensorrt"), "{error}");
    let text = error.to_string();
    for part in [
        "provider 'tensorrt' is demanded",
        backend.library().version.as_str(),
        "CPUExecutionProvider",
        "strict = false",
    ] {
        assert!(text.contains(part), "no '{part}' in: {text}");
    }
}

#[test]
fn the_processor_satisfies_a_strict_demand_for_it_with_and_without_an_arena() {
    let Some(backend) = common::onnxruntime() else {
        return;
    };
    for arena in [true, false] {
        let mut session = backend.load(&request(vec![Provider::Cpu(Cpu { arena, ..Cpu::default() })], true)).unwrap();
        assert_eq!(session.placement().provider, "cpu");
        assert_eq!(session.placement().declined, Vec::<String>::new());
        runs(&mut *session);
    }
}

#[test]
fn threads_of_its_own_do_not_change_what_a_session_computes() {
    let Some(backend) = common::onnxruntime() else {
        return;
    };
    let mut session = backend.load(&LoadRequest { intra_op_threads: 2, ..request(Vec::new(), false) }).unwrap();
    runs(&mut *session);
}

#[test]
fn a_named_library_that_does_not_work_is_an_error_and_not_a_fallback() {
    let file = tempfile::Builder::new().prefix("libonnxruntime.so.").tempfile().unwrap();
    std::fs::write(file.path(), "not a library").unwrap();
    let around = Surroundings { takt_ort: Some(file.path().to_owned()), ..Surroundings::of_process() };
    let Err(LoadError::Runtime(text)) = OrtBackend::find(&around, RuntimeOptions::default()) else {
        panic!("it worked")
    };
    assert!(text.starts_with("TAKT_ORT names an ONNX Runtime that does not work: '"), "{text}");
    assert!(text.contains(&file.path().display().to_string()), "{text}");
}

#[test]
fn without_any_library_there_is_no_backend_and_no_error() {
    assert!(OrtBackend::find(&Surroundings::default(), RuntimeOptions::default()).unwrap().is_none());
}

#[test]
fn a_library_of_something_else_is_told_apart() {
    let Some(libc) = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
    else {
        common::skipped("no libm.so.6 at its usual places");
        return;
    };
    let error = takt_backend::ort::inspect(&libc).unwrap_err();
    assert!(error.to_string().ends_with("is not ONNX Runtime: it has no OrtGetApiBase"), "{error}");
}
