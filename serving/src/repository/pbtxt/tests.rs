//! What `config.pbtxt` gives, and what it says when it is wrong.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use takt_artifact::DataType;

use super::*;
use crate::batch::config::{BatchConfig, TimeoutAction};
use crate::repository::config::{Joining, MaxBatch, Warmup};
use crate::repository::policy::VersionPolicy;

fn parse(text: &str) -> Result<ModelConfig, ConfigFaults> {
    super::parse("resnet", Path::new("config.pbtxt"), text)
}

fn faults(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn providers(text: &str) -> Vec<&'static str> {
    let config = parse(text).unwrap();
    config.providers.iter().map(takt_backend::Provider::name).collect()
}

/// Written as Triton's documentation and its users write: all the fields of PROTOCOL.md.
const USUAL: &str = r#"
name: "resnet"
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: 16
input [
  {
    name: "data"
    data_type: TYPE_FP32
    dims: [ 3, 224, 224 ]
  }
]
output [
  {
    name: "prob"
    data_type: TYPE_FP32
    dims: [ 1000, 1, 1 ]
    reshape { shape: [ 1000 ] }
  }
]
version_policy: { latest: { num_versions: 2 } }
dynamic_batching {
  preferred_batch_size: [ 4, 8 ]
  max_queue_delay_microseconds: 2000
  priority_levels: 2
  default_priority_level: 2
  default_queue_policy {
    timeout_action: DELAY
    default_timeout_microseconds: 100000
    allow_timeout_override: true
    max_queue_size: 64
  }
}
instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0 ] } ]
optimization { execution_accelerators {
  gpu_execution_accelerator : [ {
    name : "tensorrt"
    parameters { key: "precision_mode" value: "FP16" }
    parameters { key: "max_workspace_size_bytes" value: "1073741824" }
    parameters { key: "trt_engine_cache_enable" value: "true" }
  } ]
} }
parameters { key: "intra_op_thread_count" value: { string_value: "3" } }
model_warmup { name: "zeros" batch_size: 1 inputs { key: "data" value: { data_type: TYPE_FP32 dims: [3, 224, 224] zero_data: true } } }
"#;

#[test]
fn a_usual_file_is_understood_without_a_warning() {
    let config = parse(USUAL).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!((config.max_batch, config.joining), (MaxBatch::Fixed(16), Joining::Dynamic));
    let batch = BatchConfig {
        joining: Joining::Dynamic,
        max_batch_size: 16,
        preferred_sizes: vec![4, 8],
        allowed_sizes: Vec::new(),
        max_delay: Duration::from_millis(2),
        max_queue: 64,
        default_timeout: Some(Duration::from_millis(100)),
        allow_timeout_override: true,
        timeout_action: TimeoutAction::Delay,
        priority_levels: 2,
        default_priority: 2,
    };
    assert_eq!(config.batch, batch);
    assert_eq!(config.version_policy, VersionPolicy::Latest(NonZeroUsize::new(2).unwrap()));
    assert_eq!(config.instances.get(), 2);
    assert_eq!(config.intra_op_threads.map(NonZeroUsize::get), Some(3));
    assert_eq!(config.warmup, Warmup::On);
    assert_eq!((config.inputs[0].datatype, &config.inputs[0].dims[..]), (Some(DataType::Fp32), &[3, 224, 224][..]));
    assert_eq!(config.outputs[0].reshape, Some(vec![1000]));
    assert_eq!(providers(USUAL), ["tensorrt", "cuda"]);
}

#[test]
fn every_way_to_write_text_format_is_read() {
    let text = r#"
        # comment
        name: "res" 'net';
        input [ { name: "x", dims: [ 3, -1 ] }, < name: "y" dims: 1 dims: 2 > ]
        output: { name: "z" dims: [0x10] }
        output { name: 'w' dims: [2] },
        dynamic_batching { }
        instance_group [ { kind: KIND_CPU gpus: [] } ]
    "#;
    let config = parse(text).unwrap();
    let dims: Vec<&[i64]> = config.inputs.iter().chain(&config.outputs).map(|tensor| &tensor.dims[..]).collect();
    assert_eq!(dims, [&[3, -1][..], &[1, 2], &[16], &[2]]);
}

#[test]
fn an_empty_file_leaves_everything_to_the_model() {
    let config = parse("").unwrap();
    assert_eq!((config.max_batch, config.joining), (MaxBatch::Auto, Joining::Dynamic));
    assert_eq!(config.version_policy, VersionPolicy::default());
}

