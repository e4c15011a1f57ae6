//! The parts that data is divided into.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A part of the data, by what it may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To fit weights.
    Train,
    /// To choose: epochs, thresholds, bands.
    #[serde(alias = "val")]
    Validation,
    /// To set the grids of quantised activations.
    Calibration,
    /// To report, once.
    Test,
    /// What a healthy line makes, in the order in which it makes it: what drift is measured against.
    Reference,
}

impl Split {
    /// Every split, in the order of time.
    pub const ALL: [Self; 5] = [Self::Train, Self::Validation, Self::Calibration, Self::Test, Self::Reference];

    /// Name of the split and of its folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Calibration => "calibration",
            Self::Test => "test",
            Self::Reference => "reference",
        }
    }

    /// The split that people call so, in any case: also `training`, `val`, `valid` and `calib`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "train" | "training" => Self::Train,
            "validation" | "valid" | "val" => Self::Validation,
            "calibration" | "calib" => Self::Calibration,
            "test" | "testing" => Self::Test,
            "reference" => Self::Reference,
            _ => return None,
        })
    }

    /// Number of the split in random streams: never changed, for the pixels of generated images depend on it.
    pub(crate) const fn stream(self) -> u64 {
        match self {
            Self::Train => 0,
            Self::Validation => 1,
            Self::Test => 2,
            Self::Calibration => 3,
            Self::Reference => 4,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
