//! A model's configuration, typed and checked. It comes from `model.toml`, from Triton's `config.pbtxt`, or from
//! nothing but the ONNX file; what follows cannot tell which.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use takt_artifact::{DataType, Decision, Preprocess};
use takt_backend::Provider;

use super::fault::{ConfigFault, ConfigWarning, Position};
use super::policy::VersionPolicy;
use crate::batch::config::BatchConfig;
pub use crate::batch::config::Joining;
use crate::monitor::MonitorConfig;

/// What Triton calls an ONNX model, in metadata and configuration.
pub const PLATFORM: &str = "onnxruntime_onnx";
/// What Triton calls the runtime of ONNX models.
pub const BACKEND: &str = "onnxruntime";

/// How a model is run.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The model's name, which is its folder's.
    pub name: String,
    /// Where all this was read.
    pub source: Source,
    /// Largest batch of a request and of a run.
    pub max_batch: MaxBatch,
    /// Whether requests share a run.
    pub joining: Joining,
    /// How requests wait and are joined. Its `max_batch_size` is right only where `max_batch` is fixed: ask
    /// [`ModelConfig::batching`], which knows the signature.
    pub batch: BatchConfig,
    /// Sessions, each with its own thread.
    pub instances: NonZeroUsize,
    /// Execution providers in order of preference; empty means the processor.
    pub providers: Vec<Provider>,
    /// Whether to fail rather than fall back to a later provider.
    pub strict: bool,
    /// Threads within one run; `None` leaves it to the server.
    pub intra_op_threads: Option<NonZeroUsize>,
    /// The variant to serve, instead of the first that fits the machine.
    pub variant: Option<String>,
    /// Which versions are wanted.
    pub version_policy: VersionPolicy,
    /// What becomes of a version that appears while another serves.
    pub on_new_version: OnNewVersion,
    /// Whether a version runs at every batch size before it serves.
    pub warmup: Warmup,
    /// Bounds on single requests and runs.
    pub limits: Limits,
    /// How it is watched.
    pub monitor: MonitorConfig,
    /// What a manifest would say; for versions that have none.
    pub bare: BareVersion,
    /// Inputs that the configuration names, none if it leaves them to the model.
    pub inputs: Vec<DeclaredTensor>,
    /// Outputs that the configuration names, none if it leaves them to the model.
    pub outputs: Vec<DeclaredTensor>,
    /// What works otherwise than its author may think.
    pub warnings: Vec<ConfigWarning>,
    /// Where the keys stand, for faults that show only later.
    pub(super) positions: BTreeMap<String, Position>,
}

/// Where a configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `model.toml`
    Toml(PathBuf),
    /// `config.pbtxt`
    Pbtxt(PathBuf),
    /// There is no file; this is the model's folder.
    Defaults(PathBuf),
}

/// Largest batch of a request and of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxBatch {
    /// [`MaxBatch::AUTO`] where the model's first dimension is free, else no batching.
    Auto,
    /// This many rows; 0 means that the model has no batch dimension.
    Fixed(usize),
}

/// What becomes of a version that appears while another serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnNewVersion {
    /// It replaces what the version policy no longer wants.
    #[default]
    Serve,
    /// It waits for a person.
    Ignore,
}

/// Whether a version runs once at every batch size it will see before it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Warmup {
    /// It does: the first real request is as fast as the rest.
    #[default]
    On,
    /// It is served as soon as it is loaded.
    Off,
}

/// Bounds on single requests and runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest run before the watchdog takes the session for hung.
    pub run_timeout: Duration,
    /// Bounds on encoded images.
    pub images: takt_image::Limits,
}

/// What a manifest would say of a version that has none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BareVersion {
    /// From an encoded image to the input tensor.
    pub preprocess: Option<Preprocess>,
    /// Class names, by output.
    pub labels: Vec<OutputLabels>,
    /// From outputs to a verdict.
    pub decision: Option<Decision>,
}

/// Class names of an output, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLabels {
    /// The output; `None` means whichever one holds scores.
    pub output: Option<String>,
    /// The names.
    pub names: Vec<String>,
}

/// An input or output as a configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredTensor {
    /// Name in the ONNX graph.
    pub name: String,
    /// Element type; `None` leaves it to the model.
    pub datatype: Option<DataType>,
    /// Shape as clients see it, without the batch dimension where the model batches; -1 where a dimension is free.
    pub dims: Vec<i64>,
    /// Shape as the model sees it, without the batch dimension, where that differs.
    pub reshape: Option<Vec<i64>>,
}

/// Which way a tensor goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

impl MaxBatch {
    /// What [`MaxBatch::Auto`] means for a model that can batch: most of what batching gives on a processor, for
    /// little memory and delay.
    pub const AUTO: usize = 8;
}

impl Source {
    /// The file, or the folder where there is none.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Toml(path) | Self::Pbtxt(path) | Self::Defaults(path) => path,
        }
    }
}

impl Default for Limits {
    /// 30 s per run.
    fn default() -> Self {
        Self { run_timeout: Duration::from_secs(30), images: takt_image::Limits::default() }
    }
}

impl ModelConfig {
    /// What a model gets that says nothing: batches of what is waiting, one instance, the processor, the latest version.
    #[must_use]
    pub fn new(name: impl Into<String>, source: Source) -> Self {
        Self {
            name: name.into(),
            source,
            max_batch: MaxBatch::Auto,
            joining: Joining::Dynamic,
            batch: BatchConfig::default(),
            instances: NonZeroUsize::MIN,
            providers: Vec::new(),
            strict: false,
            intra_op_threads: None,
            variant: None,
            version_policy: VersionPolicy::default(),
            on_new_version: OnNewVersion::default(),
            warmup: Warmup::default(),
            limits: Limits::default(),
            monitor: MonitorConfig::default(),
            bare: BareVersion::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            warnings: Vec::new(),
            positions: BTreeMap::new(),
        }
    }

    /// Names of the classes of an output, for a version without manifest; empty where there are none.
    #[must_use]
    pub fn labels_of(&self, output: &str) -> &[String] {
        let of_it = |labels: &&OutputLabels| labels.output.as_deref().is_none_or(|name| name == output);
        self.bare.labels.iter().find(of_it).map_or(&[], |labels| &labels.names)
    }

    /// Key of a declared input or output, as its file writes it.
    pub(super) fn tensor_key(&self, side: Side, index: usize) -> String {
        let many = if matches!(self.source, Source::Pbtxt(_)) { "" } else { "s" };
        match side {
            Side::Input => format!("input{many}[{index}]"),
            Side::Output => format!("output{many}[{index}]"),
        }
    }

    /// A fault of what stands at `key`, found by comparing the configuration with something else.
    pub fn fault(
        &self,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        fix: impl Into<String>,
    ) -> ConfigFault {
        ConfigFault {
            at: self.position(key),
            key: key.to_owned(),
            ..ConfigFault::of_file(self.source.path(), found, expected, fix)
        }
    }

    /// Where `key` stands, or else the nearest table that holds it.
    pub(super) fn position(&self, key: &str) -> Option<Position> {
        let mut key = key;
        loop {
            let first_of_many = || self.positions.get(&format!("{key}[0]"));
            if let Some(position) = self.positions.get(key).or_else(first_of_many) {
                return Some(*position);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }
}