#[test]
fn without_dynamic_batching_requests_run_as_they_came() {
    assert_eq!(parse("max_batch_size: 8").unwrap().joining, Joining::Never);
}

#[test]
fn kinds_of_instances_are_providers() {
    assert_eq!(providers("instance_group { kind: KIND_CPU }"), Vec::<&str>::new());
    assert_eq!(providers("instance_group { kind: KIND_GPU }"), ["cuda"]);
    assert_eq!(providers("instance_group { kind: KIND_AUTO }"), ["cuda"]);
    let openvino = "optimization { execution_accelerators { cpu_execution_accelerator { name: 'openvino' } } }";
    assert_eq!(providers(&format!("instance_group {{ kind: KIND_CPU }} {openvino}")), ["openvino"]);
}

#[test]
fn instances_add_up_over_groups_and_gpus() {
    let config =
        parse("instance_group [ { count: 2 kind: KIND_GPU gpus: [0, 1] }, { kind: KIND_CPU count: 3 } ]").unwrap();
    assert_eq!(config.instances.get(), 7);
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"));
}

#[test]
fn every_field_that_is_not_acted_on_is_named_with_its_line() {
    let text = r#"
runtime: "x"
input [ { name: "a" data_type: TYPE_FP32 dims: 1 },
        { name: "b" dims: 1 format: FORMAT_NCHW optional: true } ]
optimization {
  graph { level: 1 }
  cuda { graphs: true busy_wait_events: true }
  priority: PRIORITY_MAX
  input_pinned_memory { enable: true }
}
instance_group { rate_limiter { priority: 2 } host_policy: "numa0" }
dynamic_batching {
  preserve_ordering: true
  priority_queue_policy { key: 1 value { max_queue_size: 3 } }
}
parameters { key: "execution_mode" value { string_value: "1" } }
model_warmup { name: "w" inputs { key: "a" value { input_data_file: "raw" } } }
response_cache { enable: true }
"#;
    let warnings: Vec<String> = parse(text).unwrap().warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(warnings.join("\n"));
}

#[test]
fn broken_text_is_refused_with_its_line() {
    insta::assert_snapshot!(faults("name: \"resnet\"\nmax_batchsize: 8\n"));
    insta::assert_snapshot!(faults("input [ {\n  name: \"x\"\n"));
}

#[test]
fn every_fault_of_meaning_is_reported_at_once() {
    let text = r#"
name: "other"
platform: "tensorrt_plan"
backend: "python"
default_model_filename: "net.onnx"
max_batch_size: 8
input { data_type: TYPE_FP32 dims: [0, 3] }
output { name: "y" dims: 2 label_filename: "no.txt" }
version_policy { specific { versions: [0, 2] } }
dynamic_batching {
  preferred_batch_size: [4, 32]
  priority_levels: 3
}
optimization { execution_accelerators { gpu_execution_accelerator [
  { name: "tensorrt" parameters { key: "precision_mode" value: "FP8" } },
  { name: "warp" }
] } }
parameters { key: "intra_op_thread_count" value { string_value: "many" } }
"#;
    insta::assert_snapshot!(faults(text));
}

#[test]
fn models_with_state_and_ensembles_are_refused() {
    insta::assert_snapshot!(faults("sequence_batching { max_sequence_idle_microseconds: 1 }"));
    insta::assert_snapshot!(faults("platform: 'ensemble'\nensemble_scheduling { step { model_name: 'a' } }"));
}

#[test]
fn labels_come_from_the_named_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("labels.txt"), "good\nscratch\n").unwrap();
    fs::write(folder.path().join(FILE), "output { name: 'y' dims: 2 label_filename: 'labels.txt' }").unwrap();
    let config = read("resnet", folder.path()).unwrap();
    assert_eq!(config.labels_of("y"), ["good", "scratch"]);
    assert_eq!(config.labels_of("z"), Vec::<String>::new());
}

proptest::proptest! {
    #[test]
    fn any_damage_gives_a_configuration_or_faults_within_it(at in 0..USUAL.len(), with in "([\\[\\]{}<>:,;\"'#é\\n ]|[a-z]{1,5}){0,4}") {
        let mut text = USUAL.to_owned();
        text.replace_range(at..at + 1, &with);
        if let Err(faults) = parse(&text) {
            let lines = text.lines().count() + 1;
            for fault in faults.list() {
                proptest::prop_assert!(fault.at.is_none_or(|at| (1..=lines).contains(&at.line)), "{fault}");
            }
        }
    }
}
