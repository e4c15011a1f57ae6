//! Which of a version's variants a machine serves: the first that fits, or the one a person pinned. Pure.

use std::fmt;

use crate::manifest::{Requires, Variant};

/// What a machine offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Runtimes that were found: `tract`, `onnxruntime`, `cuda`, `tensorrt`.
    pub runtimes: Vec<String>,
    /// Processor architecture as in `std::env::consts::ARCH`.
    pub arch: String,
    /// Processor features by Rust's names, of those in [`KNOWN_FEATURES`].
    pub cpu_features: Vec<String>,
}

/// The choice, and why the earlier variants were passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The variant to serve.
    pub variant: Variant,
    /// Variants before it in the manifest that do not fit, best first; empty where a person pinned.
    pub passed_over: Vec<PassedOver>,
}

/// A variant that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Its name.
    pub name: String,
    /// What it misses.
    pub reason: Misfit,
}

/// The first thing a variant asks for and the machine has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// None of the runtimes it can use.
    Runtime {
        /// Any of these would do.
        needs: Vec<String>,
        /// What the machine has.
        found: Vec<String>,
    },
    /// Another processor architecture.
    Arch {
        /// Any of these would do.
        needs: Vec<String>,
        /// What the machine is.
        found: String,
    },
    /// Processor features that are not there.
    CpuFeatures {
        /// Those that are not there.
        missing: Vec<String>,
    },
}

/// Why no variant can be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChooseError {
    /// The version has no variant of the pinned name.
    #[error("variant '{pinned}' is pinned, and the version has {}; pin one of these or none", crate::fault::choices(.variants.iter().map(String::as_str)))]
    UnknownPin {
        /// The pinned name.
        pinned: String,
        /// The variants there are.
        variants: Vec<String>,
    },
    /// The pinned variant cannot run here.
    #[error("variant '{pinned}' is pinned and cannot run here: {reason}; pin another or none")]
    PinDoesNotFit {
        /// The pinned name.
        pinned: String,
        /// What it misses.
        reason: Misfit,
    },
    /// No variant can run here.
    #[error("no variant fits this machine: {}; package one without these requirements", .passed_over.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoneFits {
        /// Every variant with its reason.
        passed_over: Vec<PassedOver>,
    },
}

/// Processor features that [`Machine::detect`] looks for; a variant that needs another never fits.
pub const KNOWN_FEATURES: [&str; 11] =
    ["avx", "avx2", "avx512f", "avx512vnni", "avxvnni", "dotprod", "f16c", "fma", "fp16", "i8mm", "sse4.1"];

