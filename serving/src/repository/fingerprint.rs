//! Whether files changed, told from their names, sizes and modification times: cheap enough for every poll.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A digest of names, sizes and times; equal as long as nobody wrote. It survives restarts and copies that keep times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Fingerprint([u8; 16]);

/// Takes in files one by one; their order matters.
#[derive(Default)]
pub(super) struct Fingerprinter(Sha256);

impl Fingerprinter {
    /// Takes in every file of a folder, not those of folders within, in the order of their names.
    pub(super) fn folder(&mut self, folder: &Path) -> io::Result<()> {
        for (name, metadata) in entries(folder)?.iter().filter(|(_, metadata)| !metadata.is_dir()) {
            self.entry(name, metadata);
        }
        Ok(())
    }

    /// Takes in every file of a folder and of those within, so many levels deep; what cannot be read counts as such.
    pub(super) fn tree(&mut self, folder: &Path, levels: usize) {
        let entries = match entries(folder) {
            Ok(entries) => entries,
            Err(error) => return self.part(&[error.kind().to_string().as_bytes()]),
        };
        for (name, metadata) in &entries {
            if metadata.is_dir() && levels > 0 {
                self.part(&[name.as_bytes()]);
                self.tree(&folder.join(name), levels - 1);
            } else if !metadata.is_dir() {
                self.entry(name, metadata);
            }
        }
        self.part(&[b"/"]);
    }

    /// Takes in what another has found.
    pub(super) fn include(&mut self, other: Fingerprint) {
        self.part(&[&other.0]);
    }

    pub(super) fn finish(self) -> Fingerprint {
        let digest: [u8; 32] = self.0.finalize().into();
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Fingerprint(short)
    }

    fn entry(&mut self, name: &str, metadata: &fs::Metadata) {
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |since| since.as_nanos());
        self.part(&[name.as_bytes(), &metadata.len().to_le_bytes(), &modified.to_le_bytes()]);
    }

    /// Each part goes in with its length, so that no two lists of parts give the same bytes.
    fn part(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }
}

/// What is in a folder, by name. Symbolic links count as what they lead to, for that is what is loaded; one that leads
/// nowhere counts as itself, and what vanishes meanwhile not at all.
fn entries(folder: &Path) -> io::Result<Vec<(String, fs::Metadata)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // What editors and copies leave in passing is not what is loaded.
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        if let Ok(metadata) = fs::metadata(entry.path()).or_else(|_| entry.metadata()) {
            entries.push((name, metadata));
        }
    }
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn of(folder: &Path) -> Fingerprint {
        let mut fingerprinter = Fingerprinter::default();
        fingerprinter.folder(folder).unwrap();
        fingerprinter.finish()
    }

    #[test]
    fn it_changes_with_names_sizes_and_times_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.onnx");
        fs::write(&file, "abc").unwrap();
        let first = of(folder.path());
        assert_eq!(of(folder.path()), first);

        fs::File::open(&file).unwrap().set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
        let touched = of(folder.path());
        fs::write(folder.path().join("a"), "").unwrap();
        let added = of(folder.path());
        fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        let renamed = of(folder.path());
        assert_eq!(std::collections::BTreeSet::from([first, touched, added, renamed]).len(), 4);
    }
}
