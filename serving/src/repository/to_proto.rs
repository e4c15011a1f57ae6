//! The configuration a model runs with, as the ModelConfig RPC answers it. Messages that say nothing are absent:
//! `dynamic_batching` is there only where requests share runs.

use std::collections::HashMap;
use std::time::Duration;

use takt_artifact::version::MODEL_FILE;
use takt_artifact::{DataType, Signature, TensorSpec};
use takt_backend::Provider;
use takt_proto::inference;
use takt_proto::inference::model_config::SchedulingChoice;
use takt_proto::inference::model_instance_group::Kind;
use takt_proto::inference::model_optimization_policy::ExecutionAccelerators;
use takt_proto::inference::model_optimization_policy::execution_accelerators::Accelerator;
use takt_proto::inference::model_queue_policy::TimeoutAction as TheirTimeoutAction;
use takt_proto::inference::model_version_policy::{All, Latest, PolicyChoice, Specific};

use super::config::{BACKEND, DeclaredTensor, Joining, ModelConfig, PLATFORM, Warmup};
use super::policy::VersionPolicy;
use crate::batch::config::{BatchConfig, TimeoutAction};

/// What the RPC answers for a model that runs as `config` says, with the signature that clients see, from
/// [`ModelConfig::client_signature`].
#[must_use]
pub fn to_proto(config: &ModelConfig, signature: &Signature) -> inference::ModelConfig {
    // A model that serves agrees with its configuration; what is configured is the answer for one that does not.
    let batch = &config.batching(signature).unwrap_or_else(|_| config.batch.clone());
    let skip = usize::from(batch.max_batch_size > 0);
    inference::ModelConfig {
        name: config.name.clone(),
        platform: PLATFORM.to_owned(),
        backend: BACKEND.to_owned(),
        version_policy: Some(version_policy(&config.version_policy)),
        max_batch_size: clamp(batch.max_batch_size),
        input: signature.inputs.iter().map(|spec| input(spec, skip, &config.inputs)).collect(),
        output: signature.outputs.iter().map(|spec| output(spec, skip, &config.outputs)).collect(),
        optimization: optimization(&config.providers),
        instance_group: vec![instance_group(config)],
        default_model_filename: MODEL_FILE.to_owned(),
        model_warmup: warmup(config, batch, signature, skip),
        scheduling_choice: dynamic_batching(config.joining, batch).map(SchedulingChoice::DynamicBatching),
        ..inference::ModelConfig::default()
    }
}

fn version_policy(policy: &VersionPolicy) -> inference::ModelVersionPolicy {
    let choice = match policy {
        VersionPolicy::Latest(count) => {
            PolicyChoice::Latest(Latest { num_versions: u32::try_from(count.get()).unwrap_or(u32::MAX) })
        }
        VersionPolicy::All => PolicyChoice::All(All {}),
        VersionPolicy::Specific(versions) => PolicyChoice::Specific(Specific {
            versions: versions.iter().map(|&version| i64::try_from(version).unwrap_or(i64::MAX)).collect(),
        }),
    };
    inference::ModelVersionPolicy { policy_choice: Some(choice) }
}

fn input(spec: &TensorSpec, skip: usize, declared: &[DeclaredTensor]) -> inference::ModelInput {
    inference::ModelInput {
        name: spec.name.clone(),
        data_type: datatype(spec.datatype).into(),
        dims: dims(spec, skip),
        reshape: reshape(spec, declared),
        ..inference::ModelInput::default()
    }
}

fn output(spec: &TensorSpec, skip: usize, declared: &[DeclaredTensor]) -> inference::ModelOutput {
    inference::ModelOutput {
        name: spec.name.clone(),
        data_type: datatype(spec.datatype).into(),
        dims: dims(spec, skip),
        reshape: reshape(spec, declared),
        ..inference::ModelOutput::default()
    }
}

fn dims(spec: &TensorSpec, skip: usize) -> Vec<i64> {
    spec.shape.iter().skip(skip).copied().collect()
}

fn reshape(spec: &TensorSpec, declared: &[DeclaredTensor]) -> Option<inference::ModelTensorReshape> {
    let declared = declared.iter().find(|tensor| tensor.name == spec.name)?;
    let shape = declared.reshape.clone()?;
    Some(inference::ModelTensorReshape { shape })
}

/// Accelerators beside what the instance group's kind implies.
fn optimization(providers: &[Provider]) -> Option<inference::ModelOptimizationPolicy> {
    let mut accelerators = ExecutionAccelerators::default();
    for provider in providers {
        let accelerator = Accelerator {
            name: provider.name().to_owned(),
            parameters: provider.to_key_values(None).into_iter().collect(),
        };
        match provider {
            Provider::TensorRt(_) => accelerators.gpu_execution_accelerator.push(accelerator),
            Provider::Other(_) => accelerators.cpu_execution_accelerator.push(accelerator),
            Provider::Cuda(_) | Provider::Cpu(_) => {}
        }
    }
    (accelerators != ExecutionAccelerators::default()).then(|| inference::ModelOptimizationPolicy {
        execution_accelerators: Some(accelerators),
        ..inference::ModelOptimizationPolicy::default()
    })
}

fn instance_group(config: &ModelConfig) -> inference::ModelInstanceGroup {
    let device = config.providers.iter().find_map(|provider| match provider {
        Provider::TensorRt(tensorrt) => Some(tensorrt.device),
        Provider::Cuda(cuda) => Some(cuda.device),
        Provider::Cpu(_) | Provider::Other(_) => None,
    });
    let kind = if device.is_some() { Kind::Gpu } else { Kind::Cpu };
    inference::ModelInstanceGroup {
        name: format!("{}_0", config.name),
        kind: kind.into(),
        count: clamp(config.instances.get()),
        gpus: device.and_then(|device| i32::try_from(device).ok()).into_iter().collect(),
        ..inference::ModelInstanceGroup::default()
    }
}

