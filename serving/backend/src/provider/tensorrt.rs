//! TensorRT, by the option names of ONNX Runtime 1.17 and later (`TensorRT-ExecutionProvider` in its documentation).

use std::path::{Path, PathBuf};

use super::flag;
use super::reader::Reader;

/// Options of TensorRT; whatever is `None` is left to ONNX Runtime's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorRt {
    /// Which GPU.
    pub device: u32,
    /// Let layers run in half precision.
    pub fp16: bool,
    /// Whether and how layers run in INT8.
    pub int8: Int8,
    /// Where built engines are kept.
    pub engine_cache: Cache,
    /// Where timings of tactics are kept, which make the next build of a similar engine fast.
    pub timing_cache: Cache,
    /// Most scratch memory a layer may use.
    pub max_workspace_bytes: Option<u64>,
    /// How hard the builder tries, 0 to 5.
    pub optimization_level: Option<u64>,
    /// Run on this core of the deep learning accelerator, and on the GPU what it cannot do.
    pub dla_core: Option<u64>,
    /// Shapes to build for, where the model's are free; without it an engine is rebuilt whenever a new size comes.
    pub profile: Option<Profile>,
    /// Log every step of a build.
    pub detailed_build_log: bool,
    /// Build one engine at a time, which keeps the peak of memory down.
    pub sequential_build: bool,
    /// Share scratch memory among the engines of a model.
    pub context_memory_sharing: bool,
    /// Replay a captured CUDA graph; needs shapes that do not change.
    pub cuda_graph: bool,
}

/// INT8 under TensorRT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Int8 {
    /// Off.
    #[default]
    Off,
    /// Scales come from QuantizeLinear and DequantizeLinear nodes in the model.
    Qdq,
    /// Scales come from a calibration table.
    Table {
        /// File name in the engine cache folder.
        name: String,
        /// Written by TensorRT itself rather than by ONNX Runtime.
        native: bool,
    },
}

/// Where something is kept between runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cache {
    /// In the server's cache folder if there is one, else nowhere.
    #[default]
    Shared,
    /// Nowhere.
    Off,
    /// In this folder.
    At(PathBuf),
}

/// Least, usual and largest shapes per input, each as `input:1x3x224x224,other:1x4`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the type says it")]
pub struct Profile {
    pub min: String,
    pub opt: String,
    pub max: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Precision {
    Fp32,
    Fp16,
    Int8,
}

impl TensorRt {
    pub(super) fn read(options: &mut Reader<'_>) -> Self {
        let choices = [("FP32", Precision::Fp32), ("FP16", Precision::Fp16), ("INT8", Precision::Int8)];
        let mode = options.choice(&["precision_mode"], &choices);
        let device = options.whole(&["device", "device_id"], 0, u64::from(u32::MAX >> 1)).unwrap_or(0);
        Self {
            device: u32::try_from(device).unwrap_or(0),
            fp16: options.flag(&["fp16", "trt_fp16_enable"]).unwrap_or(mode == Some(Precision::Fp16)),
            int8: int8(options, mode == Some(Precision::Int8)),
            engine_cache: cache(
                options,
                &["engine_cache", "trt_engine_cache_enable"],
                &["engine_cache_path", "trt_engine_cache_path"],
            ),
            timing_cache: cache(
                options,
                &["timing_cache", "trt_timing_cache_enable"],
                &["timing_cache_path", "trt_timing_cache_path"],
            ),
            max_workspace_bytes: options.whole(
                &["max_workspace_bytes", "max_workspace_size_bytes", "trt_max_workspace_size"],
                1,
                u64::MAX,
            ),
            optimization_level: options.whole(&["optimization_level", "trt_builder_optimization_level"], 0, 5),
            dla_core: dla_core(options),
            profile: profile(options),
            detailed_build_log: options.flag(&["detailed_build_log", "trt_detailed_build_log"]).unwrap_or(false),
            sequential_build: options.flag(&["sequential_build", "trt_force_sequential_engine_build"]).unwrap_or(false),
            context_memory_sharing: options
                .flag(&["context_memory_sharing", "trt_context_memory_sharing_enable"])
                .unwrap_or(false),
            cuda_graph: options.flag(&["cuda_graph", "trt_cuda_graph_enable"]).unwrap_or(false),
        }
    }

