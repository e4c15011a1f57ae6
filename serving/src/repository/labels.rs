//! Files of class names, one per line.

use std::fs;
use std::path::{Component, Path};

/// Largest file that is taken for one of labels.
const MAX_BYTES: u64 = 16 << 20;

/// Why a file of labels was not taken: what was found and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLabels {
    pub found: String,
    pub expected: &'static str,
}

/// Reads the file `name` in the model's folder. Trailing empty lines are dropped; others keep the index right.
pub(super) fn read(folder: &Path, name: &str) -> Result<Vec<String>, BadLabels> {
    let bad = |found: String, expected| Err(BadLabels { found, expected });
    let path = Path::new(name);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !inside {
        return bad(format!("'{name}'"), "the name of a file in the model's folder");
    }
    let path = folder.join(path);
    let text = fs::metadata(&path)
        .and_then(|metadata| if metadata.len() > MAX_BYTES { Ok(None) } else { fs::read_to_string(&path).map(Some) });
    match text {
        Ok(Some(text)) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let labels: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
            if labels.is_empty() { bad(format!("an empty file '{name}'"), "one label per line") } else { Ok(labels) }
        }
        Ok(None) => bad(format!("more than 16 MiB in '{name}'"), "one label per line"),
        Err(error) => bad(format!("'{name}' ({error})"), "a readable UTF-8 text file in the model's folder"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_label_per_line_with_any_line_ending() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("labels.txt"), "\u{feff}good\r\n scratch \r\n\r\ndent\n\n").unwrap();
        assert_eq!(read(folder.path(), "labels.txt").unwrap(), ["good", "scratch", "", "dent"]);
    }

    #[test]
    fn files_outside_the_folder_or_missing_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "../labels.txt", "/etc/hostname", "none.txt"] {
            assert!(read(folder.path(), bad).is_err(), "{bad}");
        }
    }
}
