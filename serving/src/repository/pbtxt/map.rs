//! From Triton's message to a [`ModelConfig`].

use std::num::NonZeroUsize;
use std::path::Path;

use takt_artifact::DataType;
use takt_proto::inference;
use takt_proto::inference::model_version_policy::PolicyChoice;

use super::places::Places;
use crate::repository::batching::{LARGEST_BATCH, MOST_THREADS};
use crate::repository::config::{
    BACKEND, DeclaredTensor, MaxBatch, ModelConfig, OutputLabels, PLATFORM, Source, Warmup,
};
use crate::repository::fault::{ConfigFault, ConfigFaults, ConfigWarning};
use crate::repository::labels;
use crate::repository::policy::VersionPolicy;
use crate::repository::to_proto;

/// A file that is being read: the configuration so far, and what is wrong.
pub(super) struct Reading {
    pub(super) config: ModelConfig,
    faults: Vec<ConfigFault>,
}

impl Reading {
    pub(super) fn new(name: &str, file: &Path, places: Places) -> Self {
        let mut config = ModelConfig::new(name, Source::Pbtxt(file.to_owned()));
        config.positions = places;
        Self { config, faults: Vec::new() }
    }

    pub(super) fn finish(
        mut self,
        message: &inference::ModelConfig,
        warnings: Vec<ConfigWarning>,
    ) -> Result<ModelConfig, ConfigFaults> {
        self.config.warnings = warnings;
        self.identity(message);
        self.max_batch(message.max_batch_size);
        self.version_policy(message.version_policy.as_ref());
        self.inputs(&message.input);
        self.outputs(&message.output);
        self.scheduling(message.scheduling_choice.as_ref());
        self.instances(message);
        self.parameters(message);
        if !message.model_warmup.is_empty() {
            self.config.warmup = Warmup::On;
        }
        ConfigFaults::none_of(self.faults)?;
        Ok(self.config)
    }