    pub(super) fn to_key_values(&self, cache_dir: Option<&Path>) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut put = |key: &str, value: String| pairs.push((key.to_owned(), value));
        put("device_id", self.device.to_string());
        put("trt_fp16_enable", flag(self.fp16));
        put("trt_int8_enable", flag(self.int8 != Int8::Off));
        if let Int8::Table { name, native } = &self.int8 {
            put("trt_int8_calibration_table_name", name.clone());
            put("trt_int8_use_native_calibration_table", flag(*native));
        }
        for (what, cache) in [("engine", &self.engine_cache), ("timing", &self.timing_cache)] {
            let folder = match cache {
                Cache::Off => None,
                Cache::At(folder) => Some(folder.as_path()),
                Cache::Shared => cache_dir,
            };
            put(&format!("trt_{what}_cache_enable"), flag(folder.is_some()));
            if let Some(folder) = folder {
                put(&format!("trt_{what}_cache_path"), folder.display().to_string());
            }
        }
        if let Some(bytes) = self.max_workspace_bytes {
            put("trt_max_workspace_size", bytes.to_string());
        }
        if let Some(level) = self.optimization_level {
            put("trt_builder_optimization_level", level.to_string());
        }
        if let Some(core) = self.dla_core {
            put("trt_dla_enable", flag(true));
            put("trt_dla_core", core.to_string());
        }
        if let Some(Profile { min, opt, max }) = &self.profile {
            put("trt_profile_min_shapes", min.clone());
            put("trt_profile_opt_shapes", opt.clone());
            put("trt_profile_max_shapes", max.clone());
        }
        put("trt_detailed_build_log", flag(self.detailed_build_log));
        put("trt_force_sequential_engine_build", flag(self.sequential_build));
        put("trt_context_memory_sharing_enable", flag(self.context_memory_sharing));
        put("trt_cuda_graph_enable", flag(self.cuda_graph));
        pairs
    }
}

fn int8(options: &mut Reader<'_>, by_mode: bool) -> Int8 {
    let on = options.flag(&["int8", "trt_int8_enable"]);
    let table =
        options.text(&["int8_calibration_table", "int8_calibration_table_name", "trt_int8_calibration_table_name"]);
    let native = options.flag(&[
        "int8_native_calibration_table",
        "int8_use_native_calibration_table",
        "trt_int8_use_native_calibration_table",
    ]);
    match (on.unwrap_or(by_mode || table.is_some()), table) {
        (true, Some(name)) => Int8::Table { name, native: native.unwrap_or(false) },
        (true, None) => Int8::Qdq,
        (false, None) => Int8::Off,
        (false, Some(_)) => {
            options.fault(
                "int8_calibration_table",
                "given while int8 is off; switch int8 on or take the table out".to_owned(),
            );
            Int8::Off
        }
    }
}

fn cache(options: &mut Reader<'_>, enable: &[&'static str], path: &[&'static str]) -> Cache {
    match (options.flag(enable), options.text(path)) {
        (Some(false), _) => Cache::Off,
        (_, Some(path)) => Cache::At(path.into()),
        (_, None) => Cache::Shared,
    }
}

fn dla_core(options: &mut Reader<'_>) -> Option<u64> {
    let on = options.flag(&["dla", "trt_dla_enable"]);
    let core = options.whole(&["dla_core", "trt_dla_core"], 0, 7);
    if on == Some(false) { None } else { core.or_else(|| on.map(|_| 0)) }
}

fn profile(options: &mut Reader<'_>) -> Option<Profile> {
    let min = options.text(&["profile_min_shapes", "trt_profile_min_shapes"]);
    let opt = options.text(&["profile_opt_shapes", "trt_profile_opt_shapes"]);
    let max = options.text(&["profile_max_shapes", "trt_profile_max_shapes"]);
    match (min, opt, max) {
        (Some(min), Some(opt), Some(max)) => Some(Profile { min, opt, max }),
        (None, None, None) => None,
        _ => {
            options.fault("profile_min_shapes", "min, opt and max shapes are needed together".to_owned());
            None
        }
    }
}
