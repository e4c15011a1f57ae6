//! Queue, batching, instances and the devices they run on.

use std::num::NonZeroUsize;
use std::time::Duration;

use takt_backend::Provider;
use takt_backend::provider::RawProvider;
use takt_proto::inference;
use takt_proto::inference::model_config::SchedulingChoice;
use takt_proto::inference::model_instance_group::Kind;
use takt_proto::inference::model_optimization_policy::execution_accelerators::Accelerator;
use takt_proto::inference::model_queue_policy::TimeoutAction as TheirTimeoutAction;

use super::map::Reading;
use crate::batch::config::TimeoutAction;
use crate::repository::batching::{self, Key, MOST_PRIORITIES, MOST_THREADS};
use crate::repository::config::{Joining, MaxBatch};

impl Reading {
    pub(super) fn scheduling(&mut self, choice: Option<&SchedulingChoice>) {
        // Triton's auto-completion switches batching on only where it also chose the batch size.
        self.config.joining = match self.config.max_batch {
            MaxBatch::Auto => Joining::Dynamic,
            MaxBatch::Fixed(_) => Joining::Never,
        };
        self.config.batch.max_queue = 0;
        self.config.batch.allow_timeout_override = false;
        const STATELESS: &str = "no such section: Takt serves single models without state";
        match choice {
            None => {}
            Some(SchedulingChoice::DynamicBatching(dynamic)) => {
                self.config.joining = Joining::Dynamic;
                self.dynamic_batching(dynamic);
            }
            Some(SchedulingChoice::SequenceBatching(_)) => {
                self.fault("sequence_batching", "sequence batching", STATELESS, "keep the state in the client");
            }
            Some(SchedulingChoice::EnsembleScheduling(_)) => {
                self.fault(
                    "ensemble_scheduling",
                    "an ensemble",
                    STATELESS,
                    "call the models one after another, or join them in one ONNX graph",
                );
            }
        }
        let (max, batch) = (&mut self.config.max_batch, &mut self.config.batch);
        for problem in batching::settle(max, batch) {
            let key = match problem.key {
                Key::PreferredSizes | Key::AllowedSizes => "dynamic_batching.preferred_batch_size",
                Key::DefaultPriority => "dynamic_batching.default_priority_level",
            };
            self.fault(key, problem.found, problem.expected, &problem.fix);
        }
    }

    fn dynamic_batching(&mut self, dynamic: &inference::ModelDynamicBatching) {
        let batch = &mut self.config.batch;
        // A size below 1 becomes 0, which no rule allows.
        batch.preferred_sizes =
            dynamic.preferred_batch_size.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
        batch.max_delay = Duration::from_micros(dynamic.max_queue_delay_microseconds);
        if let Some(policy) = &dynamic.default_queue_policy {
            batch.max_queue = usize::try_from(policy.max_queue_size).unwrap_or(usize::MAX);
            let timeout = policy.default_timeout_microseconds;
            batch.default_timeout = (timeout > 0).then(|| Duration::from_micros(timeout));
            batch.allow_timeout_override = policy.allow_timeout_override;
            batch.timeout_action = match policy.timeout_action() {
                TheirTimeoutAction::Reject => TimeoutAction::Reject,
                TheirTimeoutAction::Delay => TimeoutAction::Delay,
            };
        }
        let levels = dynamic.priority_levels;
        if levels > MOST_PRIORITIES {
            let expected = format!("0 to {MOST_PRIORITIES}");
            self.fault("dynamic_batching.priority_levels", levels.to_string(), expected, "use fewer priorities");
        } else if levels > 0 {
            self.config.batch.priority_levels = u32::try_from(levels).unwrap_or(1);
            self.config.batch.default_priority = u32::try_from(dynamic.default_priority_level).unwrap_or(u32::MAX);
        }
    }

