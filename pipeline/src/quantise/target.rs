//! Who is to run the model. Integer kernels differ so much that each processor gets its own artefact, with grids made for
//! it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::grid::Grid;
use super::observe::Range;

/// The processor and runtime that an INT8 artefact is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// ONNX Runtime on x86 without VNNI. `vpmaddubsw` adds two products of an unsigned and a signed byte into 16 bits and
    /// saturates; weights of at most 64 (7 bits) keep 2 * 255 * 64 below 2^15.
    CpuInt8Avx2,
    /// ONNX Runtime where products are added into 32 bits: x86 with VNNI, Arm with dot products.
    CpuInt8,
    /// TensorRT, which takes symmetric grids with zero point 0 alone and adds biases in single precision.
    TensorrtInt8,
}

impl Target {
    /// All there are, those that ask most of a machine first: a version's variants stand in this order, and the first that
    /// fits is served.
    pub const ALL: [Self; 3] = [Self::TensorrtInt8, Self::CpuInt8, Self::CpuInt8Avx2];

    /// Name of the variant in a packaged version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuInt8Avx2 => "cpu-int8-avx2",
            Self::CpuInt8 => "cpu-int8",
            Self::TensorrtInt8 => "tensorrt-int8",
        }
    }

    /// The grid for activations within `range`.
    #[must_use]
    pub fn activations(self, range: Range) -> Grid {
        match self {
            Self::CpuInt8Avx2 | Self::CpuInt8 => Grid::asymmetric(range),
            Self::TensorrtInt8 => Grid::symmetric(range.bound(), Grid::INT8),
        }
    }

    /// Largest magnitude of a quantised weight.
    #[must_use]
    pub const fn weight_bound(self) -> i32 {
        match self {
            Self::CpuInt8Avx2 => 64,
            Self::CpuInt8 | Self::TensorrtInt8 => 127,
        }
    }

    /// Bits of the widest weight.
    #[must_use]
    pub const fn weight_bits(self) -> u8 {
        match self {
            Self::CpuInt8Avx2 => 7,
            Self::CpuInt8 | Self::TensorrtInt8 => 8,
        }
    }

    /// Whether kernels add the bias as a 32-bit integer in units of input scale times weight scale.
    #[must_use]
    pub const fn integer_bias(self) -> bool {
        !matches!(self, Self::TensorrtInt8)
    }

    /// Whether ONNX Runtime's integer kernels for element-wise and pooling operators are at hand, which want a grid for
    /// what they give out too.
    #[must_use]
    pub(super) const fn integer_everywhere(self) -> bool {
        !matches!(self, Self::TensorrtInt8)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|target| target.name() == name);
        found.ok_or_else(|| format!("found target '{name}', expected one of {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_products_of_a_seven_bit_weight_fit_into_sixteen_bits() {
        assert!(2 * 255 * Target::CpuInt8Avx2.weight_bound() <= i32::from(i16::MAX));
        assert!(2 * 255 * Target::CpuInt8.weight_bound() > i32::from(i16::MAX));
    }

    #[test]
    fn names_are_read_back() {
        for target in Target::ALL {
            assert_eq!(target.name().parse(), Ok(target));
            assert_eq!(serde_json::to_string(&target).unwrap(), format!("\"{target}\""));
        }
        let told = "int8".parse::<Target>().unwrap_err();
        assert_eq!(told, "found target 'int8', expected one of tensorrt-int8, cpu-int8, cpu-int8-avx2");
    }
}
