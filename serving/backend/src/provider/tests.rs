//! From configuration to ONNX Runtime's strings.

use super::*;

fn raw(toml: &str) -> RawProvider {
    toml::from_str(toml).unwrap()
}

fn pairs(toml: &str) -> Vec<String> {
    let provider = Provider::try_from(&raw(toml)).unwrap();
    provider.to_key_values(Some(Path::new("/cache"))).into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

fn faults(toml: &str) -> Vec<String> {
    Provider::try_from(&raw(toml)).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn tensorrt_options_become_the_strings_of_onnxruntime() {
    let all = r#"
        name = "tensorrt"
        device = 1
        fp16 = true
        int8_calibration_table = "calibration.flatbuffers"
        int8_native_calibration_table = false
        engine_cache_path = "/engines"
        max_workspace_bytes = 1073741824
        optimization_level = 4
        dla_core = 1
        profile_min_shapes = "x:1x3x64x64"
        profile_opt_shapes = "x:8x3x64x64"
        profile_max_shapes = "x:16x3x64x64"
        detailed_build_log = true
        sequential_build = true
        context_memory_sharing = true
        cuda_graph = true
    "#;
    let expected = [
        "device_id=1",
        "trt_fp16_enable=1",
        "trt_int8_enable=1",
        "trt_int8_calibration_table_name=calibration.flatbuffers",
        "trt_int8_use_native_calibration_table=0",
        "trt_engine_cache_enable=1",
        "trt_engine_cache_path=/engines",
        "trt_timing_cache_enable=1",
        "trt_timing_cache_path=/cache",
        "trt_max_workspace_size=1073741824",
        "trt_builder_optimization_level=4",
        "trt_dla_enable=1",
        "trt_dla_core=1",
        "trt_profile_min_shapes=x:1x3x64x64",
        "trt_profile_opt_shapes=x:8x3x64x64",
        "trt_profile_max_shapes=x:16x3x64x64",
        "trt_detailed_build_log=1",
        "trt_force_sequential_engine_build=1",
        "trt_context_memory_sharing_enable=1",
        "trt_cuda_graph_enable=1",
    ];
    assert_eq!(pairs(all), expected);
}

#[test]
fn cuda_options_become_the_strings_of_onnxruntime() {
    let all = r#"
        name = "cuda"
        memory_limit_bytes = 2000000000
        arena_extend_strategy = "same_as_requested"
        cudnn_conv_algo_search = "heuristic"
        tf32 = false
        prefer_nhwc = true
    "#;
    let expected = [
        "device_id=0",
        "gpu_mem_limit=2000000000",
        "arena_extend_strategy=kSameAsRequested",
        "cudnn_conv_algo_search=HEURISTIC",
        "use_tf32=0",
        "prefer_nhwc=1",
    ];
    assert_eq!(pairs(all), expected);
}

#[test]
fn tritons_names_mean_the_same_as_ours() {
    let triton = RawProvider::from_triton(
        "tensorrt",
        [
            ("precision_mode", "FP16"),
            ("max_workspace_size_bytes", "1000"),
            ("trt_engine_cache_enable", "true"),
            ("trt_engine_cache_path", "/engines"),
            ("trt_timing_cache_enable", "0"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let ours = "name = 'tensorrt'\nfp16 = true\nmax_workspace_bytes = 1000\nengine_cache_path = '/engines'\ntiming_cache = false";
    assert_eq!(Provider::try_from(&triton), Provider::try_from(&raw(ours)));
    assert_eq!(
        Provider::try_from(&raw("name = 'tensorrt'\nprecision_mode = 'INT8'")),
        Ok(Provider::TensorRt(TensorRt { int8: Int8::Qdq, ..TensorRt::default() }))
    );
}

#[test]
fn every_fault_is_reported_with_found_expected_and_a_suggestion() {
    let wrong = r#"
        name = "tensorrt"
        fp61 = true
        int8 = "maybe"
        optimization_level = 9
        profile_opt_shapes = "x:8x3x64x64"
        dla_core = 1
        trt_dla_core = 2
    "#;
    let found = faults(wrong);
    assert_eq!(found.len(), 5, "{found:#?}");
    assert!(
        found.iter().any(|fault| fault == "provider 'tensorrt', option 'int8': found 'maybe', expected true or false")
    );
    assert!(found.iter().any(|fault| fault
        == "provider 'tensorrt', option 'optimization_level': found '9', expected a whole number from 0 to 5"));
    assert!(found.iter().any(|fault| fault.contains("'fp61': unknown, did you mean 'fp16'?")));
    assert!(found.iter().any(|fault| fault.contains("min, opt and max shapes are needed together")));
    assert!(found.iter().any(|fault| fault.contains("'dla_core': given again as 'trt_dla_core'")));
    assert_eq!(
        faults("name = 'tensorr'"),
        [
            "provider 'tensorr': unknown, did you mean 'tensorrt'?; expected one of tensorrt, cuda, cpu, openvino, xnnpack, acl, coreml"
        ]
    );
    assert!(faults("name = 'tensorrt'\nint8 = false\nint8_calibration_table = 't'")[0].contains("while int8 is off"));
}

#[test]
fn without_a_folder_nothing_is_cached() {
    let provider = Provider::TensorRt(TensorRt::default());
    let pairs = provider.to_key_values(None);
    assert!(pairs.contains(&("trt_engine_cache_enable".to_owned(), "0".to_owned())));
    assert!(pairs.iter().all(|(key, _)| !key.ends_with("_path")));
}

#[test]
fn the_processor_is_exact_unless_told_otherwise() {
    assert_eq!(Provider::try_from(&raw("name = 'cpu'")), Ok(Provider::cpu()));
    assert_eq!(
        Provider::try_from(&raw("name = 'CPU'\narena = false\nexact_int8 = 0")),
        Ok(Provider::Cpu(Cpu { arena: false, exact_int8: false }))
    );
}

#[test]
fn providers_passed_on_by_name_keep_their_options() {
    assert_eq!(pairs("name = 'openvino'\ndevice_type = 'GPU'\nnum_streams = 2"), ["device_type=GPU", "num_streams=2"]);
    assert_eq!(faults("name = 'openvino'\ndevice_type = \"a\\u0000b\"").len(), 1);
}