    /// How many sessions, and on what.
    pub(super) fn instances(&mut self, message: &inference::ModelConfig) {
        let groups = &message.instance_group;
        let sessions = |group: &inference::ModelInstanceGroup| {
            let count = usize::try_from(group.count.max(1)).unwrap_or(1);
            count.saturating_mul(group.gpus.len().max(1))
        };
        let total = groups.iter().map(sessions).fold(0, usize::saturating_add);
        if total > MOST_THREADS {
            self.fault(
                "instance_group",
                format!("{total} instances"),
                format!("at most {MOST_THREADS}"),
                "lower count",
            );
        }
        self.config.instances = NonZeroUsize::new(total).unwrap_or(NonZeroUsize::MIN);

        let on_processor = |group: &inference::ModelInstanceGroup| group.kind() == Kind::Cpu;
        let processor = !groups.is_empty() && groups.iter().all(on_processor);
        if !processor && groups.iter().any(on_processor) {
            self.warn("instance_group", "groups of different kinds: every instance takes the providers of the GPU");
        }
        let gpus: Vec<i32> = groups.iter().flat_map(|group| group.gpus.iter().copied()).collect();
        let device = gpus.iter().copied().find(|&gpu| gpu >= 0);
        if gpus.iter().any(|&gpu| Some(gpu) != device) {
            let gpu = device.unwrap_or_default();
            self.warn("instance_group", format!("several GPUs are named: every instance runs on GPU {gpu}"));
        }
        if message.dynamic_batching_preserves_order() && total > 1 {
            self.warn(
                "dynamic_batching.preserve_ordering",
                "responses come in order only within one instance; set count to 1 where the order matters",
            );
        }
        self.config.providers = self.providers(message, processor, device);
    }

    fn providers(&mut self, message: &inference::ModelConfig, processor: bool, device: Option<i32>) -> Vec<Provider> {
        let accelerators =
            message.optimization.as_ref().and_then(|optimization| optimization.execution_accelerators.as_ref());
        const PATH: &str = "optimization.execution_accelerators";
        let (list, path) = if processor {
            (accelerators.map(|both| &both.cpu_execution_accelerator), format!("{PATH}.cpu_execution_accelerator"))
        } else {
            (accelerators.map(|both| &both.gpu_execution_accelerator), format!("{PATH}.gpu_execution_accelerator"))
        };
        let on_device = |name: &str, parameters: Vec<(String, String)>| {
            let device = device.filter(|_| matches!(name, "tensorrt" | "cuda"));
            let device = device.map(|gpu| ("device_id".to_owned(), gpu.to_string()));
            RawProvider::from_triton(name, parameters.into_iter().chain(device))
        };
        let named = list.into_iter().flatten().enumerate();
        let mut providers: Vec<Provider> = named
            .filter_map(|(i, Accelerator { name, parameters })| {
                let mut parameters: Vec<_> = parameters.clone().into_iter().collect();
                parameters.sort_unstable();
                self.provider(&format!("{path}[{i}]"), &on_device(name, parameters))
            })
            .collect();
        if !processor {
            providers.extend(self.provider("instance_group", &on_device("cuda", Vec::new())));
        }
        providers
    }

    fn provider(&mut self, key: &str, raw: &RawProvider) -> Option<Provider> {
        match Provider::try_from(raw) {
            Ok(provider) => Some(provider),
            Err(faults) => {
                for fault in faults {
                    self.fault(key, fault.to_string(), "an accelerator of ONNX Runtime", "correct it or take it out");
                }
                None
            }
        }
    }
}

/// Questions about a message that its generated type does not answer.
trait Ask {
    fn dynamic_batching_preserves_order(&self) -> bool;
}

impl Ask for inference::ModelConfig {
    fn dynamic_batching_preserves_order(&self) -> bool {
        matches!(&self.scheduling_choice, Some(SchedulingChoice::DynamicBatching(dynamic)) if dynamic.preserve_ordering)
    }
}