fn warmup(
    config: &ModelConfig,
    batch: &BatchConfig,
    signature: &Signature,
    skip: usize,
) -> Vec<inference::ModelWarmup> {
    if config.warmup == Warmup::Off {
        return Vec::new();
    }
    let input = |spec: &TensorSpec| {
        let zeros = inference::model_warmup::Input {
            data_type: datatype(spec.datatype).into(),
            dims: dims(spec, skip),
            input_data_type: Some(inference::model_warmup::input::InputDataType::ZeroData(true)),
        };
        (spec.name.clone(), zeros)
    };
    let inputs: HashMap<_, _> = signature.inputs.iter().map(input).collect();
    vec![inference::ModelWarmup {
        name: "zeros".to_owned(),
        batch_size: u32::try_from(batch.max_batch_size.max(1)).unwrap_or(u32::MAX),
        inputs,
        count: 1,
    }]
}

fn dynamic_batching(joining: Joining, batch: &BatchConfig) -> Option<inference::ModelDynamicBatching> {
    if joining == Joining::Never || batch.max_batch_size < 2 {
        return None;
    }
    let prioritised = batch.priority_levels > 1;
    Some(inference::ModelDynamicBatching {
        preferred_batch_size: batch.preferred_sizes.iter().map(|&size| clamp(size)).collect(),
        max_queue_delay_microseconds: microseconds(batch.max_delay),
        priority_levels: if prioritised { batch.priority_levels.into() } else { 0 },
        default_priority_level: if prioritised { batch.default_priority.into() } else { 0 },
        default_queue_policy: Some(queue_policy(batch)),
        ..inference::ModelDynamicBatching::default()
    })
}

fn queue_policy(batch: &BatchConfig) -> inference::ModelQueuePolicy {
    let action = match batch.timeout_action {
        TimeoutAction::Reject => TheirTimeoutAction::Reject,
        TimeoutAction::Delay => TheirTimeoutAction::Delay,
    };
    inference::ModelQueuePolicy {
        timeout_action: action.into(),
        default_timeout_microseconds: batch.default_timeout.map_or(0, microseconds),
        allow_timeout_override: batch.allow_timeout_override,
        max_queue_size: u32::try_from(batch.max_queue).unwrap_or(u32::MAX),
    }
}

/// The protocol's number for an element type.
#[must_use]
pub const fn datatype(datatype: DataType) -> inference::DataType {
    use inference::DataType as Theirs;
    match datatype {
        DataType::Bool => Theirs::TypeBool,
        DataType::Uint8 => Theirs::TypeUint8,
        DataType::Uint16 => Theirs::TypeUint16,
        DataType::Uint32 => Theirs::TypeUint32,
        DataType::Uint64 => Theirs::TypeUint64,
        DataType::Int8 => Theirs::TypeInt8,
        DataType::Int16 => Theirs::TypeInt16,
        DataType::Int32 => Theirs::TypeInt32,
        DataType::Int64 => Theirs::TypeInt64,
        DataType::Fp16 => Theirs::TypeFp16,
        DataType::Bf16 => Theirs::TypeBf16,
        DataType::Fp32 => Theirs::TypeFp32,
        DataType::Fp64 => Theirs::TypeFp64,
        DataType::Bytes => Theirs::TypeString,
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn clamp(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::repository::{pbtxt, toml};

    fn signature() -> Signature {
        let tensor = |name: &str, shape: &[i64]| TensorSpec {
            name: name.to_owned(),
            datatype: DataType::Fp32,
            shape: shape.to_vec(),
        };
        Signature { inputs: vec![tensor("x", &[-1, 3, 64, 64])], outputs: vec![tensor("y", &[-1, 2])] }
    }

    fn answer(config: &ModelConfig) -> inference::ModelConfig {
        let batch = config.batching(&signature()).unwrap();
        let seen = config.client_signature(&signature(), batch.max_batch_size);
        to_proto(config, &seen)
    }

    #[test]
    fn dims_leave_out_the_batch_dimension_only_where_the_model_batches() {
        let config = |text| toml::parse("m", Path::new("model.toml"), text).unwrap();
        assert_eq!(answer(&config("max_batch_size = 4")).input[0].dims, [3, 64, 64]);
        assert_eq!(answer(&config("max_batch_size = 0")).input[0].dims, [-1, 3, 64, 64]);
    }

    #[test]
    fn batching_is_announced_only_where_requests_share_runs() {
        let scheduling = |text| {
            let config = pbtxt::parse("m", Path::new("config.pbtxt"), text).unwrap();
            answer(&config).scheduling_choice
        };
        assert_eq!(scheduling("max_batch_size: 8"), None);
        assert!(scheduling("max_batch_size: 8 dynamic_batching {}").is_some());
        assert!(scheduling("").is_some());
    }

    #[test]
    fn what_triton_would_say_of_a_file_comes_back() {
        let text = r#"
            max_batch_size: 16
            version_policy { specific { versions: [1, 3] } }
            instance_group { count: 2 kind: KIND_GPU gpus: 1 }
            dynamic_batching {
              preferred_batch_size: [4, 8]
              max_queue_delay_microseconds: 500
              priority_levels: 3
              default_priority_level: 2
              default_queue_policy {
                timeout_action: DELAY
                default_timeout_microseconds: 9000
                allow_timeout_override: true
                max_queue_size: 64
              }
            }
        "#;
        let config = pbtxt::parse("m", Path::new("config.pbtxt"), text).unwrap();
        insta::assert_debug_snapshot!(answer(&config));
    }
}
