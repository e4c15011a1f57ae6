//! CUDA, by the option names of ONNX Runtime 1.17 and later (`CUDA-ExecutionProvider` in its documentation).

use super::flag;
use super::reader::Reader;

/// Options of CUDA; whatever is `None` is left to ONNX Runtime's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cuda {
    /// Which GPU.
    pub device: u32,
    /// Most device memory the arena may take.
    pub memory_limit_bytes: Option<u64>,
    /// How the arena grows.
    pub arena_extend: Option<ArenaExtend>,
    /// How cuDNN picks a convolution algorithm.
    pub conv_algorithm_search: Option<ConvAlgorithmSearch>,
    /// Let matrix products use TF32.
    pub tf32: Option<bool>,
    /// Rewrite convolutions to channels-last.
    pub prefer_nhwc: Option<bool>,
}

/// How an arena grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArenaExtend {
    /// In powers of two.
    NextPowerOfTwo,
    /// By what was asked for, which suits a device short of memory.
    SameAsRequested,
}

/// How cuDNN picks a convolution algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConvAlgorithmSearch {
    /// Tries all: slow first run, fast after.
    Exhaustive,
    /// Guesses.
    Heuristic,
    /// Takes the default algorithm.
    Default,
}

impl Cuda {
    pub(super) fn read(options: &mut Reader<'_>) -> Self {
        let grow = [
            ("next_power_of_two", ArenaExtend::NextPowerOfTwo),
            ("same_as_requested", ArenaExtend::SameAsRequested),
            ("kNextPowerOfTwo", ArenaExtend::NextPowerOfTwo),
            ("kSameAsRequested", ArenaExtend::SameAsRequested),
        ];
        let search = [
            ("exhaustive", ConvAlgorithmSearch::Exhaustive),
            ("heuristic", ConvAlgorithmSearch::Heuristic),
            ("default", ConvAlgorithmSearch::Default),
        ];
        let device = options.whole(&["device", "device_id"], 0, u64::from(u32::MAX >> 1)).unwrap_or(0);
        Self {
            device: u32::try_from(device).unwrap_or(0),
            memory_limit_bytes: options.whole(&["memory_limit_bytes", "gpu_mem_limit"], 1, u64::MAX),
            arena_extend: options.choice(&["arena_extend_strategy"], &grow),
            conv_algorithm_search: options.choice(&["cudnn_conv_algo_search"], &search),
            tf32: options.flag(&["tf32", "use_tf32"]),
            prefer_nhwc: options.flag(&["prefer_nhwc"]),
        }
    }

    pub(super) fn to_key_values(&self) -> Vec<(String, String)> {
        let grow = self.arena_extend.map(|extend| match extend {
            ArenaExtend::NextPowerOfTwo => "kNextPowerOfTwo".to_owned(),
            ArenaExtend::SameAsRequested => "kSameAsRequested".to_owned(),
        });
        let search = self.conv_algorithm_search.map(|search| match search {
            ConvAlgorithmSearch::Exhaustive => "EXHAUSTIVE".to_owned(),
            ConvAlgorithmSearch::Heuristic => "HEURISTIC".to_owned(),
            ConvAlgorithmSearch::Default => "DEFAULT".to_owned(),
        });
        let pairs = [
            ("device_id", Some(self.device.to_string())),
            ("gpu_mem_limit", self.memory_limit_bytes.map(|bytes| bytes.to_string())),
            ("arena_extend_strategy", grow),
            ("cudnn_conv_algo_search", search),
            ("use_tf32", self.tf32.map(flag)),
            ("prefer_nhwc", self.prefer_nhwc.map(flag)),
        ];
        pairs.into_iter().filter_map(|(key, value)| value.map(|value| (key.to_owned(), value))).collect()
    }
}