    pub(super) fn fault(&mut self, key: &str, found: impl Into<String>, expected: impl Into<String>, fix: &str) {
        let fault = self.config.fault(key, found, expected, fix);
        self.faults.push(fault);
    }

    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>) {
        let warning = ConfigWarning {
            file: self.config.source.path().to_owned(),
            at: self.config.position(key),
            key: key.to_owned(),
            message: message.into(),
        };
        self.config.warnings.push(warning);
    }

    /// Whether it is this model, and one of ONNX.
    fn identity(&mut self, message: &inference::ModelConfig) {
        if !message.name.is_empty() && message.name != self.config.name {
            let expected = format!("'{}', the name of the folder", self.config.name);
            self.fault("name", format!("'{}'", message.name), expected, "remove the field, or rename the folder");
        }
        const ONNX_ONLY: &str = "Takt serves ONNX models: export the model to ONNX, or serve it elsewhere";
        for (key, found, expected) in
            [("platform", &message.platform, PLATFORM), ("backend", &message.backend, BACKEND)]
        {
            if !found.is_empty() && found != expected {
                self.fault(key, format!("'{found}'"), format!("'{expected}'"), ONNX_ONLY);
            }
        }
        let file = &message.default_model_filename;
        if !file.is_empty() && file != takt_artifact::version::MODEL_FILE {
            self.fault(
                "default_model_filename",
                format!("'{file}'"),
                "'model.onnx'",
                "rename the file to model.onnx in every version and remove the field",
            );
        }
    }

    fn max_batch(&mut self, size: i32) {
        match usize::try_from(size) {
            // As in Triton, a 0 that is written cannot be told from none.
            Ok(0) => self.config.max_batch = MaxBatch::Auto,
            Ok(size) if size <= LARGEST_BATCH => self.config.max_batch = MaxBatch::Fixed(size),
            _ => self.fault("max_batch_size", size.to_string(), format!("0 to {LARGEST_BATCH}"), "correct the number"),
        }
    }

    fn version_policy(&mut self, policy: Option<&inference::ModelVersionPolicy>) {
        self.config.version_policy = match policy.and_then(|policy| policy.policy_choice.as_ref()) {
            None => VersionPolicy::default(),
            Some(PolicyChoice::All(_)) => VersionPolicy::All,
            Some(PolicyChoice::Latest(latest)) => {
                let count = usize::try_from(latest.num_versions).ok().and_then(NonZeroUsize::new);
                VersionPolicy::Latest(count.unwrap_or(NonZeroUsize::MIN))
            }
            Some(PolicyChoice::Specific(specific)) => {
                let wanted =
                    specific.versions.iter().filter_map(|&n| u64::try_from(n).ok().filter(|&n| n > 0)).collect();
                if specific.versions.is_empty() || specific.versions.iter().any(|&n| n < 1) {
                    let found = format!("{:?}", specific.versions);
                    self.fault("version_policy.specific", found, "versions from 1", "list the versions to serve");
                }
                VersionPolicy::Specific(wanted)
            }
        };
    }

    fn inputs(&mut self, inputs: &[inference::ModelInput]) {
        for (i, input) in inputs.iter().enumerate() {
            let key = format!("input[{i}]");
            let declared = self.tensor(&key, &input.name, input.data_type, &input.dims, input.reshape.as_ref());
            self.config.inputs.push(declared);
        }
    }

    fn outputs(&mut self, outputs: &[inference::ModelOutput]) {
        for (i, output) in outputs.iter().enumerate() {
            let key = format!("output[{i}]");
            let declared = self.tensor(&key, &output.name, output.data_type, &output.dims, output.reshape.as_ref());
            self.config.outputs.push(declared);
            if output.label_filename.is_empty() {
                continue;
            }
            let file = self.config.source.path();
            match labels::read(file.parent().unwrap_or(file), &output.label_filename) {
                Ok(names) => self.config.bare.labels.push(OutputLabels { output: Some(output.name.clone()), names }),
                Err(bad) => {
                    self.fault(
                        &format!("{key}.label_filename"),
                        bad.found,
                        bad.expected,
                        "add the file or remove the field",
                    );
                }
            }
        }
    }

    fn tensor(
        &mut self,
        key: &str,
        name: &str,
        data_type: i32,
        dims: &[i64],
        reshape: Option<&inference::ModelTensorReshape>,
    ) -> DeclaredTensor {
        if name.is_empty() {
            self.fault(&format!("{key}.name"), "no name", "the tensor's name in the ONNX graph", "fill it in");
        }
        if dims.is_empty() && reshape.is_none() || dims.iter().any(|&dim| dim < 1 && dim != -1) {
            self.fault(
                &format!("{key}.dims"),
                format!("{dims:?}"),
                "dimensions of at least 1, or -1 where free",
                "give the shape without the batch dimension where the model batches",
            );
        }
        DeclaredTensor {
            name: name.to_owned(),
            datatype: datatype(data_type),
            dims: dims.to_vec(),
            reshape: reshape.map(|reshape| reshape.shape.clone()),
        }
    }

    /// Settings of ONNX Runtime that Triton's backend takes as free-form parameters.
    fn parameters(&mut self, message: &inference::ModelConfig) {
        let mut parameters: Vec<_> = message.parameters.iter().collect();
        parameters.sort_unstable_by_key(|(name, _)| name.as_str());
        for (name, value) in parameters {
            let key = format!("parameters[\"{name}\"]");
            let value = value.string_value.trim();
            match (name.as_str(), value.parse::<usize>()) {
                // 0 means ONNX Runtime's own choice.
                ("intra_op_thread_count", Ok(0)) => {}
                ("intra_op_thread_count", Ok(count)) if count <= MOST_THREADS => {
                    self.config.intra_op_threads = NonZeroUsize::new(count);
                }
                ("intra_op_thread_count", _) => {
                    self.fault(&key, format!("'{value}'"), format!("0 to {MOST_THREADS}"), "correct the number");
                }
                _ => self.warn(&key, "ignored: Takt does not act on this parameter"),
            }
        }
    }
}

/// The element type of that number; `None`, which leaves it to the model, for TYPE_INVALID.
fn datatype(data_type: i32) -> Option<DataType> {
    DataType::ALL.into_iter().find(|&known| to_proto::datatype(known) as i32 == data_type)
}