impl Machine {
    /// This machine, with the runtimes that the caller found on it.
    #[must_use]
    pub fn detect(runtimes: Vec<String>) -> Self {
        Self {
            runtimes,
            arch: std::env::consts::ARCH.to_owned(),
            cpu_features: detected().into_iter().map(str::to_owned).collect(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Vec<&'static str> {
    use std::is_x86_feature_detected as has;
    let features = [
        ("avx", has!("avx")),
        ("avx2", has!("avx2")),
        ("avx512f", has!("avx512f")),
        ("avx512vnni", has!("avx512vnni")),
        ("avxvnni", has!("avxvnni")),
        ("f16c", has!("f16c")),
        ("fma", has!("fma")),
        ("sse4.1", has!("sse4.1")),
    ];
    present(&features)
}

#[cfg(target_arch = "aarch64")]
fn detected() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected as has;
    let features = [("dotprod", has!("dotprod")), ("fp16", has!("fp16")), ("i8mm", has!("i8mm"))];
    present(&features)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn present(features: &[(&'static str, bool)]) -> Vec<&'static str> {
    let present = features.iter().filter(|(_, there)| *there);
    present.map(|(name, _)| *name).collect()
}

impl Requires {
    /// The first thing these requirements miss on a machine, if any.
    #[must_use]
    pub fn misfit(&self, machine: &Machine) -> Option<Misfit> {
        let Self { runtime, arch, cpu_features } = self;
        if !runtime.is_empty() && !runtime.iter().any(|r| machine.runtimes.contains(r)) {
            return Some(Misfit::Runtime { needs: runtime.clone(), found: machine.runtimes.clone() });
        }
        if !arch.is_empty() && !arch.contains(&machine.arch) {
            return Some(Misfit::Arch { needs: arch.clone(), found: machine.arch.clone() });
        }
        let missing: Vec<String> =
            cpu_features.iter().filter(|feature| !machine.cpu_features.contains(feature)).cloned().collect();
        (!missing.is_empty()).then_some(Misfit::CpuFeatures { missing })
    }
}

/// Chooses the pinned variant, or else the first that fits.
///
/// # Errors
/// The pinned one does not exist or does not fit, or none fits; with what each misses.
pub fn choose(variants: &[Variant], machine: &Machine, pinned: Option<&str>) -> Result<Choice, ChooseError> {
    match pinned {
        Some(name) => choose_pinned(variants, machine, name),
        None => choose_first(variants, machine),
    }
}

fn choose_pinned(variants: &[Variant], machine: &Machine, pinned: &str) -> Result<Choice, ChooseError> {
    let Some(variant) = variants.iter().find(|variant| variant.name == pinned) else {
        return Err(ChooseError::UnknownPin {
            pinned: pinned.to_owned(),
            variants: variants.iter().map(|v| v.name.clone()).collect(),
        });
    };
    match variant.requires.misfit(machine) {
        Some(reason) => Err(ChooseError::PinDoesNotFit { pinned: pinned.to_owned(), reason }),
        None => Ok(Choice { variant: variant.clone(), passed_over: Vec::new() }),
    }
}

fn choose_first(variants: &[Variant], machine: &Machine) -> Result<Choice, ChooseError> {
    let mut passed_over = Vec::new();
    for variant in variants {
        match variant.requires.misfit(machine) {
            Some(reason) => passed_over.push(PassedOver { name: variant.name.clone(), reason }),
            None => {
                return Ok(Choice { variant: variant.clone(), passed_over });
            }
        }
    }
    Err(ChooseError::NoneFits { passed_over })
}

impl ChooseError {
    /// Stable label for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UnknownPin { .. } => "unknown_variant",
            Self::PinDoesNotFit { .. } => "variant_does_not_fit",
            Self::NoneFits { .. } => "no_variant_fits",
        }
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.name, self.reason)
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime { needs, found } => {
                let found = match found.as_slice() {
                    [] => "none".to_owned(),
                    found => found.join(", "),
                };
                write!(f, "needs runtime {}, found {found}", needs.join(" or "))
            }
            Self::Arch { needs, found } => {
                write!(f, "needs architecture {}, found {found}", needs.join(" or "))
            }
            Self::CpuFeatures { missing } => write!(f, "needs processor feature {}, not found", missing.join(" and ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Precision;

    fn variant(name: &str, runtime: &[&str], arch: &[&str], cpu_features: &[&str]) -> Variant {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Variant {
            name: name.to_owned(),
            file: format!("model.{name}.onnx"),
            precision: Precision::Fp32,
            weight_bits: None,
            requires: Requires { runtime: owned(runtime), arch: owned(arch), cpu_features: owned(cpu_features) },
        }
    }

    fn variants() -> Vec<Variant> {
        vec![
            variant("tensorrt-int8", &["tensorrt"], &[], &[]),
            variant("cpu-int8-avx2", &["onnxruntime"], &["x86_64"], &["avx2", "fma"]),
            variant("cpu-int8", &["onnxruntime"], &["aarch64"], &["dotprod"]),
            variant("fp32", &["tract", "onnxruntime"], &[], &[]),
        ]
    }

    fn machine(runtimes: &[&str], arch: &str, cpu_features: &[&str]) -> Machine {
        let owned = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Machine { runtimes: owned(runtimes), arch: arch.to_owned(), cpu_features: owned(cpu_features) }
    }

    fn chosen(machine: &Machine, pinned: Option<&str>) -> Result<String, ChooseError> {
        choose(&variants(), machine, pinned).map(|choice| choice.variant.name)
    }

    #[test]
    fn one_package_fits_the_jetson_the_industrial_pc_and_the_laptop() {
        let jetson = machine(&["onnxruntime", "cuda", "tensorrt"], "aarch64", &["dotprod", "fp16"]);
        assert_eq!(chosen(&jetson, None).unwrap(), "tensorrt-int8");
        let pc = machine(&["onnxruntime"], "x86_64", &["avx2", "fma"]);
        assert_eq!(chosen(&pc, None).unwrap(), "cpu-int8-avx2");
        let board = machine(&["onnxruntime"], "aarch64", &["dotprod"]);
        assert_eq!(chosen(&board, None).unwrap(), "cpu-int8");
        let laptop = machine(&["tract"], "x86_64", &["avx2", "fma"]);
        assert_eq!(chosen(&laptop, None).unwrap(), "fp32");
    }

    #[test]
    fn those_passed_over_say_what_they_miss() {
        let old = machine(&["onnxruntime"], "x86_64", &["avx2"]);
        let choice = choose(&variants(), &old, None).unwrap();
        assert_eq!(choice.variant.name, "fp32");
        let reasons: Vec<_> = choice.passed_over.iter().map(ToString::to_string).collect();
        assert_eq!(
            reasons,
            [
                "'tensorrt-int8' needs runtime tensorrt, found onnxruntime",
                "'cpu-int8-avx2' needs processor feature fma, not found",
                "'cpu-int8' needs architecture aarch64, found x86_64",
            ]
        );
    }

    #[test]
    fn a_pin_overrides_the_order() {
        let pc = machine(&["onnxruntime"], "x86_64", &["avx2", "fma"]);
        assert_eq!(chosen(&pc, Some("fp32")).unwrap(), "fp32");
    }

    #[test]
    fn a_pin_that_does_not_exist_or_fit_is_refused_with_the_reason() {
        let pc = machine(&["onnxruntime"], "x86_64", &["avx2", "fma"]);
        let error = chosen(&pc, Some("fp64")).unwrap_err();
        assert_eq!(error.kind(), "unknown_variant");
        assert!(error.to_string().contains("'cpu-int8-avx2'"), "{error}");
        let error = chosen(&pc, Some("tensorrt-int8")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "variant 'tensorrt-int8' is pinned and cannot run here: needs runtime tensorrt, found onnxruntime; pin another or none"
        );
    }

    #[test]
    fn when_none_fits_every_reason_is_told() {
        let error = chosen(&machine(&[], "riscv64", &[]), None).unwrap_err();
        assert_eq!(error.kind(), "no_variant_fits");
        let text = error.to_string();
        assert!(text.contains("'fp32' needs runtime tract or onnxruntime, found none"), "{text}");
        assert!(text.contains("'tensorrt-int8'"), "{text}");
    }

    #[test]
    fn this_machine_reports_only_known_features() {
        let here = Machine::detect(vec!["tract".to_owned()]);
        assert_eq!(here.arch, std::env::consts::ARCH);
        for feature in &here.cpu_features {
            assert!(KNOWN_FEATURES.contains(&feature.as_str()), "{feature}");
        }
        assert_eq!(chosen(&here, None).unwrap(), "fp32");
    }
}
