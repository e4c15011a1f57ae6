//! Where a stage takes something from.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Another stage by its name, or a path from the recipe's folder: whatever has a `/`, a `\` or a `.` in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum From {
    /// The result of a stage.
    Stage(String),
    /// A file or folder of the user's.
    Path(PathBuf),
}

impl From {
    /// The stage that it names.
    #[must_use]
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::Stage(name) => Some(name),
            Self::Path(_) => None,
        }
    }

    /// The path that it names, seen from `base`.
    #[must_use]
    pub fn path(&self, base: &Path) -> Option<PathBuf> {
        match self {
            Self::Stage(_) => None,
            Self::Path(path) => Some(base.join(path)),
        }
    }
}

impl std::convert::From<String> for From {
    fn from(text: String) -> Self {
        if text.contains(['/', '\\', '.']) { Self::Path(text.into()) } else { Self::Stage(text) }
    }
}

impl std::convert::From<From> for String {
    fn from(from: From) -> Self {
        from.to_string()
    }
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(name) => f.write_str(name),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_stage_and_everything_else_a_path() {
        let of = |text: &str| From::from(text.to_owned());
        assert_eq!(of("teacher").stage(), Some("teacher"));
        for path in ["./images", "big.onnx", "../data", "/data/images", "a\\b"] {
            assert_eq!(of(path).stage(), None, "{path}");
        }
        assert_eq!(of("./images").path(Path::new("line")), Some(PathBuf::from("line/./images")));
        assert_eq!(of("/data").path(Path::new("line")), Some(PathBuf::from("/data")));
    }
}
