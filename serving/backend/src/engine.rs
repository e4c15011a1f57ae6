//! Where built engines are kept: one folder per everything that an engine depends on, so that one made for another model,
//! other options, another TensorRT or another GPU can never be taken for it.
//!
//! ```text
//! <cache>/engines/<key>/   engine and timing files, as TensorRT names them
//! ```

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Everything an engine depends on.
#[derive(Debug, Clone, Copy)]
pub struct EngineInputs<'a> {
    /// sha256 of the ONNX file, lower-case hex.
    pub model_digest: &'a str,
    /// Options of the provider, as [`crate::Provider::to_key_values`] gives them; paths of caches do not count.
    pub options: &'a [(String, String)],
    /// Version of ONNX Runtime.
    pub runtime: &'a str,
    /// Version of TensorRT.
    pub tensorrt: &'a str,
    /// Version of CUDA.
    pub cuda: &'a str,
    /// Version of the driver, or of the board's software.
    pub driver: &'a str,
    /// Compute capability such as `8.7`; the name of the GPU where it is not known.
    pub compute_capability: &'a str,
}

/// A name for the engine: lower-case hex, 64 characters, another one if anything in `inputs` is another.
#[must_use]
pub fn engine_cache_key(inputs: &EngineInputs<'_>) -> String {
    let EngineInputs { model_digest, options, runtime, tensorrt, cuda, driver, compute_capability } = inputs;
    let mut hash = Sha256::new();
    // Lengths before texts, so that no text can run over into the next.
    let mut feed = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for text in ["takt engine 1", model_digest, runtime, tensorrt, cuda, driver, compute_capability] {
        feed(text);
    }
    let mut options = options.iter().filter(|(key, _)| !key.ends_with("_cache_path")).collect::<Vec<_>>();
    options.sort();
    for (key, value) in options {
        feed(key);
        feed(value);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of an engine below `cache`.
#[must_use]
pub fn engine_cache_dir(cache: &Path, inputs: &EngineInputs<'_>) -> PathBuf {
    cache.join("engines").join(engine_cache_key(inputs))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn any_other_input_gives_another_key() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let options = [pair("trt_fp16_enable", "1"), pair("trt_dla_core", "0")];
        let inputs = EngineInputs {
            model_digest: "aa",
            options: &options,
            runtime: "1.18.0",
            tensorrt: "8.6.2",
            cuda: "12.2",
            driver: "540.2.0",
            compute_capability: "8.7",
        };
        let variations = [
            inputs,
            EngineInputs { model_digest: "ab", ..inputs },
            EngineInputs { runtime: "1.18.1", ..inputs },
            EngineInputs { tensorrt: "8.6.3", ..inputs },
            EngineInputs { cuda: "12.3", ..inputs },
            EngineInputs { driver: "540.2.1", ..inputs },
            EngineInputs { compute_capability: "8.6", ..inputs },
            EngineInputs { options: &options[..1], ..inputs },
            EngineInputs { options: &[pair("trt_fp16_enable", "0"), options[1].clone()], ..inputs },
            EngineInputs { options: &[pair("trt_fp16_enabl", "e1"), options[1].clone()], ..inputs },
            // What one field loses the next gains.
            EngineInputs { cuda: "12.254", driver: "0.2.0", ..inputs },
        ];
        let keys = variations.iter().map(engine_cache_key).collect::<BTreeSet<_>>();
        assert_eq!(keys.len(), variations.len());
        assert!(keys.iter().all(|key| key.len() == 64));
    }

    #[test]
    fn order_of_options_and_place_of_the_cache_do_not_count() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let key = |options: &[(String, String)]| {
            engine_cache_key(&EngineInputs {
                model_digest: "",
                options,
                runtime: "",
                tensorrt: "",
                cuda: "",
                driver: "",
                compute_capability: "",
            })
        };
        let one = key(&[pair("a", "1"), pair("b", "2"), pair("trt_engine_cache_path", "/x")]);
        assert_eq!(one, key(&[pair("b", "2"), pair("trt_engine_cache_path", "/y"), pair("a", "1")]));
    }
}
