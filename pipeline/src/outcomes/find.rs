//! Where a prediction log lies.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a server keeps its log below its state directory, and below `monitor` of that.
const BELOW: [&str; 2] = ["monitor/predictions", "predictions"];

/// The folder of the prediction log that `path` means: itself, or the one of a server's state directory.
#[must_use]
pub fn find(path: &Path) -> Option<PathBuf> {
    let below = BELOW.into_iter().map(|below| path.join(below));
    std::iter::once(path.to_owned()).chain(below).find(|folder| has_segments(folder))
}

fn has_segments(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_segment))
}

fn is_segment(name: &str) -> bool {
    let number = name.strip_suffix(".seg").or_else(|| name.strip_suffix(".open"));
    number.is_some_and(|number| number.len() == 10 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_leads_to_its_log_and_a_table_to_none() {
        let state = tempfile::tempdir().unwrap();
        let log = state.path().join("monitor/predictions");
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join("labels.csv"), "").unwrap();
        assert_eq!(find(state.path()), None);
        fs::write(log.join("0000000001.open"), "").unwrap();
        for folder in [state.path(), &state.path().join("monitor"), &log] {
            assert_eq!(find(folder).as_deref(), Some(&*log));
        }
    }
}
